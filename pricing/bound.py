"""
What a request can cost at most, and what it will typically cost, before it is sent.

Basis of the worst case (promise P1: spend never exceeds, so this must be a true upper bound):

* **Text: one token per UTF-8 byte.** In a byte-level BPE tokenizer each token stands for at least one byte;
  where a normaliser could lengthen the text first, each character counts at its longest normal form (NFC,
  NFD, NFKC, NFKD). This is about four times the typical count. Nothing tighter is provable without the
  vocabulary, which is not published: adversarial text reaches one token per byte. Tighter numbers are for
  the router's choice between offers (`expected_*`), never for the hold. What is held in excess comes back
  at settlement, in seconds.
* **JSON** (tools, tool calls, schemas): as ASCII JSON, which is at least as long as any form the provider
  renders.
* **Frames** (roles, tool prompts): constants above what is documented, see the `scan*.py` modules.
* **Images**: by pixel size, at most the generation's documented maximum; unreadable = the maximum.
* **PDFs**: each page as an image of the maximum size plus the bytes of all inflated text streams;
  unreadable = a full context window; so is what may show a page or its content twice, and what is left when
  the files of one body have taken all that is spent on reading them. A file forged so that one byte
  means many characters could beat this; it is booked and alarmed.
* **The context window caps every sampling**: a longer prompt is rejected and costs nothing.
* **Server tool loops** sample again with a longer prompt. Web search with max_uses is bounded by a stated
  constant of 32,000 tokens for the results of one search (12,000 to 19,000 in public measurements; no limit
  is documented) and by max_uses + 2 samplings, at most 11. What the answer had until then is read again in
  each of them.
* **Output**: max_tokens, thinking included.
* **Cache**: if anything asks for a cache write, all input at the dearer of plain and write rate of the
  longest TTL.
* **Fallbacks**: a declined attempt may be billed up to its last token, so the hops ADD to the request's own
  cost, and each hop also reads what the attempts before it wrote. What one hop adds to the prompt (its own
  output format) is counted for all of them.
* **Geography**: where neither the request nor the upstream of the policy names one, the default of the
  provider's workspace decides, which is not known here; so the model's dearest counts. Naming the `geo` of
  the upstream makes the bound tighter.
* **Service tier**: "auto" may use priority capacity; that is paid by commitment and not per call, so the
  standard price is the bound. **Batch** is not a property of a body; `speed` and geography are.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pricing import scan
from pricing.cost import multiplier_ppm, search_nanos
from pricing.facts import ModelFacts, dearest_geo_ppm, model_facts, tokenizer
from pricing.money import PPM, ceil_div
from pricing.table import PICOS_PER_NANO, Price, PriceTable, Rates
from pricing.tally import Fallback, RequestInvalid, Unbounded, whole

__all__ = ["Fallback", "Part", "RequestBound", "RequestInvalid", "Unbounded", "bound_request"]

_LONG_CONTEXT_BETA = "context-1m-2025-08-07"
_LONG_CONTEXT_TOKENS = 1_000_000
_PDF_PAGES_MAX = 600  # documented limit of pages in one request
_EXPECTED_SEARCH_TOKENS = 12_000
_WEB_SEARCH_RESULT_TOKENS = 32_000  # stated, not provable: results of one search
_SCALE = PICOS_PER_NANO * PPM


@dataclass(frozen=True, slots=True)
class Part:
    """
    One section of the prompt: the worst case in tokens, and the bytes that the typical estimate goes by.
    """

    name: str
    tokens: int
    typical_bytes: int


@dataclass(frozen=True, slots=True)
class RequestBound:
    """
    The billable parts of one request. Plain values only, so that it can be stored with a decision.

    Args:
        max_tokens: As in the body; None if absent.
        parts: Text and JSON, by section.
        images: Full-size tokens of each image; None where the size could not be read.
        pdf_unreadable: PDFs that could not be read: the prompt may fill the context window.
        cache_ttl: "none", "5m" or "1h": the dearest cache write that the body asks for.
        samplings: How often the model may be run in one turn (server tool loops), 1 without them.
        geo: Where the call runs; None if nothing says so, then the bound is that of the dearest.
        long_context: The beta for a longer context window is set.
        unbounded: Parts without a bound; when any is there, the worst case means nothing.
    """

    max_tokens: int | None
    parts: tuple[Part, ...]
    images: tuple[int | None, ...]
    pdf_pages: int
    pdf_unreadable: int
    web_searches_max: int
    samplings: int
    geo: str | None
    speed: str
    batch: bool
    cache_ttl: str
    long_context: bool
    fallback_hops: tuple[Fallback, ...]
    unbounded: tuple[Unbounded, ...]

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """
        Return the models that the provider may fall back to, in order.
        """
        return tuple(hop.model for hop in self.fallback_hops)

    @property
    def text_bytes(self) -> int:
        """
        Return the bytes of text and JSON in the prompt.
        """
        return sum(part.typical_bytes for part in self.parts)

    def input_tokens(self, facts: ModelFacts) -> int:
        """
        Return an upper bound of the prompt tokens of one sampling: never above the context window.
        """
        return min(self._prompt(facts), self._context(facts))

    def expected_input_tokens(self, facts: ModelFacts) -> int:
        """
        Return the typical prompt tokens of the first sampling. Not capped: above the context means "does
        not fit".
        """
        counts = tokenizer(facts.tokenizer)
        text = ceil_div(self.text_bytes * 100, counts.bytes_per_100_tokens)
        full = counts.image_tokens_max
        images = sum(full if size is None else min(size, full) for size in self.images)
        pages = self.pdf_pages + self.pdf_unreadable
        return text + images + pages * counts.pdf_page_tokens_expected

    def cost_nanos(self, model: str, prices: PriceTable, at_us: int, max_tokens: int) -> int:
        """
        Return the worst case in nano-USD if this request is sent to a model with this max_tokens.

        Raises:
            UnknownModel, UnknownPrice: for the model, or for one that the provider may fall back to.
        """
        total = self._attempt_nanos(model, prices, at_us, max_tokens, speed=self.speed, carried=0)
        carried = max_tokens
        for hop in self.fallback_hops:
            limit = max_tokens if hop.max_tokens is None else hop.max_tokens
            speed = self._hop_speed(hop)
            total += self._attempt_nanos(hop.model, prices, at_us, limit, speed=speed, carried=carried)
            carried += limit
        return total

    def expected_cost_nanos(
        self, model: str, prices: PriceTable, at_us: int, output_tokens: int, *, cached_tokens: int = 0
    ) -> int:
        """
        Return the typical cost in nano-USD, for choosing between offers.

        Args:
            output_tokens: Expected output.
            cached_tokens: How much of the prompt this model is expected to read from its cache.
        """
        facts = model_facts(model)
        price = prices.price(model, at_us, speed=self.speed, batch=self.batch)
        prompt = self.expected_input_tokens(facts)
        searches = min(self.web_searches_max, 1)
        again = searches * (prompt + _EXPECTED_SEARCH_TOKENS)
        rates = price.rates(prompt + again)
        cached = min(cached_tokens, prompt)
        picos = (
            cached * rates.cache_read
            + (prompt - cached) * self._write_rate(rates)
            + again * rates.input
            + output_tokens * rates.output
        )
        return _total_nanos(price, picos, searches, multiplier_ppm(model, self.geo))

    def _attempt_nanos(
        self, model: str, prices: PriceTable, at_us: int, max_tokens: int, *, speed: str, carried: int
    ) -> int:
        facts = model_facts(model)
        price = prices.price(model, at_us, speed=speed, batch=self.batch)
        prompt = self._input_of_turn(facts, max_tokens, carried)
        rates = price.rates(prompt)
        dearest = max(rates.input, rates.cache_read, self._write_rate(rates))
        geo_ppm = dearest_geo_ppm(model) if self.geo is None else multiplier_ppm(model, self.geo)
        return _total_nanos(
            price, prompt * dearest + max_tokens * rates.output, self.web_searches_max, geo_ppm
        )

    def _input_of_turn(self, facts: ModelFacts, max_tokens: int, carried: int) -> int:
        """Bound the prompt tokens of all samplings of one attempt, in which each reads what came before
        it."""
        context = self._context(facts)
        first = min(self._prompt(facts) + carried, context)
        results = self.web_searches_max * _WEB_SEARCH_RESULT_TOKENS
        later = min(first + results + max_tokens, context)
        return first + (self.samplings - 1) * later

    def _prompt(self, facts: ModelFacts) -> int:
        if self.pdf_unreadable:
            return self._context(facts)
        full = tokenizer(facts.tokenizer).image_tokens_max
        images = sum(full if size is None else min(size, full) for size in self.images)
        pages = min(self.pdf_pages, _PDF_PAGES_MAX)
        return sum(part.tokens for part in self.parts) + images + pages * full

    def _context(self, facts: ModelFacts) -> int:
        return max(facts.context_tokens, _LONG_CONTEXT_TOKENS) if self.long_context else facts.context_tokens

    def _write_rate(self, rates: Rates) -> int:
        if self.cache_ttl == "1h":
            return max(rates.input, rates.cache_write_1h, rates.cache_write_5m)
        return rates.input if self.cache_ttl == "none" else max(rates.input, rates.cache_write_5m)

    def _hop_speed(self, hop: Fallback) -> str:
        """A hop without a speed of its own runs fast only if the request does and the model can."""
        if hop.speed is not None:
            return hop.speed
        return self.speed if model_facts(hop.model).fast else "standard"


def _total_nanos(price: Price, picos: int, searches: int, geo_ppm: int) -> int:
    searches_picos = search_nanos(price, searches) * PICOS_PER_NANO
    return ceil_div(picos * geo_ppm + searches_picos * PPM, _SCALE)


def bound_request(
    body: Mapping[str, object], *, betas: frozenset[str] = frozenset(), default_geo: str | None = None
) -> RequestBound:
    """
    Find the cost bound of a Messages API body. The body is only read.

    Args:
        betas: Values of the `anthropic-beta` header.
        default_geo: The upstream's default inference geography, if the body names none; None = unknown.
    Raises:
        RequestInvalid: the body has a wrong shape; the gateway answers 400 with field, value and fix.
    """
    tally = scan.scan_body(body, betas)
    max_tokens = body.get("max_tokens")
    geo = body.get("inference_geo")
    return RequestBound(
        max_tokens=None if max_tokens is None else whole(max_tokens, "max_tokens"),
        parts=tuple(Part(name, part.tokens, part.typical_bytes) for name, part in tally.parts.items()),
        images=tuple(tally.images),
        pdf_pages=tally.pdf_pages,
        pdf_unreadable=tally.pdf_unreadable,
        web_searches_max=tally.searches_max,
        samplings=tally.samplings,
        geo=default_geo if geo is None else str(geo),
        speed=scan.read_speed(body.get("speed"), "speed") or "standard",
        batch=False,
        cache_ttl=tally.cache_ttl,
        long_context=_LONG_CONTEXT_BETA in betas,
        fallback_hops=scan.read_fallbacks(body.get("fallbacks")),
        unbounded=tally.without_bound(),
    )
