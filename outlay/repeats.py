"""
The caller's own key: a call that comes again under it is not paid for twice.

Each try of a call is held for under the key and a number. A try that certainly was not billed (its hold was
given back) leaves the next number free, so that the key may be tried again; all else has used the key up.
The attempts of a strategy share their caller's key and count on, each from where the one before it ended.
"""

import hashlib
import json
from collections.abc import Callable, Generator
from typing import Any, Final

from ledger.read_models import HoldRow
from ledger.types import Held, Reason, Refused, Reserve, Result
from ledger.types import hold_key as own_key
from outlay import records
from outlay.calls import CallRequest
from outlay.effects import Commit, FindHold, FindTry, ask

TRIES_MAX: Final = 256
"""A call looks for a free number among so many, as long as none of them was billed."""
HOLDS: Final = "holds"
"""The surface of a caller that talks to a provider itself."""
_GIVEN_BACK: Final = "released"


def hold_key(request: CallRequest, hold_id: str, number: int) -> str:
    """
    Name a hold so that the same call is not held for twice, where its caller can tell it apart.

    A question of the flow's own has numbers of its own under its call's key.
    """
    own = request.idempotency_key
    if own is None:
        return own_key(hold_id)
    return f"{'ask' if request.link.inner else 'call'}:{number}:{own}"


def stands_for(request: CallRequest) -> str:
    """
    Recognise a call that comes again under its caller's key: by what it says itself, its offers, or its body.
    """
    if request.idempotency_key is None or request.request_hash:
        return request.request_hash
    return digest([(one.model, one.cost_bound_nanos) for one in request.offers] or request.body)


def digest(asked: object) -> str:
    """
    Return a short text that differs where what is asked differs.
    """
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def reserve(reservation: Callable[[int], Reserve], first: int) -> Generator[Any, Any, tuple[Result, int]]:
    """
    Hold money under the first number that is free.

    Returns:
        The ledger's answer, a hold of an earlier call where the key is used up; and the number after it.
    """
    for number in range(first, first + TRIES_MAX):
        reply = yield from ask(Commit(reservation(number)))
        if not (isinstance(reply, Held) and reply.replayed and reply.state == _GIVEN_BACK):
            break
    return reply, number + 1


def named(request: CallRequest, refused: Refused) -> Generator[Any, Any, Refused]:
    """
    Say of a key that stands for another request which call has used it, and name it as its caller does.
    """
    if refused.reason is not Reason.KEY_CONFLICT:
        return refused
    found = yield from ask(FindTry(request.tenant, str(refused.numbers["key"])))
    first = None if found is None else found.id
    return Refused(refused.reason, {"key": request.idempotency_key, "first_decision": first})


def open_again(request: CallRequest, first_id: str) -> Generator[Any, Any, HoldRow | None]:
    """
    Find the hold that the same order has made, while it is open, for a caller that sends for itself.
    """
    if request.surface != HOLDS:
        return None
    found = yield from ask(FindHold(first_id))
    if found is None or found.state != "open" or found.request_hash != stands_for(request):
        return None
    return found if plan_of(found) is not None else None


def plan_of(found: HoldRow) -> records.Plan | None:
    """
    Read the plan of a hold whose caller sends for itself; None for one of another surface.
    """
    plan = records.read_plan(found.plan)
    return plan if plan is not None and plan.get("surface") == HOLDS else None


def free_number(request: CallRequest) -> Generator[Any, Any, int | None]:
    """
    Find the number that a call would be held under, before anything is paid; None where its key is used.

    It only reads: another process may be faster, so that the hold decides.
    """
    first = request.link.tries
    if request.idempotency_key is None:
        return first
    for number in range(first, first + TRIES_MAX):
        found = yield from ask(FindTry(request.tenant, hold_key(request, "", number)))
        if found is None:
            return number
        if found.state != _GIVEN_BACK or found.request_hash != stands_for(request):
            return None
    return None
