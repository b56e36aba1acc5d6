"""
The cost bound of a request.
"""

import base64
import copy
import json
import pickle
import struct
import time
import zlib
from dataclasses import replace
from typing import Any
from unicodedata import normalize

import pytest

from pricing.bound import Fallback, RequestInvalid, Unbounded, bound_request
from pricing.cost import cost_nanos
from pricing.facts import UnknownModel, known_models, model_facts
from pricing.scan_content import IMAGE_TOKENS
from pricing.table import PriceTable, UnknownPrice
from pricing.tally import Tally
from pricing.usage import Usage

OPUS = model_facts("claude-opus-5-5")
HAIKU = model_facts("claude-haiku-4-5")
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 280, 280) + b"\x08\x02\x00\x00\x00"


def body(content: Any = "Hello", **more: Any) -> dict[str, Any]:
    """A small request that says where it runs."""
    message = {"role": "user", "content": content}
    return {
        "model": OPUS.id,
        "max_tokens": 100,
        "messages": [message],
        "inference_geo": "global",
        **more,
    }


def tokens(request: dict[str, Any]) -> int:
    """The worst case of its prompt on Opus 5.5."""
    return bound_request(request).input_tokens(OPUS)


def base64_of(raw: bytes, media_type: str) -> dict[str, str]:
    """A source that travels in the body."""
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(raw).decode("ascii")}


def test_text_is_bounded_by_its_bytes() -> None:
    """One token per UTF-8 byte at most: adding n bytes adds n tokens, in every generation."""
    assert tokens(body("x" * 1_000)) - tokens(body("")) == 1_000
    assert tokens(body("я" * 1_000)) - tokens(body("")) == 2_000
    assert (
        tokens(body([{"type": "text", "text": "x" * 1_000}])) - tokens(body([{"type": "text", "text": ""}]))
        == 1_000
    )
    assert tokens(body(system="x" * 500)) - tokens(body(system="")) == 500
    lone = bound_request(body("\ud800"))
    assert lone.input_tokens(HAIKU) > bound_request(body("")).input_tokens(HAIKU)


def test_text_that_a_normaliser_lengthens_counts_at_its_longest() -> None:
    """One ligature of three bytes becomes eighteen letters under NFKC."""
    assert tokens(body("\ufdfa" * 10)) - tokens(body("")) == 330
    tool = {"name": "t", "input_schema": {}, "description": ""}
    lengthened = tokens(body(tools=[{**tool, "description": "\ufdfa" * 100}]))
    assert lengthened - tokens(body(tools=[tool])) == pytest.approx(3_300, abs=100)


def test_text_that_a_normaliser_takes_apart_counts_in_its_parts() -> None:
    """An accent of its own makes é three bytes; ſ with a dot is longest under NFD; a syllable of Hangul is
    always put together again."""
    for char, worst in {"é": 3, "각": 3, "\u1e9b": 4}.items():
        assert tokens(body(char * 1_000)) - tokens(body("")) == worst * 1_000


def test_no_character_outlasts_its_count_in_any_normal_form() -> None:
    """Every character of Unicode, also those that the counting leaves out."""
    for start in range(0, 0x110000, 0x100):
        for char in map(chr, range(start, start + 0x100)):
            decomposed = normalize("NFKD", char)
            if decomposed != char and not "\uac00" <= char <= "\ud7a3":
                longest = max(len(normalize(form, char).encode()) for form in ("NFC", "NFD", "NFKC", "NFKD"))
                tally = Tally()
                tally.text(char)
                assert tally.here.tokens >= longest, hex(ord(char))


def test_runs_of_combining_marks_take_linear_time() -> None:
    """Putting marks in their canonical order is quadratic: 117 KB took seconds when the text was
    normalised."""
    marks = "\u0315" * 500_000 + "\u0316" * 500_000
    started = time.perf_counter()
    assert tokens(body(marks)) == model_facts(OPUS.id).context_tokens
    assert time.perf_counter() - started < 2


