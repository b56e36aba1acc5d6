"""
Classifiers: trained on a file of examples, or on a tenant's scores with or without prompts; stored, shown.

A stored classifier is never changed or removed, as decisions name it; the policy says which one is used
(`routing.learned.version`), the newest of use where it names none.
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
from outlay.learned.from_prompts import Asked, Joined, join
from outlay.learned.from_scores import read_scores, table_model
from outlay.learned.train import ROWS_MIN, Model, train
from outlay.tables import EVERYBODY
from outlay.wiring import App
from outlay.words import plural
from router.learned import LearnedModel
from router.learned_read import read_model
from router.policy import Policy

_SEED_MAX: Final = 2**31 - 1
_LEFT_OUT: Final = {
    "unknown_decision": "without a decision of the tenant",
    "no_score": "without a score",
    "no_smaller_tier": "without a score of a smaller tier's answer (outlay score ID SCORE --model MODEL)",
    "no_larger_tier": "without a score of a larger tier's answer (outlay score ID SCORE --model MODEL)",
}
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
        version, tenant, data_hash, quality, automatic (it serves where a policy names none), at, replayed
        (the same one was stored already), warnings.
    Raises:
        Rejected: `examples_refused`, `extra_missing`.
    """
    number = fields.whole(seed, "seed", 0, _SEED_MAX)
    owner = _owner(app, tenant)
    return _stored(app, train(examples, number), owner, actor)


def train_on_prompts(
    app: App, asked: list[Asked], *, tenant: str, seed: int = 0, actor: str
) -> dict[str, Any]:
    """
    Train a classifier on a tenant's own scored decisions, whose prompts the owner brings, and store it.

    Returns:
        As `train_classifier`; also joined: rows, examples, the rows left_out by why, and text that says so.
    Raises:
        Rejected: As `train_classifier`; too few rows have scores for both tiers.
    """
    number, owner = fields.whole(seed, "seed", 0, _SEED_MAX), _owner(app, tenant)
    with translated(), app.reading() as connection:
        found = join(connection, owner, app.policies.applied(connection, owner).policy, asked)
    if len(found.examples) < ROWS_MIN:
        raise Rejected(
            "examples_refused", f"{_told_of_rows(found)}. A model is trained on {ROWS_MIN} or more"
        )
    made = _stored(app, train(found.examples, number), owner, actor)
    joined = {"rows": found.rows, "examples": len(found.examples), "left_out": dict(found.left_out)}
    return {**made, "joined": {**joined, "text": _told_of_rows(found)}}


def _told_of_rows(found: Joined) -> str:
    """Say how many rows became examples, and what the others lack."""
    lacking = [f"{count} {_LEFT_OUT[why]}" for why, count in found.left_out.items()]
    whole = f"{len(found.examples)} of {plural(found.rows, 'row')} with scores for both tiers"
    return "; ".join([whole, *lacking])


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


def doubts(app: App, policy: Policy, tenant: str | None) -> list[str]:
    """
    Warn of a policy whose learned classifier is not there, so that each call goes to the larger tier.

    Also of a max_risk that is over what the classifier is proven to keep the policy's promise with.

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
            row = app.classifiers.find(connection, found.version)
            return [] if row is None or rule.max_risk is None else _over(row, policy, rule.max_risk)
    field = "routing.learned.version" if rule.version is not None else "routing.classifier"
    found += " for everybody" if tenant is None and rule.version is None else ""
    fix = "Calls without a tier of their own go to the larger one. See: outlay classifier list, outlay train."
    return [f"{field}: {found}. {fix}"]


def _over(row: ClassifierRow, policy: Policy, max_risk: float) -> list[str]:
    """Hold a risk against the highest that is proven for the promise of the policy."""
    promise, proposals = policy.routing.calibration.max_failed_ratio, json.loads(row.quality)["proposals"]
    risks = [one["max_risk"] for one in proposals if one["promise"] <= promise]
    proven = [risk for risk in risks if risk is not None]
    if not proposals or max_risk <= max(proven, default=-1.0):
        return []
    most = f"only up to {max(proven)}" if proven else "at no risk"
    said = f"classifier {row.version} is proven to keep max_failed_ratio = {promise:g} {most}"
    return [f"routing.learned.max_risk: {max_risk:g}, but {said}. See: outlay classifier show {row.version}"]


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
    useless = _useless(model.quality)
    row = ClassifierRow(
        version=version,
        tenant=owner,
        data_hash=model.data_hash,
        quality=json.dumps(model.quality, sort_keys=True),
        weights=model.weights,
        automatic=useless is None,
        actor=fields.word(actor, "actor"),
        at_us=now_us(),
    )
    with translated():
        replayed = not app.classifiers.add(row)
    fix = f'Policies do without it, unless one says [routing.learned] version = "{version}".'
    warnings = [] if useless is None else [f"{useless}. {fix} Train on other examples."]
    return {**_told(row), "replayed": replayed, "warnings": warnings}


def _useless(quality: Mapping[str, Any]) -> str | None:
    """
    Say why a classifier is not worth using; None where it is, or where nobody can say how it ranks.
    """
    ranking = quality["ranking"]
    if not quality["folds"]:  # from scores
        return None
    if ranking is None:
        return "on these examples the larger tier is no better than the smaller one: nothing to gain"
    if ranking["apgr"] < APGR_USEFUL:
        return f"it ranks hardly better than chance: apgr {ranking['apgr']}, chance is 0.5"
    return None


def _told(row: ClassifierRow) -> dict[str, Any]:
    quality: Mapping[str, Any] = json.loads(row.quality)
    return {
        "version": row.version,
        "tenant": None if row.tenant == EVERYBODY else row.tenant,
        "data_hash": row.data_hash,
        "quality": quality,
        "automatic": bool(row.automatic),
        "actor": row.actor,
        "at": instant_text(row.at_us),
    }
