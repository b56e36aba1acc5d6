"""
Quality scores: attached to decisions by who can judge them, and what they prove of each task class.
"""

import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from sqlalchemy import Connection

from outlay import fields, reports_quality
from outlay.admin.common import known_tenant, zone_of
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected, translated
from outlay.fields import instant_text
from outlay.ids import new_id
from outlay.reports_quality import ClassRow
from outlay.scores_sql import Score, counting
from outlay.wiring import App
from pricing.facts import UnknownModel, known_models, model_facts
from pricing.money import PPM
from router.codec import CodecError, Inputs, from_json
from router.complexity import task_class
from router.policy import Policy

SOURCE: Final = "user"
_WORDS: Final = {"pass": PPM, "fail": 0, "true": PPM, "false": 0}
_NUMBER: Final = re.compile(r"[0-9.eE+-]{1,200}")
_SCORE_FIX: Final = 'Write a number from 0 to 1, true or false, "pass" or "fail".'
_WEIGHT_FIX: Final = "Write a number over 0 and at most 1; 1 is a judge who is sure."
_SAID: Final = ("decision_id", "tenant", "served_model", "score_ppm", "weight_ppm", "source", "comment")


def score(
    app: App,
    decision_id: str,
    value: object,
    *,
    source: str = SOURCE,
    weight: object = 1,
    comment: str = "",
    model: str | None = None,
    idempotency_key: str | None = None,
    actor: str,
    of_tenant: str | None = None,
) -> dict[str, Any]:
    """
    Say how good the answer of a decision was.

    Args:
        value: 0 to 1, a truth value (or its word, "true" or "false"), "pass" or "fail".
        source: Who judged. Of each source the newest score of a decision counts, and only once.
        weight: How far the judge is to be trusted, over 0 and at most 1.
        model: Whose answer is judged, where it is not the one that served: another model was tried on the
            same call, and nobody had to be downgraded to find out.
        of_tenant: Only a decision of this tenant; any other is unknown to it.
    Returns:
        score (its id), decision, model, value, weight, source, comment, actor, at, task_class, downgraded,
        replayed.
    Raises:
        BadInput: A value is none, or the call was refused, so that nothing served it.
        Rejected: `unknown_decision`; `key_conflict` where the key was used for another score.
    """
    wanted, key = fields.word(decision_id, "decision"), fields.idempotency_key(idempotency_key)
    tried = None if model is None else known_model(model)
    said: dict[str, Any] = {
        "score_ppm": score_ppm(value),
        "weight_ppm": weight_ppm(weight),
        "source": fields.word(source, "source"),
        "comment": fields.reason(comment, "comment"),
        "actor": fields.word(actor, "actor"),
    }
    with translated(), app.reading() as connection:
        row = _decision(app, connection, wanted, of_tenant)
        if row["outcome"] == "refused" and tried is None:
            said_why = f"has no answer to score: it was refused ({row['code']})"
            raise BadInput("decision", wanted, said_why, "Score a decision that was served.")
        at_us = now_us()
        made = Score(
            id=_id(row["tenant"], key, at_us),
            at_us=at_us,
            **said,
            **_of_decision(app, connection, row, tried),
        )
        zone = zone_of(connection, row["tenant"])
    with translated():
        replayed = not app.scores.add(made)
    kept = _same(app, made, str(key)) if replayed else made
    told = {**_told(kept, zone), "task_class": kept.task_class, "downgraded": kept.downgraded}
    return {**told, "replayed": replayed}


def scores(app: App, decision_id: str, *, of_tenant: str | None = None) -> dict[str, Any]:
    """
    Return every score of a decision, the oldest first; `counts` marks the newest of each source.
    """
    wanted = fields.word(decision_id, "decision")
    with translated(), app.reading() as connection:
        row = _decision(app, connection, wanted, of_tenant)
        zone = zone_of(connection, row["tenant"])
        return {"decision": wanted, "scores": scores_of(app, connection, wanted, zone)}


def scores_of(app: App, connection: Connection, decision_id: str, zone: str) -> list[dict[str, Any]]:
    """
    Return the scores of a decision for people and JSON.
    """
    found = app.scores.of_decision(connection, decision_id)
    kept = {one.id for one in counting(found)}
    return [{**_told(one, zone), "counts": one.id in kept} for one in found]


def calibration(app: App, tenant: str | None = None) -> dict[str, Any]:
    """
    Return what scores prove of each task class: calls, failures, bound and state.
    """
    if tenant is not None:
        with translated(), app.reading() as connection:
            tenant = known_tenant(connection, tenant).tenant
    return {"classes": [_class(row) for row in reports_quality.calibration(app, tenant)]}