def test_the_typical_count_goes_by_generation() -> None:
    """About four bytes a token, and 30 % more tokens in the newer generation."""
    bound = bound_request(body("x" * 400_000))
    assert bound.expected_input_tokens(HAIKU) == 100_000
    assert bound.expected_input_tokens(OPUS) == 129_871
    assert bound.text_bytes == 400_000


def test_the_context_window_caps_the_prompt() -> None:
    """A longer prompt is rejected and costs nothing, so the bound never exceeds the window."""
    bound = bound_request(body("x" * 3_000_000))
    assert bound.input_tokens(OPUS) == 1_000_000
    assert bound.input_tokens(HAIKU) == 200_000
    long = bound_request(body("x" * 3_000_000), betas=frozenset({"context-1m-2025-08-07"}))
    assert long.input_tokens(model_facts("claude-sonnet-4-5")) == 1_000_000


def test_tools_count_with_their_schema_and_the_providers_prompt() -> None:
    """Each tool by its JSON; the tool prompt once; tools of the provider's own definition by a constant."""
    tool = {"name": "get", "description": "d" * 300, "input_schema": {"type": "object"}}
    one = tokens(body(tools=[tool])) - tokens(body())
    two = tokens(body(tools=[tool, tool])) - tokens(body())
    assert one > 2_048 + len(json.dumps(tool))
    assert len(json.dumps(tool)) < two - one < len(json.dumps(tool)) + 100
    bash = {"type": "bash_20250124", "name": "bash"}
    assert tokens(body(tools=[bash])) - tokens(body()) > 2_048 + 1_024
    assert bound_request(body(tools=[tool, bash])).unbounded == ()


def test_structured_output_counts_its_schema() -> None:
    """The schema is part of the prompt."""
    schema = {"type": "json_schema", "schema": {"d": "x" * 500}}
    for field in ({"output_config": {"format": schema, "effort": "low"}}, {"output_format": schema}):
        assert tokens(body(**field)) - tokens(body()) > 1_500
    assert tokens(body(output_config={"effort": "low"})) == tokens(body())


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "t" * 100, "signature": "s" * 900},
        {"type": "redacted_thinking", "data": "d" * 1_000},
        {"type": "tool_use", "id": "1", "name": "get", "input": {"a": "x" * 1_000}},
        {"type": "tool_result", "tool_use_id": "1", "content": "x" * 1_000},
        {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x" * 1_000}]},
        {
            "type": "search_result",
            "title": "t",
            "source": "s",
            "content": [{"type": "text", "text": "x" * 1_000}],
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x" * 1_000}},
        {"type": "document", "source": {"type": "content", "content": "x" * 1_000}},
        {"type": "document", "title": "x" * 1_000, "source": {"type": "content", "content": ""}},
        {"type": "web_search_tool_result", "content": [{"encrypted_content": "x" * 1_000}]},
        {
            "type": "web_fetch_tool_result",
            "content": {"type": "web_fetch_tool_result_error", "x": "x" * 1_000},
        },
        {"type": "mcp_tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x" * 1_000}]},
        {"type": "mcp_tool_listing", "mcp_server_name": "m", "tools": [{"name": "x" * 1_000}]},
        {"type": "compaction", "content": "x" * 1_000},
        {"type": "text", "text": "", "citations": [{"cited_text": "x" * 1_000}]},
        {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "x" * 1_000}},
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {"name": "x" * 1_000}}},
        {
            "type": "web_fetch_tool_result",
            "content": {
                "type": "web_fetch_result",
                "content": {"type": "document", "source": {"type": "text", "data": "x" * 1_000}},
            },
        },
    ],
)
def test_every_known_block_counts_what_it_carries(block: dict[str, Any]) -> None:
    """A thousand bytes anywhere in a block are a thousand tokens at worst, and the block has a bound."""
    assert bound_request(body([block])).unbounded == ()
    assert tokens(body([block])) - tokens(body([])) >= 1_000


