"""
The words of a call: what an edge asks, what it is told to send, what came of it, what is answered.

Plain values, shared by the flow, its two drivers and the edges. No I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from router.types import Hints, Offer, Reason, Rights

TRUSTED: Final = Rights(loosen=True)
"""What callers in process may ask for: they are the owner's own."""


@dataclass(frozen=True, slots=True)
class Link:
    """
    How an attempt hangs together with the others of one decision; the first attempt is that decision.

    Attributes:
        parent: The decision that it belongs to; None for the first.
        attempt: Its number, 0 for the first.
        strategy: fallback, cascade, speculative, workflow, judge, classifier; None for a plain call.
        reasons: Why there is this attempt, to open its explanation with.
        without: Models that failed before, and are not to be used.
        tier: Highest tier that may serve it; None leaves that to the choice.
        tried: How many attempts of the same call ended before it.
        most_nanos: Most that it may cost at the provider, whatever budgets bear; None is no such limit.
        timeout_ms: How long whoever sends it waits for its answer; None is the edge's own patience.
        inner: Its answer is for the flow itself (a classifier's, say): edges give it back in `Completed`
            and show nothing of it to the caller.
        task: Task that it is made for though it is no call of it: that one's privacy class binds it.
        scopes: Budgets of the call that it is made for, which bear it as well.
        chosen: A strategy of the caller's has named its tier, so that no classifier of the policy does.
        tries: How many numbers of the caller's key were used by what came before it (`outlay/repeats.py`).
    """

    parent: str | None = None
    attempt: int = 0
    strategy: str | None = None
    reasons: tuple[Reason, ...] = ()
    without: frozenset[str] = frozenset()
    tier: str | None = None
    tried: int = 0
    most_nanos: int | None = None
    timeout_ms: int | None = None
    inner: bool = False
    task: str | None = None
    scopes: tuple[str, ...] = ()
    chosen: bool = False
    tries: int = 0


@dataclass(frozen=True, slots=True)
class CallRequest:
    """
    One call of a model, as an edge received it.

    Attributes:
        tenant: Who pays.
        key_id: Which key was shown; empty in process.
        body: Body of `POST /v1/messages`, as the caller sent it.
        betas: Names in the caller's `anthropic-beta` header.
        idempotency_key: The caller's own key; None makes every call a new one.
        surface: Where it came in: gateway, python or holds.
        offers: Ways to serve the call that its caller brings, best first, instead of having it routed.
        hold_ttl_s: How long its money is held at most; None leaves that to the policy.
        link: What it has to do with other attempts.
        request_hash: What its idempotency key stands for; empty for its body, or its own offers.
    """

    tenant: str
    body: Mapping[str, object]
    key_id: str = ""
    rights: Rights = field(default_factory=Rights)
    hints: Hints = field(default_factory=Hints)
    betas: frozenset[str] = frozenset()
    idempotency_key: str | None = None
    surface: str = "gateway"
    offers: tuple[Offer, ...] = ()
    hold_ttl_s: int | None = None
    link: Link = field(default_factory=Link)
    request_hash: str = ""


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where a call is sent; the key's value never appears in a record or a log."""

    name: str
    url: str
    key: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Sending:
    """
    What the flow wants sent now; the hold stands and the kill switch was just read.

    Attributes:
        decision_id: Also the hold's id.
        body: Request body, translated for the served model.
        headers: `outlay-*` headers of the answer that are known before its first byte.
        offer: What was chosen, and `offer_index` its place among the offers.
        reasons: Why, in order.
        held_nanos: Charge that is held; it is captured at `expires_us` if nobody closes the call.
        link: Which attempt this is; of an inner one the answer goes to the flow, not to the caller.
        asked_nanos: What a question of the flow's own has cost for it; at its bound while nobody knows.
    """

    decision_id: str
    model: str
    body: Mapping[str, object]
    upstream: Upstream
    headers: Mapping[str, str]
    offer: Offer
    offer_index: int
    reasons: tuple[Reason, ...]
    held_nanos: int
    expires_us: int
    link: Link = field(default_factory=Link)
    asked_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Completed:
    """
    The provider answered with a message.

    Attributes:
        usage: Its usage object (merged, for a stream).
        answer: The whole message, of an inner attempt only.
    """

    model: str
    usage: Mapping[str, object]
    answer: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """
    The provider answered with an error, which it does not bill.

    Attributes:
        final: Its caller cannot be given another answer any more: part of this one is out, or it left.
    """

    status: int
    error_type: str = ""
    error_code: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """
    The request certainly never reached the provider.

    Attributes:
        given_up: The caller gave it up, which says nothing about the provider; else it could not be reached.
    """

    why: str
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """
    A stream began and ended before its final usage.

    Attributes:
        usage: What was reported so far (input side from `message_start`).
        output_bytes: UTF-8 bytes of content seen, from which output is estimated; None where it was hidden.
        given_up: The caller ended it, which says nothing about the provider.
    """

    model: str
    usage: Mapping[str, object]
    output_bytes: int | None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class Uncertain:
    """
    The connection was lost after the request may have been sent, and no answer came.

    Attributes:
        given_up: The caller ended it, which says nothing about the provider.
    """

    why: str
    given_up: bool = False


Outcome = Completed | Failed | NotSent | Broken | Uncertain

FORSAKEN: Final = NotSent("not_sent: the caller left before it", given_up=True)
"""Of what the flow wants sent after its caller has left."""


def final(outcome: Outcome) -> Outcome:
    """
    Say of an outcome that its caller cannot be given another answer, so that nothing else is tried.
    """
    return replace(outcome, final=True) if isinstance(outcome, Failed) else outcome


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A call that Outlay did not let through.

    Attributes:
        code: Stable code, as tabled in the reference (`outlay_credit_exhausted`, ...).
        status: HTTP status for the edges.
        error_type: Anthropic's error type of that status.
        retry: Whether the same request may succeed shortly; becomes `x-should-retry`.
        retry_after_s: Seconds to wait, where that is known.
        details: The numbers that explain it; money as decimal text in USD.
        asked_nanos: What a question of the flow's own has cost before it came to this.
    """

    decision_id: str
    code: str
    status: int
    error_type: str
    message: str
    retry: bool
    retry_after_s: int | None
    details: Mapping[str, object]
    asked_nanos: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """
    A call that ended and is accounted for.

    Attributes:
        outcome: served, failed, broken or uncertain.
        cost_nanos: What the provider bills; None while that is not known (uncertain).
        headers: `outlay-*` headers of the answer that became known at its end.
    """

    decision_id: str
    outcome: str
    cost_nanos: int | None
    headers: Mapping[str, str]


Result = Refused | Done