def score_ppm(value: object) -> int:
    """
    Read a score: 0 to 1, a truth value (or its word, "true" or "false"), "pass" or "fail".
    """
    if isinstance(value, bool):
        return PPM if value else 0
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    ppm = _ppm(value)
    if ppm is None:
        raise BadInput("score", value, "not a score", _SCORE_FIX)
    return ppm


def weight_ppm(value: object) -> int:
    """
    Read a weight: over 0, at most 1.
    """
    ppm = None if isinstance(value, bool) else _ppm(value)
    if ppm is None or ppm == 0:
        raise BadInput("weight", value, "not a weight", _WEIGHT_FIX)
    return ppm


def known_model(name: object) -> str:
    """
    Return the id of a model that has a price.
    """
    word = fields.word(name, "model")
    try:
        return model_facts(word).id
    except UnknownModel as error:
        fix = fields.close_name(word, known_models()) or "Give the id of a model that Outlay knows."
        raise BadInput("model", name, "unknown model", fix) from error


def _ppm(value: object) -> int | None:
    if not isinstance(value, int | float | str) or _NUMBER.fullmatch(str(value)) is None:
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return round(number * PPM) if number.is_finite() and 0 <= number <= 1 else None


def _decision(app: App, connection: Connection, wanted: str, of_tenant: str | None) -> Mapping[str, Any]:
    row = app.decisions.find(connection, wanted)
    if row is None or of_tenant not in (None, row["tenant"]):
        text = f"there is no decision {wanted}; a call in flight has none yet"
        raise Rejected("unknown_decision", text, {"decision": wanted})
    return row


def _of_decision(
    app: App, connection: Connection, row: Mapping[str, Any], tried: str | None
) -> dict[str, Any]:
    """Copy what the counts need, so that they read one table."""
    policy = app.policies.policy(connection, row["policy_tenant"], row["policy_version"])
    served_tier = row["served_tier"] if tried is None else _tier_of(policy, tried)
    return {
        "decision_id": row["id"],
        "tenant": row["tenant"],
        "task_class": _task_class(row),
        "served_tier": served_tier,
        "asked_tier": row["asked_tier"],
        "served_model": row["served_model"] if tried is None else tried,
        "downgraded": _below(policy, row["asked_tier"], served_tier),
    }


def _task_class(row: Mapping[str, Any]) -> str:
    try:
        return task_class(from_json(Inputs, row["inputs"]).profile)
    except CodecError:  # refused before it was classified, or with offers of the caller's own
        return str(row["task"] or row["asked_model"])


def _tier_of(policy: Policy | None, model: str) -> str | None:
    rank = None if policy is None else policy.model_ranks.get(model)
    return None if policy is None or rank is None else policy.tier_names[rank]


def _below(policy: Policy | None, asked_tier: str | None, served_tier: str | None) -> bool:
    if policy is None or asked_tier not in policy.tier_ranks or served_tier not in policy.tier_ranks:
        return False
    return policy.tier_ranks[served_tier] > policy.tier_ranks[asked_tier]


def _id(tenant: str, key: str | None, at_us: int) -> str:
    """Give the same id to what comes again under its sender's key."""
    return new_id(at_us) if key is None else hashlib.sha256(f"{tenant}\n{key}".encode()).hexdigest()[:32]


def _same(app: App, made: Score, key: str) -> Score:
    with translated(), app.reading() as connection:
        kept = app.scores.find(connection, made.id)
    if kept is None or any(getattr(kept, name) != getattr(made, name) for name in _SAID):
        text = "this idempotency key was used for another score; use another key"
        raise Rejected("key_conflict", text, {"key": key})
    return kept


def _told(one: Score, zone: str) -> dict[str, Any]:
    return {
        "score": one.id,
        "decision": one.decision_id,
        "model": one.served_model,
        "value": one.score_ppm / PPM,
        "weight": one.weight_ppm / PPM,
        "source": one.source,
        "comment": one.comment,
        "actor": one.actor,
        "at": instant_text(one.at_us, zone),
    }


def _class(row: ClassRow) -> dict[str, Any]:
    state = row.state
    return {
        "tenant": row.tenant,
        "task_class": row.task_class,
        "tier": row.tier,
        "n": state.n,
        "failed": state.failed,
        "failed_ratio": state.rate,
        "estimated_ratio": row.estimated_ratio,
        "bound": state.bound,
        "max_failed_ratio": row.max_failed_ratio,
        "confidence": row.confidence,
        "state": str(state.status),
        "needed": state.needed,
        "text": row.text,
    }
