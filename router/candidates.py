"""
Which models of a tier may serve a request at all: allowed, large enough, able to do what it uses, in service.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pricing.facts import ModelFacts
from router.ask import Ask
from router.costs import Costs
from router.types import NOTHING_KNOWN, Known, Profile

if TYPE_CHECKING:
    from router.policy_model import Policy

BARS_THINKING: Final = frozenset({"forced_tool_choice", "prefill", "sampling"})
"""What models refuse beside a thinking budget, see `router.translate`."""


@dataclass(frozen=True, slots=True)
class Place:
    """
    A model in its tier.
    """

    rank: int
    facts: ModelFacts


class Candidates:
    """
    The models that may serve one request.

    Args:
        unhealthy: Models that a provider breaker keeps out of service, and until when.
        known: What was measured; a model that is slower than the task allows may not serve it.
    """

    def __init__(
        self,
        profile: Profile,
        ask: Ask,
        policy: "Policy",
        costs: Costs,
        unhealthy: Mapping[str, int],
        now_us: int,
        known: Known = NOTHING_KNOWN,
    ) -> None:
        """
        Remember the request; models are looked at when they are asked for.
        """
        self._slow = _too_slow(ask, known)
        self._profile = profile
        self._ask = ask
        self._policy = policy
        self._costs = costs
        self._open = {model: until for model, until in unhealthy.items() if until > now_us}
        self._tiers = tuple(policy.tiers.values())

    @property
    def floor_rank(self) -> int:
        """
        Give the lowest tier allowed.
        """
        return self._ask.floor_rank

    @property
    def slow(self) -> Mapping[str, int]:
        """
        Give the models that take longer than the task allows, and how long.
        """
        return self._slow

    def asked(self) -> Place | None:
        """
        Find where the call would be served as it was asked: at the model that it names, else in its tier.
        """
        ask = self._ask
        return self.named() or next(self._places(range(ask.asked_rank, ask.floor_rank + 1)), None)

    def reopening(self, start: Place) -> Mapping[str, int]:
        """
        Give the models that could serve but are out of service, and until when.
        """
        places = self._places(range(start.rank, self._ask.floor_rank + 1))
        return {p.facts.id: self._open[p.facts.id] for p in (start, *places) if p.facts.id in self._open}

    def named(self) -> Place | None:
        """
        Give the model that the caller named, if it may serve.
        """
        facts, rank = self._ask.facts, self._ask.model_rank
        return (
            Place(rank, facts) if facts is not None and rank is not None and self._permitted(facts) else None
        )

    def start(self) -> Place | None:
        """
        Find the model that serves the request with money to spare, whether or not it is in service.

        Goes down from the asked tier to the floor, then up: a hard constraint may leave only a higher tier.
        """
        ask = self._ask
        ranks = (*range(ask.rank, ask.floor_rank + 1), *range(ask.rank - 1, -1, -1))
        return next(self._places(ranks), None)

    def in_service(self, place: Place) -> Place | None:
        """
        Keep a place that is in service, else find the next at or under its tier; an outage never leads up.
        """
        if place.facts.id not in self._open:
            return place
        return next(self._healthy(range(place.rank, self._ask.floor_rank + 1)), None)

    def lower(self, rank: int) -> Place | None:
        """
        Find the first model in service at or under a tier, down to the floor.
        """
        return next(self._healthy(range(rank, self._ask.floor_rank + 1)), None)

    def in_tier(self, rank: int) -> Place | None:
        """
        Find the first model in service of one tier.
        """
        return next(self._healthy((rank,)), None)

    def one(self, model: str, rank: int) -> Place | None:
        """
        Find a model of a tier by its id, if it may serve and is in service.
        """
        return next((place for place in self._healthy((rank,)) if place.facts.id == model), None)

    def _healthy(self, ranks: Sequence[int]) -> Iterator[Place]:
        return (place for place in self._places(ranks) if place.facts.id not in self._open)

    def _places(self, ranks: Sequence[int]) -> Iterator[Place]:
        return (Place(rank, facts) for rank in ranks for facts in self._of_tier(rank))

    def _of_tier(self, rank: int) -> Iterator[ModelFacts]:
        """
        Give the fitting models of a tier: the named one first, then in order.

        A model that cannot do all that the request uses, or that its prompt may be too long for, comes
        last, and only where the caller left the model to us.
        """
        ask = self._ask
        named = ask.facts if rank == ask.model_rank else None
        if named is not None and self._permitted(named):
            yield named
        if ask.pinned:
            return
        unable: list[ModelFacts] = []
        for facts in self._in_order(rank):
            if facts is named or not self._permitted(facts) or not self._in_geo(facts):
                continue
            if self._able(facts) and self._fits(facts, rank, margin=True):
                yield facts
            elif self._fits(facts, rank, margin=False):
                unable.append(facts)
        if rank == ask.rank and ask.model_rank is None:
            yield from unable

    def _in_order(self, rank: int) -> tuple[ModelFacts, ...]:
        """Give the models of a tier, the one that the call's class or role prefers first."""
        models, preferred = self._tiers[rank].facts, self._ask.preferred
        if rank != self._ask.rank or preferred is None or preferred not in models:
            return models
        return (preferred, *(facts for facts in models if facts is not preferred))

    def _permitted(self, facts: ModelFacts) -> bool:
        allowed = self._ask.allowed
        if facts.id in self._slow or (allowed is not None and facts.id not in allowed):
            return False
        return self._costs.priced(facts)

    def _fits(self, facts: ModelFacts, rank: int, *, margin: bool) -> bool:
        """
        Tell whether the prompt fits the context window, with room for the answer.

        The cost bound counts a token per byte, about four times the truth; where the typical count leaves
        half as much again to spare, the prompt fits as well.
        """
        bound = self._profile.bound
        typical = bound.expected_input_tokens(facts)
        likely = typical + typical // 2 if margin else typical
        room = facts.context_tokens - self.max_tokens(facts, rank)
        return likely <= room or bound.input_tokens(facts) <= room

    def _in_geo(self, facts: ModelFacts) -> bool:
        """Tell whether a model can be held to the region that the body names."""
        return bool(facts.geo_ppm) or "inference_geo" not in self._profile.features

    def _able(self, facts: ModelFacts) -> bool:
        """Tell whether a translation would keep what the request means."""
        features = self._profile.features
        if "forced_tool_choice" in features and not facts.forced_tool_choice:
            return False
        if "thinking" in features and not _thinks(facts, features):
            return False
        return not ("prefill" in features and not facts.prefill)

    def max_tokens(self, facts: ModelFacts, rank: int, cap: int | None = None) -> int:
        """
        Give the max_tokens that a model of a tier is asked for, under a cap.
        """
        named = self._ask.facts is not None and facts.id == self._ask.facts.id
        most = self._profile.max_tokens if named else min(self._profile.max_tokens, facts.max_output_tokens)
        for limit in (self._tiers[rank].max_tokens, cap, self._ask.tokens_cap):
            if limit is not None and limit < most:
                most = limit
        return most


def _thinks(facts: ModelFacts, features: frozenset[str]) -> bool:
    """Tell whether a model can think on such a request; beside a thinking budget models bear little."""
    if "adaptive" in facts.thinking:
        return True
    return "enabled" in facts.thinking and not features & BARS_THINKING


def _too_slow(ask: Ask, known: Known) -> Mapping[str, int]:
    """Find the models that are slower than the task allows; one that nobody has measured is not ruled out."""
    limit_ms = ask.route.max_latency_ms if ask.route is not None else None
    if limit_ms is None:
        return {}
    return {model: taken for model, taken in known.latencies_ms.items() if taken > limit_ms}
