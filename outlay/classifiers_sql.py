"""
Trained classifiers: appended, never changed, so that a decision can always name the one that it was made by.

A tenant has its own and those for everybody; the newest of its own goes before the newest for everybody. One
that is of no use serves only where a policy names it.
"""

import threading
from collections import OrderedDict
from dataclasses import asdict, dataclass, replace
from typing import Final, TypeAlias

from sqlalchemy import Connection, Engine, or_, select

from outlay.statements import append, marked
from outlay.tables import EVERYBODY
from outlay.tables import classifier as table
from router.learned import LearnedModel
from router.learned_read import LearnedError, read_model
from router.types import Prediction

KEPT_MAX: Final = 8
"""So many models are kept ready; one takes some megabytes."""
Ready: TypeAlias = tuple[str, LearnedModel | None]
"""Whose a classifier is, and its model; empty where there is no such classifier."""
_NEWEST: Final = (
    "SELECT version, automatic FROM outlay_classifier WHERE tenant IN (?, '*') "
    "ORDER BY automatic DESC, CASE WHEN tenant = '*' THEN 1 ELSE 0 END, at_us DESC, version LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class ClassifierRow:
    """
    One trained classifier.

    Args:
        quality: JSON, measured on rows that it was not trained on.
        weights: JSON; empty where only the description was asked for.
        automatic: May be taken as the newest; else it serves only where a policy names it.
    """

    version: str
    tenant: str
    data_hash: str
    quality: str
    weights: str
    automatic: bool
    actor: str
    at_us: int


class Classifiers:
    """
    The classifiers of one database; models that were read are kept ready.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._newest = marked(_NEWEST, engine.dialect.name)
        self._lock = threading.Lock()
        self._ready: OrderedDict[str, Ready] = OrderedDict()

    def add(self, row: ClassifierRow) -> bool:
        """
        Append a classifier; false where the same one is stored already.
        """
        return append(self._engine, table, asdict(row))

    def find(self, connection: Connection, version: str) -> ClassifierRow | None:
        """
        Return a classifier with its weights.
        """
        found = connection.execute(select(table).where(table.c.version == version)).one_or_none()
        return None if found is None else ClassifierRow(**found._mapping)

    def rows(self, connection: Connection, tenant: str | None) -> tuple[ClassifierRow, ...]:
        """
        Describe the classifiers that a tenant may use, or all, the newest first, without their weights.
        """
        columns = [column for column in table.c if column.name != "weights"]
        query = select(*columns).order_by(table.c.at_us.desc(), table.c.version)
        if tenant is not None:
            query = query.where(or_(table.c.tenant == tenant, table.c.tenant == EVERYBODY))
        return tuple(ClassifierRow(**row._mapping, weights="") for row in connection.execute(query))

    def model(self, connection: Connection, tenant: str, version: str | None) -> LearnedModel | str:
        """
        Return the model of a version, or the newest of use that a tenant may have.

        Returns:
            Why there is none, in a few words.
        """
        name, why = (version, "") if version is not None else self._newest_of(connection, tenant)
        if name is None:
            return why
        owner, model = self._kept(name) or self._keep(name, self._read(connection, name))
        if model is None or owner not in (tenant, EVERYBODY):
            return f"classifier {name[:40]} is not stored for this tenant, or of another format"
        return model

    def _kept(self, name: str) -> Ready | None:
        with self._lock:
            found = self._ready.get(name)
            if found is not None:
                self._ready.move_to_end(name)
        return found

    def _keep(self, name: str, found: Ready) -> Ready:
        if found[0]:  # a version that does not exist yet may come
            with self._lock:
                self._ready[name] = found
                while len(self._ready) > KEPT_MAX:
                    self._ready.popitem(last=False)
        return found

    def _read(self, connection: Connection, name: str) -> Ready:
        row = self.find(connection, name)
        if row is None:
            return "", None
        try:
            return row.tenant, replace(read_model(row.weights), version=name)
        except LearnedError:
            return row.tenant, None

    def _newest_of(self, connection: Connection, tenant: str) -> tuple[str | None, str]:
        found = connection.exec_driver_sql(self._newest, (tenant,)).one_or_none()
        if found is None:
            return None, "no classifier has been trained"
        return (str(found[0]), "") if found[1] else (None, "no classifier of use has been trained")


def predicted(model: LearnedModel | str, version: str | None, prompt: str, task_class: str) -> Prediction:
    """
    Say what a model expects of a prompt, or why there is no saying.

    Args:
        model: As `Classifiers.model` returns it.
        version: That the policy names.
    """
    if isinstance(model, str):
        return Prediction("learned", version or "", why=model)
    scored = model.score(prompt, task_class)
    gain = None if scored.gain is None else round(scored.gain, 6)
    why = f"unfamiliar: {scored.why}" if scored.why else ""
    return Prediction("learned", model.version, gain=gain, why=why, risk=scored.risk)
