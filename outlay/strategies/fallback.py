"""
Fallback: a call that the provider turned away is tried again with another model.

Only what certainly was not billed is tried again, and only where the policy lists the failure
(`[routing.fallback]`). Pure: `outlay/flow.py` carries the attempts out, each with a hold of its own.
"""

from dataclasses import dataclass, replace
from typing import Final

from outlay.calls import CallRequest, Failed, Link, NotSent, Outcome, Result, Sending
from pricing.facts import model_facts
from router.policy import Policy
from router.types import Choice, Reason, ReasonCode, Refusal, RefusalCode

AVOID_US: Final = 60 * 1_000_000
"""A model that failed is out of service for its own call's next attempts; nobody else heeds this."""
_LIMITS: Final = ("spend_limit_reached",)


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One attempt that has ended: what was asked, what was sent, what came of it.

    Attributes:
        sending, outcome: None where it was refused before it was sent.
        policy: The policy that it was decided by.
    """

    request: CallRequest
    policy: Policy
    result: Result
    sending: Sending | None = None
    outcome: Outcome | None = None


def failure_of(outcome: Outcome) -> str | None:
    """
    Name a failure in the policy's words; None for what may have been billed or another model cannot mend.
    """
    match outcome:
        case NotSent(given_up=False):
            return "unreachable"
        case Failed(final=True):
            return None
        case Failed(status, error_type, error_code):
            return _kind(status, error_type, error_code)
        case _:
            return None


def _kind(status: int, error_type: str, error_code: str) -> str | None:
    if error_code.endswith(_LIMITS):
        return None  # the account's own limit: it holds for every model
    if status == 429 or error_type == "rate_limit_error":
        return "rate_limit"
    if status == 529 or error_type == "overloaded_error":
        return "overload"
    return "server_error" if status >= 500 else None


def following(ended: Attempt) -> CallRequest | None:
    """
    Say what is to be tried after an attempt, if anything.
    """
    request, sending, rule = ended.request, ended.sending, ended.policy.routing.fallback
    if sending is None or ended.outcome is None or request.offers or request.link.inner:
        return None
    failure = failure_of(ended.outcome)
    if failure not in rule.on or request.link.tried + 1 >= rule.attempts:
        return None
    link = request.link
    return replace(
        request,
        link=replace(
            link,
            parent=link.parent or sending.decision_id,
            attempt=link.attempt + 1,
            strategy="fallback",
            reasons=(*link.reasons, _reason(sending, failure, ended.outcome)),
            without=link.without | _failed_models(sending.model, failure, ended.policy),
            tier=sending.offer.tier,
            tried=link.tried + 1,
            most_nanos=None if link.most_nanos is None else link.most_nanos - sending.asked_nanos,
        ),
    )


def _failed_models(model: str, failure: str, policy: Policy) -> frozenset[str]:
    """Models of one line share a rate limit; every other failure is the model's own."""
    if failure != "rate_limit":
        return frozenset({model})
    line = model_facts(model).line
    return frozenset({model, *(name for name in policy.model_ranks if model_facts(name).line == line)})


def _reason(sending: Sending, failure: str, outcome: Outcome) -> Reason:
    status = outcome.status if isinstance(outcome, Failed) else None
    said = "could not be reached" if status is None else f"answered {status} ({failure})"
    text = f"{sending.model} {said}; the call goes on without it"
    return Reason(
        ReasonCode.FALLBACK, text, {"model": sending.model, "status": status, "failed": sending.decision_id}
    )


def avoided(link: Link, at_us: int) -> dict[str, int]:
    """
    Give the models that failed this call, as the router is told of models out of service.
    """
    return dict.fromkeys(link.without, at_us + AVOID_US)


def within(link: Link, choice: Choice | Refusal, policy: Policy) -> Choice | Refusal:
    """
    Refuse a choice that would try a failed model again (observe mode) or lead up: an outage never does.
    """
    if isinstance(choice, Refusal) or not link.tried:
        return choice
    offer, ranks = choice.offers[0], policy.tier_ranks
    before = None if link.tier is None else ranks.get(link.tier)  # the policy may have changed meanwhile
    up = before is not None and offer.tier is not None and ranks[offer.tier] < before
    if offer.model not in link.without and not up:
        return choice
    text = f"no other model may serve this call in place of {', '.join(sorted(link.without))}"
    return Refusal(RefusalCode.BREAKER_OPEN, text, {}, level=choice.level)