def test_images_count_by_size_and_at_most_the_maximum_of_the_generation() -> None:
    """280 x 280 is 105 tokens; what cannot be read takes the maximum; base64 bytes do not count as text."""
    small = bound_request(body([{"type": "image", "source": base64_of(PNG + b"\x00" * 90_000, "image/png")}]))
    broken = bound_request(body([{"type": "image", "source": base64_of(b"?", "image/png")}]))
    empty = bound_request(body([{"type": "text", "text": ""}]))
    assert small.images == (105,)
    assert small.input_tokens(OPUS) - empty.input_tokens(OPUS) == 105 + IMAGE_TOKENS
    assert broken.input_tokens(OPUS) - empty.input_tokens(OPUS) == 4_784 + IMAGE_TOKENS
    assert broken.input_tokens(HAIKU) - empty.input_tokens(HAIKU) == 1_640 + IMAGE_TOKENS
    assert small.expected_input_tokens(OPUS) == 105


def test_images_inside_tool_results_are_found() -> None:
    """Screenshots come back in tool results."""
    image = {"type": "image", "source": base64_of(PNG, "image/png")}
    bound = bound_request(body([{"type": "tool_result", "tool_use_id": "1", "content": [image, image]}]))
    assert bound.images == (105, 105)


def test_pdfs_count_pages_as_images_and_text_by_bytes() -> None:
    """Two pages at the maximum image plus the text; an unreadable file may fill the whole context."""
    raw = (
        b"%PDF-1.7\n1 0 obj << /Type /Pages /Count 2 >> endobj 3 0 obj << /Type /Page >> endobj "
        b"4 0 obj << /Type /Page >> endobj 2 0 obj << >>\nstream\n" + b"x" * 700 + b"endstream"
    )
    bound = bound_request(body([{"type": "document", "source": base64_of(raw, "application/pdf")}]))
    empty = bound_request(body([{"type": "document", "source": {"type": "content", "content": ""}}]))
    assert bound.input_tokens(OPUS) - empty.input_tokens(OPUS) == 2 * 4_784 + 700
    assert bound.expected_input_tokens(HAIKU) >= 2 * 2_200
    broken = bound_request(body([{"type": "document", "source": base64_of(b"?", "application/pdf")}]))
    assert broken.input_tokens(OPUS) == 1_000_000
    assert broken.unbounded == ()


def test_the_pdfs_of_a_body_are_inflated_within_one_budget() -> None:
    """Thirty-two files of one kilobyte that inflate to 31 MB each took seconds."""
    head = b"%PDF-1.7\n1 0 obj << /Type /Page >> endobj\n2 0 obj << /Filter /FlateDecode >> stream\n"
    bomb = head + zlib.compress(b" " * (31 * 1024 * 1024), 9) + b"\nendstream endobj\n"
    bound = bound_request(body([{"type": "document", "source": base64_of(bomb, "application/pdf")}] * 32))
    assert (bound.pdf_pages, bound.pdf_unreadable) == (1, 31)
    assert bound.input_tokens(OPUS) == 1_000_000


