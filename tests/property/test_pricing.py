"""
Prices equal the library's, to the nano; bounds hold for whatever is billed below them; nothing crashes.
"""

import copy
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any
from unicodedata import normalize

import pytest
from genai_prices import Usage as LibraryUsage
from genai_prices import calc_price
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.bound import RequestInvalid, bound_request
from pricing.cost import cost_nanos
from pricing.facts import known_models, model_facts
from pricing.load import load_prices
from pricing.money import MAX_NANOS, MoneyError, ceil_div, format_usd, parse_usd, scale_ceil
from pricing.table import UnknownPrice
from pricing.tally import Tally
from pricing.usage import StreamUsage, Usage, UsageError, billed_from_api, broken_stream_usage

PRICES = load_prices()
NOW_US = 1_795_262_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INSTANTS = st.integers(1_700_000_000_000_000, 1_830_000_000_000_000)
THRESHOLDS = st.sampled_from([99_999, 100_000, 100_001, 199_999, 200_000, 200_001])
TOKENS = st.one_of(st.integers(0, 2_000_000), st.integers(0, 9), THRESHOLDS)
CONTEXTS: list[tuple[dict[str, str], dict[str, Any]]] = [
    ({}, {}),
    ({"processing": "batch"}, {"batch": True}),
    ({"speed": "fast"}, {"speed": "fast"}),
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Counts of one call, around the price tiers too."""
    return Usage(*(draw(TOKENS) for _ in range(5)), web_search_requests=draw(st.integers(0, 20)))


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(PRICES.models()), usages(), INSTANTS, st.sampled_from(CONTEXTS))
def test_costs_equal_those_of_the_price_library(
    model: str, usage: Usage, at_us: int, context: tuple[dict[str, str], dict[str, Any]]
) -> None:
    """For every model, usage, instant and way of processing: its exact Decimal, rounded up to nano."""
    try:
        price = PRICES.price(model, at_us, **context[1])
        ours = cost_nanos(usage, price)
    except UnknownPrice:
        assert context[1].get("speed") == "fast" or (
            usage.web_search_requests and price.web_search_nanos is None
        )
        return
    theirs = calc_price(
        LibraryUsage(
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_input_tokens,
            cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
            cache_write_5m_tokens=usage.cache_write_5m_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            web_searches=usage.web_search_requests,
        ),
        model,
        provider_id="anthropic",
        genai_request_timestamp=EPOCH + timedelta(microseconds=at_us),
        price_context=context[0],
    ).total_price
    assert ours == int((theirs * 10**9).to_integral_value(ROUND_CEILING))


@given(usages(), st.sampled_from([1_000_000, 1_100_000, 1_234_567]))
def test_the_multiplied_cost_is_the_exact_value_rounded_up_once(usage: Usage, ppm: int) -> None:
    """Half price and 1.1 together are not whole nanos: one rounding on the total, at most one nano in all."""
    price = PRICES.price("claude-haiku-5-5", NOW_US, batch=True)
    rates = price.rates(usage.prompt_tokens)
    tokens = (
        usage.input_tokens * Decimal(rates.input)
        + usage.output_tokens * Decimal(rates.output)
        + usage.cache_read_input_tokens * Decimal(rates.cache_read)
        + usage.cache_write_5m_tokens * Decimal(rates.cache_write_5m)
        + usage.cache_write_1h_tokens * Decimal(rates.cache_write_1h)
    )
    exact = tokens * ppm / 10**9 + usage.web_search_requests * 10_000_000
    assert 0 <= cost_nanos(usage, price, geo_ppm=ppm) - exact < 1


@given(st.integers(0, 10**18))
def test_money_text_round_trips(nanos: int) -> None:
    """Formatting loses nothing."""
    assert parse_usd(format_usd(nanos)) == nanos


@given(st.integers(-MAX_NANOS, MAX_NANOS))
def test_formatted_money_is_the_exact_decimal(nanos: int) -> None:
    """The text is the amount, negative ones included, with at least two decimals."""
    text = format_usd(nanos)
    assert Decimal(text) == Decimal(nanos).scaleb(-9)
    assert len(text.partition(".")[2]) >= 2


@given(st.text() | st.from_regex(r"-?[0-9]{0,12}\.?[0-9]{0,12}", fullmatch=True))
def test_any_text_is_money_or_refused(text: str) -> None:
    """What is accepted is exactly the decimal that was written."""
    try:
        nanos = parse_usd(text)
    except MoneyError:
        return
    assert Decimal(text).scaleb(9) == nanos


@given(st.integers(-(10**20), 10**20), st.integers(1, 10**12))
def test_division_rounds_up(numerator: int, denominator: int) -> None:
    """The quotient is the smallest whole number that is not below the exact one."""
    quotient = ceil_div(numerator, denominator)
    assert (quotient - 1) * denominator < numerator <= quotient * denominator
    assert scale_ceil(numerator, 1_000_000) == numerator


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        "text",
        "image",
        "document",
        "tool_result",
        "tool_use",
        "thinking",
        "tool_addition",
        "search_result",
        "web_fetch_tool_result",
        "mcp_tool_listing",
        "hologram",
        "base64",
        "url",
        "content",
        "tool_definition",
    ]
)
NAMES = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "source",
        "data",
        "tool",
        "tools",
        "citations",
        "cache_control",
        "ttl",
        "role",
        "enabled",
        "definition",
        "input",
        "max_uses",
        "model",
        "max_tokens",
        "speed",
    ]
)
SHAPES = st.recursive(
    JSON | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "system",
        "tools",
        "fallbacks",
        "max_tokens",
        "model",
        "speed",
        "inference_geo",
        "thinking",
        "mcp_servers",
        "container",
        "thread",
        "context_management",
        "output_config",
        "cache_control",
        "stream",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(FIELDS, SHAPES, max_size=6) | SHAPES)
def test_any_body_is_bounded_or_refused(body: Any) -> None:
    """Malformed bodies never crash the scanner and are never changed by it."""
    before = copy.deepcopy(body)
    try:
        bound = bound_request(body)
        assert bound.input_tokens(model_facts("claude-haiku-5-5")) > 0
    except RequestInvalid:
        pass
    assert body == before


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Well-formed requests of text, with caching, geography and speed."""
    texts = draw(st.lists(st.text(max_size=2_000), min_size=1, max_size=4))
    body: dict[str, Any] = {"messages": [{"role": "user", "content": text} for text in texts]}
    ttl = draw(st.sampled_from([None, "5m", "1h"]))
    if ttl is not None:
        body["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    geo = draw(st.sampled_from([None, "us", "global"]))
    if geo is not None:
        body["inference_geo"] = geo
    return body


@settings(max_examples=300, deadline=None)
@given(bodies(), st.sampled_from(known_models()), st.data())
def test_no_bill_within_the_limits_exceeds_the_bound(
    body: dict[str, Any], model: str, data: st.DataObject
) -> None:
    """However a prompt within the bound is split over input, reads and writes, it is covered."""
    facts = model_facts(model)
    bound = bound_request(body)
    max_tokens = data.draw(st.integers(0, 4_000))
    prompt = data.draw(st.integers(0, bound.input_tokens(facts)))
    read = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - read)) if bound.cache_ttl != "none" else 0
    hour = data.draw(st.integers(0, written)) if bound.cache_ttl == "1h" else 0
    usage = {
        "input_tokens": prompt - read - written,
        "output_tokens": data.draw(st.integers(0, max_tokens)),
        "cache_read_input_tokens": read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written - hour,
            "ephemeral_1h_input_tokens": hour,
        },
        "inference_geo": body.get("inference_geo") or data.draw(st.sampled_from([None, "us", "global"])),
    }
    (billed,) = billed_from_api(model, usage)
    price = PRICES.price(model, NOW_US)
    ppm = facts.geo_ppm.get("us", 1_000_000) if billed.usage.geo == "us" else 1_000_000
    cost = cost_nanos(billed.usage, price, geo_ppm=ppm)
    assert cost <= bound.cost_nanos(model, PRICES, NOW_US, max_tokens)


