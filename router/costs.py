"""
What a call would cost at each model: the most it can, and what it probably will, prompt cache included.

One `Costs` belongs to one decision; it remembers what it has worked out.
"""

from collections.abc import Callable
from dataclasses import replace

from pricing.bound import Part, RequestBound
from pricing.facts import ModelFacts, tokenizer
from pricing.table import PriceTable
from router.types import Profile


class Costs:
    """
    Costs of one request at any model.

    Args:
        asked: Model that the caller named; its body goes out as it is, that of another model is translated.
        ceiling_nanos: Least bound of a request whose true cost has none, as the policy sets it.
    """

    def __init__(
        self,
        profile: Profile,
        prices: PriceTable,
        now_us: int,
        *,
        asked: ModelFacts | None,
        ceiling_nanos: int = 0,
    ) -> None:
        """
        Remember the request; nothing is worked out yet.
        """
        self._profile = profile
        self._prices = prices
        self._now_us = now_us
        self._asked = asked
        self._ceiling_nanos = ceiling_nanos
        self._warm = profile.cached_model
        if self._warm is None:
            self._warm = asked.id if asked is not None else ""
        self._known: dict[tuple[str, str, int], int] = {}
        self.turns_after: float | None = None

    def bound(self, facts: ModelFacts, max_tokens: int) -> int:
        """
        Give the most that the call can cost.
        """

        def work_out() -> int:
            body = self._body(facts)
            known = body.cost_nanos(facts.id, self._prices, self._now_us, max_tokens)
            return max(known, self._ceiling_nanos)

        return self._once("bound", facts.id, max_tokens, work_out)

    def expected(self, facts: ModelFacts, max_tokens: int) -> int:
        """
        Give what the call will probably cost: read from the cache where it is warm, written anew elsewhere.
        """

        def work_out() -> int:
            output = min(self._profile.expected_output_tokens, max_tokens)
            body, cached = self._body(facts), self._cached_tokens(facts)
            return body.expected_cost_nanos(
                facts.id, self._prices, self._now_us, output, cached_tokens=cached
            )

        return self._once("expected", facts.id, max_tokens, work_out)

    def ahead(
        self, facts: ModelFacts, max_tokens: int, *, cold: bool = False, output_percent: int = 100
    ) -> int:
        """
        Give what this call and the turns expected after it will cost together at one model, its cache kept.

        Each later turn adds as much prompt as this one did, and reads the rest. Where nothing is known of a
        conversation (`turns_after` None) this is `expected`.

        Args:
            cold: Nothing can be read from the cache by this call.
            output_percent: Output of each turn, in percent of what is expected.
        """
        profile, body = self._profile, self._body(facts)
        output = min(profile.expected_output_tokens, max_tokens) * output_percent // 100
        read = 0 if cold else self._cached_tokens(facts)
        at = (facts.id, self._prices, self._now_us, output)
        now_nanos = body.expected_cost_nanos(*at, cached_tokens=read)
        if not self.turns_after:
            return now_nanos
        prompt = body.expected_input_tokens(facts)
        grown = max(profile.expected_output_tokens, prompt - profile.cached_tokens_hint)
        added = round(grown * (self.turns_after + 1) / 2)
        later = replace(body, parts=(*body.parts, _text(facts, added)))
        kept = prompt + added - grown if body.cache_ttl != "none" else 0
        kept = kept if kept >= facts.min_cacheable_tokens else 0
        later_nanos = later.expected_cost_nanos(*at, cached_tokens=kept)
        return now_nanos + later_nanos * round(self.turns_after * 1000) // 1000

    def cached(self, facts: ModelFacts) -> int:
        """
        Give how many tokens a model will probably read from its cache; 0 for a cold one.
        """
        return self._cached_tokens(facts)

    def start_at(self, facts: ModelFacts) -> None:
        """
        Take the cache to be warm at the model that the call starts from, where nothing is known about it.
        """
        if self._profile.cached_model is None and self._asked is None:
            self._warm = facts.id

    def priced(self, facts: ModelFacts) -> bool:
        """
        Tell whether the call has a price at this model at all.
        """
        try:
            self.bound(facts, 0)
        except LookupError:
            return False
        return True

    def _once(self, kind: str, model: str, max_tokens: int, work_out: Callable[[], int]) -> int:
        key = (kind, model, max_tokens)
        if key not in self._known:
            self._known[key] = work_out()
        return self._known[key]

    def _body(self, facts: ModelFacts) -> RequestBound:
        """Give the request as it is sent to a model: see `router.translate` for what a switch drops."""
        body = self._profile.bound
        if self._asked is not None and facts.id == self._asked.id:
            return body
        speed = body.speed if facts.fast else "standard"
        if body.fallback_hops or speed != body.speed:
            return replace(body, fallback_hops=(), speed=speed)
        return body

    def _cached_tokens(self, facts: ModelFacts) -> int:
        """Give how much of the prompt a model will read from its cache."""
        if self._warm != facts.id or self._profile.bound.cache_ttl == "none":
            return 0
        return self._profile.cached_tokens_hint


def _text(facts: ModelFacts, tokens: int) -> Part:
    """Give text that a model typically counts as so many tokens."""
    return Part("later", tokens, tokens * tokenizer(facts.tokenizer).bytes_per_100_tokens // 100)