def test_citations_frame_every_sentence() -> None:
    """A cited document of many short sentences costs more than its text."""
    source = {"type": "text", "data": "A.\n" * 100}
    plain = tokens(body([{"type": "document", "source": source}]))
    cited = tokens(body([{"type": "document", "source": source, "citations": {"enabled": True}}]))
    assert cited - plain > 100 * 16


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].max_uses"),
        (
            {"tools": [{"type": "web_fetch_20250910", "name": "f", "max_uses": 1, "max_content_tokens": 9}]},
            "tools[0]",
        ),
        ({"tools": [{"type": "code_execution_20260521", "name": "c"}]}, "tools[0]"),
        ({"tools": [{"type": "advisor_20260301", "name": "a", "model": "m", "max_uses": 1}]}, "tools[0]"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "m"}]}, "tools[0]"),
        ({"tools": [{"type": "novelty_20270101", "name": "n"}]}, "tools[0]"),
        ({"mcp_servers": [{"type": "url", "url": "https://x", "name": "m"}]}, "mcp_servers"),
        ({"container": "c_1"}, "container"),
        ({"container": {"skills": [{"skill_id": "pptx"}]}}, "container"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits[0]"),
        ({"compaction": {"type": "summarize"}}, "compaction"),
        ({"thread": {"type": "continue", "previous_message_id": "m"}}, "thread"),
        ({"fallbacks": "default"}, "fallbacks"),
        ({"fallbacks": [{"model": "claude-opus-5", "tools": []}]}, "fallbacks[0].tools"),
        ({"inference_geo": "mars"}, "inference_geo"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1d"}}, "cache_control.ttl"),
        ({"golden_mode": True}, "golden_mode"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages[0].content[0]"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}
                ]
            },
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "f"}]}]},
            "messages[0].content[0]",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_addition",
                                "tool": {
                                    "type": "tool_definition",
                                    "definition": {"type": "code_execution_20260521", "name": "c"},
                                },
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].tool.definition",
        ),
    ],
)
def test_what_has_no_bound_is_named_with_its_place_and_why(more: dict[str, Any], field: str) -> None:
    """Server tools without a limit, MCP, code, remote sources and anything unknown have no bound."""
    (found,) = bound_request(body(**more)).unbounded
    assert isinstance(found, Unbounded)
    assert found.field == field
    assert len(found.why) > 20


def test_of_many_parts_without_a_bound_the_first_are_named() -> None:
    """They go into records: the rest is a number, and long names are cut."""
    (*named, rest) = bound_request(body([{"type": "hologram"}] * 100_000)).unbounded
    assert [part.field for part in named] == [f"messages[0].content[{index}]" for index in range(20)]
    assert rest.why == "and 99980 more parts without a bound"
    assert len(bound_request(body([{"type": "hologram"}] * 20)).unbounded) == 20
    (found,) = bound_request(body(**{"z" * 1_000_000: 1})).unbounded
    (kind,) = bound_request(body([{"type": "z" * 1_000_000}])).unbounded
    assert max(len(found.field), len(kind.why)) <= 201


def test_names_of_the_longest_length_are_taken() -> None:
    """The limits are those of what is refused."""
    request = body(
        model="m" * 200,
        metadata={"user_id": "u" * 256},
        output_config={"effort": "xhigh"},
        fallbacks=[{"model": "m" * 200, "output_config": {"effort": None}}],
    )
    assert bound_request(request).unbounded == ()


def test_an_unknown_beta_has_no_bound() -> None:
    """A beta that we do not know may be billed; the known ones of the SDK may not surprise."""
    known = frozenset({"fast-mode-2026-02-01", "server-side-fallback-2026-07-01", "claude-code-20250219"})
    assert bound_request(body(), betas=known).unbounded == ()
    (found,) = bound_request(body(), betas=known | {"gold-2027-01-01"}).unbounded
    assert found.field == "anthropic-beta"
    assert "gold-2027-01-01" in found.why


def test_harmless_fields_keep_the_bound() -> None:
    """Everything that an ordinary client sends is bounded, nulls included."""
    request = body(
        stream=True,
        metadata={"user_id": "u"},
        stop_sequences=["x"],
        thinking={"type": "adaptive"},
        tool_choice={"type": "auto"},
        service_tier="auto",
        temperature=1,
        diagnostics={"previous_message_id": None},
        context_management={"edits": [{"type": "clear_tool_uses_20250919"}]},
        thread={"type": "create"},
        container=None,
        mcp_servers=[],
        speed=None,
        golden_mode=None,
    )
    assert bound_request(request).unbounded == ()