@settings(max_examples=150, deadline=None)
@given(bodies(), st.text(max_size=500), st.sampled_from(known_models()), st.integers(0, 1_000))
def test_more_text_and_more_output_never_cost_less(
    body: dict[str, Any], more: str, model: str, max_tokens: int
) -> None:
    """The bound grows with the request; text in every byte counts."""
    longer = {**body, "messages": [*body["messages"], {"role": "assistant", "content": more}]}
    small = bound_request(body).cost_nanos(model, PRICES, NOW_US, max_tokens)
    large = bound_request(longer).cost_nanos(model, PRICES, NOW_US, max_tokens)
    assert small < large
    assert small <= bound_request(body).cost_nanos(model, PRICES, NOW_US, max_tokens + 1)
    added = bound_request(longer).input_tokens(model_facts(model)) - bound_request(body).input_tokens(
        model_facts(model)
    )
    assert added >= len(more.encode("utf-8", "surrogatepass"))


MARKS_AND_LETTERS = st.one_of(
    st.characters(),
    st.characters(min_codepoint=0x20, max_codepoint=0x500),
    st.characters(min_codepoint=0x300, max_codepoint=0x36F),
    st.characters(min_codepoint=0x1100, max_codepoint=0x11FF),
    st.characters(min_codepoint=0x1E00, max_codepoint=0x1FFF),
    st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3),
    st.characters(min_codepoint=0xF900, max_codepoint=0xFFEF),
    st.characters(min_codepoint=0x1D100, max_codepoint=0x1F2FF),
)


