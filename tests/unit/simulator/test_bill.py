"""What calls cost and how the bill is kept."""

import json
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import bill
from simulator.app import key_hash
from simulator.models import catalogue
from simulator.prices import Usage, cost_usd

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
NANO = Decimal("1e-9")
COUNT = st.integers(0, 300_000) | st.integers(99_990, 100_010)


def _reference(model: str, usage: Usage) -> tuple[Decimal, Decimal]:
    """Price the tokens and the searches with genai-prices' own function."""
    context: Any = {"speed": "fast"} if usage.speed == "fast" else None
    common: Any = {"provider_id": "anthropic", "genai_request_timestamp": AT, "price_context": context}
    tokens = genai_prices.Usage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        cache_write_5m_tokens=usage.cache_write_5m_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
    )
    searches = genai_prices.Usage(web_searches=usage.web_searches, input_tokens=0, output_tokens=0)
    return (
        genai_prices.calc_price(tokens, model, **common).total_price,
        genai_prices.calc_price(searches, model, **common).total_price,
    )


USAGES = st.builds(
    Usage,
    input_tokens=COUNT,
    output_tokens=COUNT,
    cache_read_tokens=COUNT,
    cache_write_5m_tokens=COUNT,
    cache_write_1h_tokens=COUNT,
    web_searches=st.integers(0, 20),
    geo=st.sampled_from(["us", "global"]),
    speed=st.sampled_from(["standard", "fast"]),
)


@settings(max_examples=300)
@given(st.sampled_from(catalogue()), USAGES)
def test_a_call_costs_what_genai_prices_says(model: Any, usage: Usage) -> None:
    """The cost is calc_price's, tokens times 1.1 in the US, rounded up once to a whole nano-dollar."""
    tokens, searches = _reference(model.id, usage)
    factor = Decimal("1.1") if usage.geo == "us" else Decimal(1)
    expected = (tokens * factor + searches).quantize(NANO, rounding=ROUND_CEILING)
    assert expected == cost_usd(model.id, usage, AT.timestamp())


def test_haiku_is_dear_above_a_hundred_thousand_tokens_of_prompt() -> None:
    """100,000 tokens at 0.10 and 1,000 at 0.50 a million are 0.0105; one more makes all of it dear."""
    below = Usage(input_tokens=60_000, cache_read_tokens=0, cache_write_5m_tokens=0, output_tokens=1_000)
    assert Decimal("0.0065") == cost_usd("claude-haiku-5-5", below, AT.timestamp())
    at = Usage(input_tokens=100_000, output_tokens=1_000)
    assert Decimal("0.0105") == cost_usd("claude-haiku-5-5", at, AT.timestamp())
    above = Usage(input_tokens=20_001, cache_read_tokens=80_000, output_tokens=1_000)
    # 20,001 x 0.5 + 80,000 x 0.05 + 1,000 x 2.5, in millionths
    assert Decimal("0.0165005") == cost_usd("claude-haiku-5-5", above, AT.timestamp())


def test_less_than_a_nano_dollar_is_rounded_up() -> None:
    """One cached token of Opus 4.6 in the US is 550 nano-dollars; one of Haiku 5.5 is 11: both whole."""
    assert Decimal("0.00000055") == cost_usd(
        "claude-opus-4-6", Usage(cache_read_tokens=1, geo="us"), AT.timestamp()
    )
    # one 5-minute cache write of Haiku 5.5 in the US: 125 x 1.1 = 137.5, so 138 nano-dollars
    write = Usage(cache_write_5m_tokens=1, geo="us")
    assert Decimal("0.000000138") == cost_usd("claude-haiku-5-5", write, AT.timestamp())


def test_every_model_on_offer_has_a_price() -> None:
    """No model of the table can be called without genai-prices knowing what it costs."""
    for model in catalogue():
        assert cost_usd(model.id, Usage(input_tokens=1), AT.timestamp()) > 0


def test_a_bill_line_says_what_the_answer_says(make_caller: Any, clock: Any, tmp_path: Path) -> None:
    """The line has the answer's ids, counts and model, the time, and the hash of the key."""
    path = tmp_path / "bill.jsonl"
    caller = make_caller(bill=path)
    reply = caller.ask(model="claude-haiku-4-5", headers={"simulator-output-tokens": "77"})
    line = bill.by_request(path)[reply.headers["request-id"]]
    usage = reply.json["usage"]
    assert (reply.json["id"], reply.json["model"]) == (line.message_id, line.model)
    assert (usage["input_tokens"], 77) == (line.usage.input_tokens, line.usage.output_tokens)
    assert (
        line.usage.geo,
        line.service_tier,
        line.stop_reason,
        line.outcome,
        line.stream,
    ) == ("not_available", "standard", "end_turn", "complete", False)
    assert (clock.now, key_hash("key-a")) == (line.at_s, line.key_hash)
    assert line.cost_usd == cost_usd(line.model, line.usage, clock.now) == bill.total(path)