@pytest.mark.parametrize(
    ("more", "ttl"),
    [
        ({}, "none"),
        ({"cache_control": {"type": "ephemeral"}}, "5m"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "1h"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}]},
            "5m",
        ),
        (
            {
                "tools": [
                    {"name": "t", "input_schema": {}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}
                ]
            },
            "1h",
        ),
        ({"messages": [{"content": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}, "1h"),
        (
            {
                "cache_control": {"type": "ephemeral", "ttl": "1h"},
                "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
            },
            "1h",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "content": [{"type": "text", "text": "x", "cache_control": {"ttl": "1h"}}],
                            }
                        ],
                    }
                ]
            },
            "1h",
        ),
    ],
)
def test_the_dearest_cache_write_of_the_body_counts(more: dict[str, Any], ttl: str) -> None:
    """Wherever a marker stands, top level and nested blocks included."""
    assert bound_request(body(**more)).cache_ttl == ttl


def test_the_worst_case_is_the_whole_prompt_at_the_dearest_rate_plus_max_tokens(
    prices: PriceTable, now_us: int
) -> None:
    """Plain input at 4, 5-minute writes at 5, hour writes at 8, output at 20 USD per million."""
    for ttl, rate in ((None, 4_000), ("5m", 5_000), ("1h", 8_000)):
        control = {} if ttl is None else {"cache_control": {"type": "ephemeral", "ttl": ttl}}
        bound = bound_request(body(**control))
        expected = bound.input_tokens(OPUS) * rate + 100 * 20_000
        assert bound.cost_nanos(OPUS.id, prices, now_us, 100) == expected
    assert bound.cost_nanos(OPUS.id, prices, now_us, 0) == bound.input_tokens(OPUS) * 8_000


def test_a_prompt_that_may_reach_the_dear_tier_is_bounded_at_the_dear_tier(
    prices: PriceTable, now_us: int
) -> None:
    """Haiku 5.5: one byte more than 100,000 possible tokens makes everything five times as dear."""
    haiku = model_facts("claude-haiku-5-5")
    below = bound_request(body("x" * 90_000))
    above = bound_request(body("x" * 100_001))
    assert below.cost_nanos(haiku.id, prices, now_us, 10) == below.input_tokens(haiku) * 100 + 5_000
    assert above.cost_nanos(haiku.id, prices, now_us, 10) == above.input_tokens(haiku) * 500 + 25_000


