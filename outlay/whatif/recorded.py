"""
One decision of the log in the words of a preview: what was asked, what served it, what it cost.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pricing.money import PPM, scale_ceil
from router.codec import Inputs, from_json
from router.types import Offer, Reason

COLUMNS: Final = (
    "id", "tenant", "at_us", "finished_us", "outcome", "code", "task", "session", "asked_model", "asked_tier",
    "served_model", "served_tier", "effort", "max_tokens", "level", "offers", "inputs", "prices",
    "policy_tenant", "policy_version", "held_nanos", "cost_nanos", "booked_nanos", "usage", "parent",
    "strategy",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Served:
    """
    What served a call, or would have.
    """

    model: str
    tier: str | None
    effort: str | None
    max_tokens: int

    @property
    def sent(self) -> tuple[str, str | None, int]:
        """
        Give what the provider is asked for; a tier of another name alone is no other answer.
        """
        return self.model, self.effort, self.max_tokens


@dataclass(frozen=True)
class Recorded:
    """
    A decision as the log has it.

    Attributes:
        inputs: None where the router did not decide: offers of the caller's own, or refused before.
    """

    row: Mapping[str, Any]
    inputs: Inputs | None

    @property
    def id(self) -> str:
        """
        Give the id of the decision.
        """
        return str(self.row["id"])

    @property
    def is_first(self) -> bool:
        """
        Tell whether it is the first attempt of its call, as which the call is counted.
        """
        return self.row["parent"] is None

    @property
    def call(self) -> str:
        """
        Give the id of the call: that of its first attempt.
        """
        return str(self.row["parent"] or self.id)

    @property
    def tenant(self) -> str:
        """
        Give the tenant that pays.
        """
        return str(self.row["tenant"])

    @property
    def at_us(self) -> int:
        """
        Give the instant of the decision.
        """
        return int(self.row["at_us"])

    @property
    def outcome(self) -> str:
        """
        Give what came of the call.
        """
        return str(self.row["outcome"])

    @cached_property
    def served(self) -> Served | None:
        """
        Give what served the call; None where it was refused.
        """
        row = self.row
        if self.outcome == "refused" or row["served_model"] is None:
            return None
        return Served(row["served_model"], row["served_tier"], row["effort"], row["max_tokens"] or 0)

    @cached_property
    def offers(self) -> tuple[Mapping[str, Any], ...]:
        """
        Give the offers of the decision, best first.
        """
        return tuple(json.loads(self.row["offers"] or "[]"))

    @cached_property
    def expected_nanos(self) -> int:
        """
        Give the cost that was expected of the offer that served; 0 where none did.
        """
        served = self.served
        for offer in self.offers if served is not None else ():
            if (offer["model"], offer["effort"], offer["max_tokens"]) == served.sent:  # type: ignore[union-attr]  # above
                return int(offer["expected_cost_nanos"])
        return 0

    @property
    def held_nanos(self) -> int:
        """
        Give the most that the call could have cost, which was held for it.
        """
        return int(self.row["held_nanos"] or 0)

    @property
    def cost_nanos(self) -> int:
        """
        Give what was recorded when it ended; a call of which nobody knows was captured at its hold.
        """
        if self.served is None:
            return 0
        known = self.row["cost_nanos"]
        return self.held_nanos if known is None else int(known)

    @property
    def booked_nanos(self) -> int:
        """
        Give what it cost as the books have it now: what was told later, or corrected by an operator.
        """
        booked = self.row["booked_nanos"]
        return self.cost_nanos if booked is None or self.served is None else int(booked)

    @cached_property
    def usage(self) -> Mapping[str, Any] | None:
        """
        Give the usage as the provider reported it.
        """
        text = self.row["usage"]
        found = json.loads(text) if text else None
        return found if isinstance(found, Mapping) else None


@dataclass(frozen=True, slots=True)
class Then:
    """
    What would have come of a call.

    Attributes:
        code: Of the refusal; None where it is served.
        estimated: The cost is the expected one, as there is no usage to go by.
        over: It would have cost more than its bound.
    """

    served: Served | None
    code: str | None
    cost_nanos: int
    reasons: tuple[Reason, ...] = ()
    asked_tier: str | None = None
    estimated: bool = False
    over: bool = False


def read(row: Mapping[str, Any]) -> Recorded:
    """
    Read a row of the log.

    Raises:
        CodecError: Its inputs cannot be read.
    """
    text = row["inputs"]
    return Recorded(row, None if text in ("", "{}") else from_json(Inputs, text))


def of_offer(offer: Offer) -> Served:
    """
    Say what an offer asks of the provider.
    """
    return Served(offer.model, offer.tier, offer.effort, offer.max_tokens)


def charge(cost_nanos: int, multiplier_ppm: int) -> int:
    """
    Turn a cost into what the tenant pays.
    """
    return cost_nanos if multiplier_ppm == PPM else scale_ceil(cost_nanos, multiplier_ppm)
