"""
Digests of operations and stored answers as compact JSON (pure).
"""

import json
from dataclasses import fields
from typing import Any, cast

from ledger import results
from ledger.chain import compact_json, list_hash
from ledger.results import Reason, Refused, Result
from ledger.types import Operation, Reserve, TopUp

_NOT_BODY = frozenset({"tenant", "key", "now_us", "actor"})
_LATER: dict[type, dict[str, Any]] = {TopUp: {"effective_us": None}}
"""Fields younger than their operation: left out where they say nothing, so older keys keep their digest."""
_BODY: dict[type, tuple[str, ...]] = {}
_FIELDS: dict[type, tuple[str, ...]] = {}


def digest(op: Operation) -> str:
    """
    Return the digest of what an idempotency key stands for.

    A reservation with a `request_hash` is that request: its offers and its hold id may differ on a retry.
    """
    if isinstance(op, Reserve):
        if op.request_hash != "":
            return op.request_hash
        offers = [[offer.cost_nanos, offer.expected_nanos, offer.plan, offer.waits] for offer in op.offers]
        return list_hash("Reserve", offers, op.ttl_us, op.scopes, op.enforce)
    kind = type(op)
    names = _BODY.get(kind)
    if names is None:
        names = _BODY[kind] = tuple(f.name for f in fields(op) if f.name not in _NOT_BODY)
    values = [getattr(op, name) for name in names]
    for name, silent in _LATER.get(kind, {}).items():
        if getattr(op, name) == silent:
            del values[names.index(name)]
    return list_hash(kind.__name__, *values)


def result_to_json(result: Result) -> str:
    """
    Write an answer so that a replay can give it again.
    """
    if isinstance(result, Refused):
        return compact_json({"type": "Refused", "reason": result.reason, "numbers": dict(result.numbers)})
    kind = type(result)
    names = _FIELDS.get(kind)
    if names is None:
        names = _FIELDS[kind] = tuple(f.name for f in fields(result) if f.name != "replayed")
    values = {name: getattr(result, name) for name in names}
    return compact_json({"type": kind.__name__, **values})


def result_from_json(text: str) -> Result:
    """
    Read a stored answer, marked as replayed; a field younger than the text takes its default.
    """
    values = json.loads(text)
    kind = values.pop("type")
    if kind == "Refused":
        return Refused(Reason(values["reason"]), values["numbers"])
    return cast("Result", getattr(results, kind)(**values, replayed=True))
