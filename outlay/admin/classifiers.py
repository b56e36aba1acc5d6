"""
Classifiers: trained from a file of examples or from a tenant's scores, stored, listed, shown.

A stored classifier is never changed or removed, as decisions name it; the policy says which one is used
(`routing.learned.version`), the newest where it names none.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from outlay import fields
from outlay.admin.common import known_tenant
from outlay.classifiers_sql import ClassifierRow
from outlay.clock import now_us
from outlay.errors import Rejected, translated
from outlay.fields import instant_text
from outlay.learned.examples import Example
from outlay.learned.from_scores import read_scores, table_model
from outlay.learned.train import Model, train
from outlay.tables import EVERYBODY
from outlay.wiring import App
from router.learned import LearnedModel
from router.learned_read import read_model
from router.policy import Policy

_SEED_MAX: Final = 2**31 - 1
APGR_USEFUL: Final = 0.55
"""A classifier that ranks worse does so by chance as well as not; 0.5 is chance."""


def train_classifier(
    app: App, examples: list[Example], *, tenant: str | None = None, seed: int = 0, actor: str
) -> dict[str, Any]:
    """
    Train a classifier on examples and store it.

    Args:
        tenant: Whose it is; None is for everybody.
    Returns:
        version, tenant, data_hash, quality, at, replayed (the same one was stored already), warnings.
    Raises:
        Rejected: `examples_refused`, `extra_missing`.
    """
    number = fields.whole(seed, "seed", 0, _SEED_MAX)
    owner = _owner(app, tenant)
    return _stored(app, train(examples, number), owner, actor)


def train_on_scores(app: App, tenant: str, *, actor: str) -> dict[str, Any]:
    """
    Train a classifier on a tenant's own scored decisions and store it.

    Outlay keeps no prompts, so it learns how often each tier was right in each task class, and no more.
    """
    owner = _owner(app, tenant)
    with translated(), app.reading() as connection:
        scores = read_scores(connection, owner)
    return _stored(app, table_model(scores), owner, actor)


def classifiers(app: App, tenant: str | None = None) -> dict[str, Any]:
    """
    List the stored classifiers, the newest first, or those that a tenant may use.
    """
    with translated(), app.reading() as connection:
        name = None if tenant is None else known_tenant(connection, tenant).tenant
        return {"classifiers": [_told(row) for row in app.classifiers.rows(connection, name)]}


def show_classifier(app: App, version: str) -> dict[str, Any]:
    """
    Return a classifier: what it was trained on, how it ranked, and what it takes for familiar.

    Raises:
        Rejected: `unknown_classifier`.
    """
    wanted = fields.word(version, "version")
    with translated(), app.reading() as connection:
        row = app.classifiers.find(connection, wanted)
    if row is None:
        raise Rejected("unknown_classifier", f"there is no classifier {wanted!r}")
    with translated():
        model = read_model(row.weights)
    classes = {name: _class(model, name) for name in sorted(model.classes)}
    return {**_told(row), "terms": 0 if model.words is None else len(model.words.terms), "classes": classes}


def missing(app: App, policy: Policy, tenant: str | None) -> list[str]:
    """
    Warn of a policy whose learned classifier is not there, so that each call goes to the larger tier.

    Args:
        tenant: Whose policy it is; None is that of everybody; its tenants may have their own classifiers.
    """
    rule = policy.routing.learned
    if policy.routing.classifier != "learned":
        return []
    owner = EVERYBODY if tenant is None else tenant
    with translated(), app.reading() as connection:
        found = app.classifiers.model(connection, owner, rule.version)
    if not isinstance(found, str):
        return []
    field = "routing.learned.version" if rule.version is not None else "routing.classifier"
    found += " for everybody" if tenant is None and rule.version is None else ""
    fix = "Calls without a tier of their own go to the larger one. See: outlay classifier list, outlay train."
    return [f"{field}: {found}. {fix}"]


def _class(model: LearnedModel, name: str) -> dict[str, float | int]:
    row = model.classes[name]
    return {"weak": round(row.weak, 4), "strong": round(row.strong, 4), "examples": row.count}


def _owner(app: App, tenant: str | None) -> str:
    if tenant is None:
        return EVERYBODY
    with translated(), app.reading() as connection:
        return known_tenant(connection, tenant).tenant


def _stored(app: App, model: Model, owner: str, actor: str) -> dict[str, Any]:
    version = model.version if owner == EVERYBODY else f"{owner[:40]}-{model.version}"
    row = ClassifierRow(
        version=version,
        tenant=owner,
        data_hash=model.data_hash,
        quality=json.dumps(model.quality, sort_keys=True),
        weights=model.weights,
        actor=fields.word(actor, "actor"),
        at_us=now_us(),
    )
    with translated():
        replayed = not app.classifiers.add(row)
    return {**_told(row), "replayed": replayed, "warnings": _doubts(model.quality)}


def _doubts(quality: Mapping[str, Any]) -> list[str]:
    """
    Say that a classifier is not worth using, as it is at once the newest.
    """
    if not quality["folds"]:  # from scores: nobody can say how it ranks
        return []
    ranking = quality["ranking"]
    if ranking is None:
        said = "on these examples the larger tier is no better than the smaller one: nothing to gain"
    elif ranking["apgr"] < APGR_USEFUL:
        said = f"it ranks hardly better than chance: apgr {ranking['apgr']}, chance is 0.5"
    else:
        return []
    return [f"{said}. Do not use it: name another in routing.learned.version, or train on other examples."]


def _told(row: ClassifierRow) -> dict[str, Any]:
    quality: Mapping[str, Any] = json.loads(row.quality)
    return {
        "version": row.version,
        "tenant": None if row.tenant == EVERYBODY else row.tenant,
        "data_hash": row.data_hash,
        "quality": quality,
        "actor": row.actor,
        "at": instant_text(row.at_us),
    }