@settings(max_examples=400, deadline=None)
@given(st.text(MARKS_AND_LETTERS, max_size=60))
def test_no_normal_form_of_a_text_is_longer_than_its_count(text: str) -> None:
    """Whichever form a tokenizer brings text into, as text or inside JSON; Hangul is never left in pieces."""
    letters = "".join(char for char in text if not "\uac00" <= char <= "\ud7a3")
    forms = [text, *(normalize(form, text) for form in ("NFC", "NFKC"))]
    forms += [normalize(form, letters) for form in ("NFD", "NFKD")]
    longest = max(len(form.encode("utf-8", "surrogatepass")) for form in forms)
    as_text, as_json = Tally(), Tally()
    as_text.text(text)
    as_json.json({"x": text}, "x")
    assert as_text.here.tokens >= longest
    assert as_json.here.tokens >= longest


@given(
    st.lists(st.dictionaries(st.sampled_from(["type", "delta", "usage", "message", "content_block"]), JSON))
)
def test_any_stream_can_be_fed(events: list[dict[str, Any]]) -> None:
    """A stream that makes no sense leaves usage that is readable or refused, and never below zero."""
    stream = StreamUsage()
    for event in events:
        stream.feed(event)
    broken = broken_stream_usage(stream.usage, output_bytes_seen=stream.output_bytes_seen, max_tokens=10)
    try:
        billed = billed_from_api("claude-opus-5-5", broken.upper)
    except UsageError:
        return
    assert all(part.usage.prompt_tokens >= 0 for part in billed)


@pytest.mark.parametrize("model", known_models())
def test_the_bound_of_every_model_is_above_its_typical_cost(model: str) -> None:
    """An estimate above the bound would let the router refuse what the ledger would grant."""
    body = {
        "messages": [{"role": "user", "content": "word " * 5_000}],
        "cache_control": {"type": "ephemeral"},
    }
    bound = bound_request(body)
    expected = bound.expected_cost_nanos(model, PRICES, NOW_US, 500)
    assert 0 < expected < bound.cost_nanos(model, PRICES, NOW_US, 500)
