"""
What the in-process API hands out: a hold to be closed by its caller, and a decision that holds nothing.

A hold left open is never given back by itself: whether the provider was called is known to its caller only.
It is captured when it expires, and a settlement that comes later still corrects that. While the block of a
`with` statement runs, its hold is renewed.
"""

import logging
from dataclasses import dataclass
from typing import Any

from outlay import fields
from outlay.leases import Lease, Leases
from pricing.money import format_usd
from router.types import Choice, Reason

_log = logging.getLogger("outlay")
Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """
    What would be offered now; nothing is held by it.

    Attributes:
        may_spend: Whether credits and every budget have room for this offer at this instant.
        cost_bound_usd: Most that the call can cost at the provider.
        reasons: Why, in order, each with code, text and numbers.
        alternatives: Models of the offers after this one, which are taken when the money has gone meanwhile.
    """

    model: str
    tier: str | None
    effort: str | None
    max_tokens: int
    may_spend: bool
    cost_bound_usd: str
    expected_cost_usd: str
    asked_model: str
    asked_tier: str | None
    reasons: tuple[Reason, ...]
    alternatives: tuple[str, ...]


def decision_of(choice: Choice, fitting: int | None) -> Decision:
    """
    Put a choice in words.

    Args:
        fitting: Place of the first offer that the money bears; None where it bears none.
    """
    index = 0 if fitting is None else fitting
    offer = choice.offers[index]
    return Decision(
        model=offer.model,
        tier=offer.tier,
        effort=offer.effort,
        max_tokens=offer.max_tokens,
        may_spend=fitting is not None,
        cost_bound_usd=format_usd(offer.cost_bound_nanos),
        expected_cost_usd=format_usd(offer.expected_cost_nanos),
        asked_model=choice.asked_model,
        asked_tier=choice.asked_tier,
        reasons=(*choice.reasons, *offer.reasons),
        alternatives=tuple(other.model for other in choice.offers[index + 1 :]),
    )


class HeldMoney:
    """
    Money that stands for one call.

    Attributes:
        id: Of the hold and of its decision record.
        offer: Place of what was chosen among the offers.
        model: To be called; for offers of the caller's own, the name of the chosen one.
        tier, effort, max_tokens: As routed; None for offers of the caller's own.
        request: Body to send, translated for the model; None for offers of the caller's own.
        held_usd: What is kept for it at most, as the tenant pays; `held_cost_usd` as the provider bills.
        expires_at: When it is captured if nobody closed it.
        reasons: Why, in order, each {"code", "text", "numbers"}.
        closed: Whether it was settled or released through this object.
    """

    def __init__(self, tenant: str, answer: Answer, leases: Leases | None) -> None:
        self.tenant = tenant
        self.id: str = answer["hold"]
        self.offer: int = answer["offer"]
        self.model: str = answer["model"]
        self.tier: str | None = answer["tier"]
        self.effort: str | None = answer["effort"]
        self.max_tokens: int | None = answer["max_tokens"]
        self.request: Answer | None = answer.get("request")
        self.held_usd: str = answer["held_usd"]
        self.held_cost_usd: str = answer["held_cost_usd"]
        self.expires_at: str = answer["expires_at"]
        self.reasons: tuple[Answer, ...] = tuple(answer["reasons"])
        self.closed = False
        self._leases = leases
        self._lease: Lease | None = None

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"until {self.expires_at}"
        return f"<{type(self).__name__} {self.id} of {self.tenant}: {self.held_usd} USD, {state}>"

    def _entered(self) -> None:
        if self._leases is not None and not self.closed:
            expires_us = fields.instant_us(self.expires_at, "expires_at", "UTC")
            self._lease = self._leases.keep(self.tenant, self.id, expires_us)

    def _ended(self) -> None:
        self.closed = True
        if self._lease is not None:
            self._lease.end()

    def _left(self) -> None:
        if self._lease is not None:
            self._lease.end()
        if not self.closed:
            _log.warning(
                "hold %s of tenant %s was left open: its %s USD stay held, and are captured at %s; "
                "settle it, or release it if the provider was not called",
                self.id, self.tenant, self.held_usd, self.expires_at,
            )  # fmt: skip