def test_sums_by_key_make_the_total(make_caller: Any, tmp_path: Path) -> None:
    """Each key has the sum of its own calls; a new process appends to the bill."""
    path = tmp_path / "bill.jsonl"
    for key in ("a", "b", "a"):
        make_caller(bill=path).ask(headers={"x-api-key": key, "simulator-output-tokens": "100"})
    sums = bill.by_key(path)
    assert {key_hash("a"), key_hash("b")} == set(sums)
    assert sums[key_hash("a")] == 2 * sums[key_hash("b")]
    assert bill.total(path) == sum(sums.values())


def test_the_place_of_inference_is_billed(make_caller: Any) -> None:
    """A workspace in the US bills 1.1 times, unless the call asks for the cheaper place."""
    caller = make_caller(default_geo="us")
    wishes = {"simulator-input-tokens": "1000", "simulator-output-tokens": "1000"}
    caller.ask(model="claude-sonnet-5-5", headers=wishes)
    assert Decimal("0.0132") == caller.provider.bill.total_usd
    caller.ask(model="claude-sonnet-5-5", headers=wishes, inference_geo="global")
    assert Decimal("0.0252") == caller.provider.bill.total_usd


def test_speed_is_billed(caller: Any) -> None:
    """Fast Opus 5.5 costs 8 and 40 a million."""
    wishes = {"simulator-input-tokens": "1000", "simulator-output-tokens": "1000"}
    reply = caller.ask(speed="fast", headers=wishes)
    assert reply.json["usage"]["speed"] == "fast"
    assert Decimal("0.048") == caller.provider.bill.total_usd


def test_searches_are_billed_and_their_results_become_prompt(make_caller: Any) -> None:
    """Two searches cost 0.02 and add their results to the uncached prompt; max_uses caps them."""
    tool = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    caller = make_caller(search_result_tokens=1000)
    question = [{"role": "user", "content": "[[sim output_tokens=10 web_searches=5]]"}]
    reply = caller.ask(model="claude-sonnet-5-5", tools=[tool], messages=question)
    usage = reply.json["usage"]
    bare = caller.ask("/v1/messages/count_tokens", max_tokens=..., tools=[tool], messages=question)
    assert usage["server_tool_use"] == {"web_search_requests": 2, "web_fetch_requests": 0}
    assert bare.json["input_tokens"] + 2000 == usage["input_tokens"]
    assert Decimal("0.02") + Decimal(2) * usage["input_tokens"] / 10**6 + Decimal(100) / 10**6 == (
        caller.provider.bill.total_usd
    )
    kinds = [block["type"] for block in reply.json["content"]]
    assert 2 == kinds.count("server_tool_use") == kinds.count("web_search_tool_result")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"request_id": 1}', "\n"])
def test_a_damaged_bill_is_not_added_up(tmp_path: Path, text: str) -> None:
    """A line that cannot be read is an error that names it, never a smaller total."""
    path = tmp_path / "bill.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(bill.BillError, match="line 1"):
        bill.total(path)


def test_a_cost_that_is_no_number_is_damage(make_caller: Any, tmp_path: Path) -> None:
    """A cost that is no decimal is named as damage."""
    path = tmp_path / "bill.jsonl"
    make_caller(bill=path).ask()
    row = json.loads(path.read_text())
    path.write_text(json.dumps({**row, "cost_usd": "much"}) + "\n")
    with pytest.raises(bill.BillError, match="line 1"):
        bill.total(path)


def test_a_wished_prompt_has_the_results_of_searches_in_it(caller: Any) -> None:
    """Where the caller sets the prompt, searches are billed but add no tokens to it."""
    tool = {"type": "web_search_20250305", "name": "web_search"}
    question = [{"role": "user", "content": "[[sim input_tokens=900 output_tokens=10 web_searches=1]]"}]
    usage = caller.ask(model="claude-sonnet-5-5", tools=[tool], messages=question).json["usage"]
    assert (usage["input_tokens"], usage["server_tool_use"]["web_search_requests"]) == (900, 1)