def test_geography_and_speed_raise_the_bound(prices: PriceTable, now_us: int) -> None:
    """The body's geography wins over the upstream's default; fast has prices of its own."""
    plain = bound_request(body()).cost_nanos(OPUS.id, prices, now_us, 100)
    us = bound_request(body(inference_geo="us")).cost_nanos(OPUS.id, prices, now_us, 100)
    default = bound_request(body(inference_geo=None), default_geo="us").cost_nanos(
        OPUS.id, prices, now_us, 100
    )
    overruled = bound_request(body(inference_geo="global"), default_geo="us")
    fast = bound_request(body(speed="fast")).cost_nanos(OPUS.id, prices, now_us, 100)
    assert us == default == -(-plain * 11 // 10)
    assert overruled.cost_nanos(OPUS.id, prices, now_us, 100) == plain
    assert fast == 2 * plain
    batch = replace(bound_request(body()), batch=True)
    assert batch.cost_nanos(OPUS.id, prices, now_us, 100) * 2 == plain
    with pytest.raises(UnknownPrice):
        bound_request(body(inference_geo=None), default_geo="mars").cost_nanos(OPUS.id, prices, now_us, 100)


def test_where_nothing_names_the_geography_the_dearest_bounds(prices: PriceTable, now_us: int) -> None:
    """The workspace's own default may be "us"; the typical cost stays that of no multiplier."""
    us, unknown = bound_request(body(inference_geo="us")), bound_request(body(inference_geo=None))
    assert unknown.geo is None
    for model in (OPUS.id, "claude-haiku-5-5"):
        assert unknown.cost_nanos(model, prices, now_us, 100) == us.cost_nanos(model, prices, now_us, 100)
        typical = bound_request(body()).expected_cost_nanos(model, prices, now_us, 100)
        assert unknown.expected_cost_nanos(model, prices, now_us, 100) == typical
    named = bound_request(body(inference_geo=None), default_geo="global")
    assert named.cost_nanos(OPUS.id, prices, now_us, 100) < unknown.cost_nanos(OPUS.id, prices, now_us, 100)
    hop = body(inference_geo=None, fallbacks=[{"model": "claude-opus-5"}])
    in_us = bound_request({**hop, "inference_geo": "us"}).cost_nanos(OPUS.id, prices, now_us, 100)
    assert bound_request(hop).cost_nanos(OPUS.id, prices, now_us, 100) == in_us
    without = next(model for model in known_models() if not model_facts(model).geo_ppm)
    assert unknown.cost_nanos(without, prices, now_us, 100) == named.cost_nanos(without, prices, now_us, 100)


def test_web_searches_are_bounded_with_what_they_bring(prices: PriceTable, now_us: int) -> None:
    """One search: its price, three samplings of the prompt, two of them with results and the answer."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    bound = bound_request(body(tools=[search]))
    assert bound.unbounded == ()
    assert (bound.web_searches_max, bound.samplings) == (1, 3)
    prompt = 3 * bound.input_tokens(OPUS) + 2 * (32_000 + 100)
    expected = prompt * 4_000 + 100 * 20_000 + 10_000_000
    assert bound.cost_nanos(OPUS.id, prices, now_us, 100) == expected
    many = bound_request(body(tools=[{**search, "max_uses": 50}]))
    assert many.samplings == 11
    filtering = bound_request(body(tools=[{**search, "type": "web_search_20260318"}]))
    assert filtering.samplings == 11
    expected_nanos = bound.expected_cost_nanos(OPUS.id, prices, now_us, 100)
    assert 10_000_000 < expected_nanos < expected


def test_fallbacks_add_up(prices: PriceTable, now_us: int) -> None:
    """Each declined attempt may be billed whole, and the next one reads what it wrote."""
    hops = [{"model": "claude-opus-5", "max_tokens": 50}, {"model": "claude-haiku-5-5", "speed": None}]
    bound = bound_request(body(fallbacks=hops))
    assert bound.fallbacks == ("claude-opus-5", "claude-haiku-5-5")
    assert bound.fallback_hops[0] == Fallback("claude-opus-5", 50, None)
    prompt = bound.input_tokens(OPUS)
    own = prompt * 4_000 + 100 * 20_000
    first = (prompt + 100) * 5_000 + 50 * 25_000
    second = (prompt + 150) * 100 + 100 * 500
    assert bound.cost_nanos(OPUS.id, prices, now_us, 100) == own + first + second


def test_a_format_of_a_fallback_counts_as_one_of_the_request(prices: PriceTable, now_us: int) -> None:
    """Its schema is part of the prompt of the hop, which may be most of what it costs."""
    schema = {"type": "json_schema", "schema": {"description": "x" * 400_000}}
    hop = {"model": "claude-opus-5", "output_config": {"format": schema, "effort": "low"}, "thinking": None}
    bound = bound_request(body(fallbacks=[hop]))
    alone = bound_request(body(output_config={"format": schema})).cost_nanos(
        "claude-opus-5", prices, now_us, 100
    )
    assert bound.unbounded == ()
    assert bound.cost_nanos(OPUS.id, prices, now_us, 100) > alone


def test_a_fallback_runs_fast_only_where_it_can(prices: PriceTable, now_us: int) -> None:
    """Without a speed of its own, a hop is as fast as the request where the model offers it."""
    fast = body(speed="fast", fallbacks=[{"model": "claude-opus-5"}, {"model": "claude-haiku-5-5"}])
    bound = bound_request(fast)
    prompt = bound.input_tokens(OPUS)
    hops = (prompt + 100) * 10_000 + 100 * 50_000 + (prompt + 200) * 100 + 100 * 500
    own = prompt * 8_000 + 100 * 40_000
    assert bound.cost_nanos(OPUS.id, prices, now_us, 100) == own + hops


def test_an_unknown_model_or_fallback_has_no_cost(prices: PriceTable, now_us: int) -> None:
    """Neither the model nor a hop is ever counted as zero."""
    with pytest.raises(UnknownModel):
        bound_request(body()).cost_nanos("claude-nobody", prices, now_us, 100)
    with pytest.raises(UnknownModel):
        bound_request(body(fallbacks=[{"model": "x"}])).cost_nanos(OPUS.id, prices, now_us, 100)


def test_the_typical_cost_knows_the_cache(prices: PriceTable, now_us: int) -> None:
    """What is read from the cache costs the read rate, the rest the write rate where a write is asked for."""
    plain = bound_request(body("x" * 308_000))
    writing = bound_request(body("x" * 308_000, cache_control={"type": "ephemeral"}))
    assert plain.expected_cost_nanos(OPUS.id, prices, now_us, 10) == 100_000 * 4_000 + 10 * 20_000
    warm = writing.expected_cost_nanos(OPUS.id, prices, now_us, 10, cached_tokens=90_000)
    assert warm == 90_000 * 200 + 10_000 * 5_000 + 10 * 20_000
    capped = plain.expected_cost_nanos(OPUS.id, prices, now_us, 0, cached_tokens=10**9)
    assert capped == 100_000 * 200


@pytest.mark.parametrize(
    ("broken", "field"),
    [
        ([], "(body)"),
        (None, "(body)"),
        ({}, "messages"),
        (body() | {"messages": "Hello"}, "messages"),
        (body() | {"messages": ["Hello"]}, "messages[0]"),
        (body() | {"messages": [{"role": "user"}]}, "messages[0].content"),
        (body(5), "messages[0].content"),
        (body(["x"]), "messages[0].content[0]"),
        (body([{}]), "messages[0].content[0].type"),
        (body([{"type": 7}]), "messages[0].content[0].type"),
        (body([{"type": "text"}]), "messages[0].content[0].text"),
        (body([{"type": "text", "text": ["x"]}]), "messages[0].content[0].text"),
        (body([{"type": "image"}]), "messages[0].content[0].source"),
        (body([{"type": "image", "source": {"type": "base64"}}]), "messages[0].content[0].source.data"),
        (
            body([{"type": "image", "source": {"type": "base64", "data": 5}}]),
            "messages[0].content[0].source.data",
        ),
        (body([{"type": "document", "source": []}]), "messages[0].content[0].source"),
        (body([{"type": "tool_use", "input": {1, 2}}]), "messages[0].content[0]"),
        (
            body([{"type": "text", "text": "x", "cache_control": "yes"}]),
            "messages[0].content[0].cache_control",
        ),
        (body([{"type": "tool_addition", "tool": {}}]), "messages[0].content[0].tool.type"),
        (body(max_tokens="100"), "max_tokens"),
        (body(max_tokens=-1), "max_tokens"),
        (body(max_tokens=True), "max_tokens"),
        (body(max_tokens=1.5), "max_tokens"),
        (body(model=5), "model"),
        (body(stream="yes"), "stream"),
        (body(system=5), "system"),
        (body(tools={}), "tools"),
        (body(tools=["bash"]), "tools[0]"),
        (body(tools=[{"type": 5}]), "tools[0].type"),
        (body(tools=[{"type": "web_search_20250305", "max_uses": "3"}]), "tools[0].max_uses"),
        (body(tools=[{"type": "web_search_20250305", "max_uses": -3}]), "tools[0].max_uses"),
        (body(speed="warp"), "speed"),
        (body(speed=["fast"]), "speed"),
        (body(inference_geo=5), "inference_geo"),
        (body(output_config=[]), "output_config"),
        (body(thinking="yes"), "thinking"),
        (body(fallbacks="claude"), "fallbacks"),
        (body(fallbacks=[{}]), "fallbacks[0].model"),
        (body(fallbacks=[{"model": "m", "max_tokens": -1}]), "fallbacks[0].max_tokens"),
        (body(fallbacks=[{"model": "m" * 201}]), "fallbacks[0].model"),
        (body(fallbacks=[{"model": "m", "thinking": "yes"}]), "fallbacks[0].thinking"),
        (body(fallbacks=[{"model": "m", "output_config": []}]), "fallbacks[0].output_config"),
        (
            body(fallbacks=[{"model": "m", "output_config": {"effort": "e"}}]),
            "fallbacks[0].output_config.effort",
        ),
        (body(model="m" * 201), "model"),
        (body(metadata={"user_id": "u" * 257}), "metadata.user_id"),
        (body(inference_geo="g" * 65), "inference_geo"),
        (body(output_config={"effort": "e" * 1_000_000}), "output_config.effort"),
        (body(output_config={"effort": "ultra"}), "output_config.effort"),
        (body(output_config={"effort": ["low"]}), "output_config.effort"),
        (body(mcp_servers={}), "mcp_servers"),
        (body(container=5), "container"),
        (body(context_management={"edits": {}}), "context_management.edits"),
        (body(thread="create"), "thread"),
        (body(cache_control=[]), "cache_control"),
    ],
)
def test_a_malformed_body_is_refused_with_field_value_and_fix(broken: Any, field: str) -> None:
    """Wrong types are a 400 with a clear text, never a crash and never a silent zero."""
    with pytest.raises(RequestInvalid) as caught:
        bound_request(broken)
    assert caught.value.field == field
    assert field in str(caught.value)
    assert "expected" in str(caught.value) or "not plain JSON" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_deeply_nested_bodies_are_refused_and_do_not_crash() -> None:
    """Neither nested content nor nested JSON reaches the recursion limit."""
    block: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(5_000):
        block = {"type": "tool_result", "tool_use_id": "1", "content": [block]}
    with pytest.raises(RequestInvalid, match="nested"):
        bound_request(body([block]))
    deep: dict[str, Any] = {}
    for _ in range(50_000):
        deep = {"a": deep}
    with pytest.raises(RequestInvalid):
        bound_request(body([{"type": "tool_use", "id": "1", "name": "n", "input": deep}]))
    fetched: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(5_000):
        fetched = {
            "type": "web_fetch_tool_result",
            "content": {"type": "web_fetch_result", "content": fetched},
        }
    with pytest.raises(RequestInvalid, match="nested"):
        bound_request(body([fetched]))


def test_the_body_is_not_changed_and_the_bound_can_be_stored() -> None:
    """The caller sends the very body that was bounded; the bound is a plain value."""
    request = body(
        [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}],
        tools=[{"name": "t", "input_schema": {}}],
        fallbacks=[{"model": "claude-opus-5"}],
    )
    before = copy.deepcopy(request)
    bound = bound_request(request)
    assert request == before
    assert pickle.loads(pickle.dumps(bound)) == bound
    assert bound == bound_request(request)
    assert hash(bound) == hash(bound_request(request))


def test_max_tokens_may_be_missing_or_zero() -> None:
    """Zero warms the cache; counting tokens sends none."""
    assert bound_request(body(max_tokens=0)).max_tokens == 0
    assert bound_request({"messages": []}).max_tokens is None


def test_a_true_bill_at_the_limit_stays_within_the_bound(prices: PriceTable, now_us: int) -> None:
    """The dearest usage that fits costs exactly the bound: it is not wider than its basis."""
    bound = bound_request(body("x" * 5_000, cache_control={"type": "ephemeral", "ttl": "1h"}))
    worst = Usage(cache_write_1h_tokens=bound.input_tokens(OPUS), output_tokens=100)
    price = prices.price(OPUS.id, now_us)
    assert bound.cost_nanos(OPUS.id, prices, now_us, 100) == cost_nanos(worst, price)


def test_bounding_ten_kilobytes_takes_well_under_a_millisecond() -> None:
    """The aim is 0.1 ms; the limit here allows for slow and busy machines."""
    messages = [{"role": "user", "content": "hello world " * 80} for _ in range(10)]
    request = body(messages=messages)
    started = time.perf_counter()
    for _ in range(200):
        bound_request(request)
    assert (time.perf_counter() - started) / 200 < 0.001
