"""
Reading the provider's usage.
"""

from typing import Any

import pytest

from pricing.usage import Billed, Usage, UsageError, billed_from_api

OPUS = "claude-opus-5-5"
HAIKU = "claude-haiku-5-5"


def one(usage: dict[str, Any], **more: Any) -> Usage:
    """The usage of an answer that is billed at one model."""
    (billed,) = billed_from_api(OPUS, usage, **more)
    assert billed.model == OPUS
    return billed.usage


def test_counts_are_read_with_the_split_of_cache_writes() -> None:
    """Each count has its own place; details that are not billed are left out."""
    usage = one(
        {
            "input_tokens": 1,
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 1},
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 9,
            "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 5},
            "server_tool_use": {"web_search_requests": 6, "web_fetch_requests": 7},
            "service_tier": "batch",
            "speed": "fast",
            "inference_geo": "us",
        }
    )
    assert usage == Usage(1, 2, 3, 4, 5, 6, speed="fast", batch=True, geo="us")
    assert usage.prompt_tokens == 13


def test_nulls_and_absent_fields_are_zero() -> None:
    """Optional fields of the API come as null."""
    nulls = dict.fromkeys(
        ["cache_creation", "cache_read_input_tokens", "speed", "iterations", "server_tool_use"]
    )
    assert one({"input_tokens": 1, "output_tokens": 0, **nulls}) == Usage(input_tokens=1)


def test_cache_writes_without_a_split_are_never_lost() -> None:
    """They count at 5 minutes, the API's default, or at 1 hour where the call writes for an hour."""
    base = {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": 10}
    assert one(base).cache_write_5m_tokens == 10
    hour = one({**base, "cache_creation": {"ephemeral_1h_input_tokens": 4}})
    assert (hour.cache_write_5m_tokens, hour.cache_write_1h_tokens) == (0, 10)
    five = one({**base, "cache_creation": {"ephemeral_5m_input_tokens": 4}})
    assert (five.cache_write_5m_tokens, five.cache_write_1h_tokens) == (10, 0)


def test_the_default_geography_fills_in_only_where_the_answer_is_silent() -> None:
    """What the provider says about where it ran wins."""
    base = {"input_tokens": 1, "output_tokens": 1}
    assert one(base, default_geo="us").geo == "us"
    assert one({**base, "inference_geo": "global"}, default_geo="us").geo == "global"


def test_plain_iterations_do_not_count_twice() -> None:
    """The turns of a server tool loop are inside the totals."""
    loop = [{"type": "message", "input_tokens": 5, "output_tokens": 1}] * 2
    assert one({"input_tokens": 10, "output_tokens": 2, "iterations": loop}) == Usage(10, 2)


def test_compaction_is_billed_on_top_of_the_totals() -> None:
    """The totals leave compaction out."""
    usage = {
        "input_tokens": 10,
        "output_tokens": 2,
        "iterations": [
            {
                "type": "compaction",
                "input_tokens": 500,
                "output_tokens": 50,
                "cache_creation_input_tokens": 7,
            },
            {"type": "message", "input_tokens": 10, "output_tokens": 2},
        ],
    }
    assert billed_from_api(OPUS, usage) == (
        Billed(OPUS, Usage(10, 2)),
        Billed(OPUS, Usage(500, 50, cache_write_5m_tokens=7)),
    )


def test_a_fallback_is_billed_at_the_model_that_served() -> None:
    """The declined hop at its model, the serving hop at its own, searches with the serving hop."""
    usage = {
        "input_tokens": 30,
        "output_tokens": 9,
        "server_tool_use": {"web_search_requests": 1},
        "iterations": [
            {"type": "message", "model": OPUS, "input_tokens": 10, "output_tokens": 4},
            {"type": "fallback_message", "model": HAIKU, "input_tokens": 20, "output_tokens": 5},
        ],
    }
    assert billed_from_api(HAIKU, usage) == (
        Billed(OPUS, Usage(10, 4)),
        Billed(HAIKU, Usage(20, 5, web_search_requests=1)),
    )


def test_totals_of_the_serving_hop_alone_do_not_hide_the_declined_one() -> None:
    """Whether or not the totals include the declined hop, both are billed, and nothing twice."""
    iterations = [
        {"type": "message", "model": OPUS, "input_tokens": 10, "output_tokens": 4},
        {"type": "fallback_message", "model": HAIKU, "input_tokens": 20, "output_tokens": 5},
    ]
    alone = billed_from_api(HAIKU, {"input_tokens": 20, "output_tokens": 5, "iterations": iterations})
    both = billed_from_api(HAIKU, {"input_tokens": 30, "output_tokens": 9, "iterations": iterations})
    assert alone == both == (Billed(OPUS, Usage(10, 4)), Billed(HAIKU, Usage(20, 5)))


def test_what_totals_have_beyond_the_iterations_is_billed() -> None:
    """A count that no iteration names is not lost."""
    iterations = [{"type": "message", "model": HAIKU, "input_tokens": 10, "output_tokens": 4}]
    (billed,) = billed_from_api(OPUS, {"input_tokens": 12, "output_tokens": 5, "iterations": iterations})
    assert billed == Billed(HAIKU, Usage(12, 5))


def test_advisors_and_unknown_iterations_are_billed_on_top() -> None:
    """An iteration of a kind that we do not know costs money too."""
    iterations = [
        {"type": "message", "input_tokens": 10, "output_tokens": 4},
        {"type": "advisor_message", "model": HAIKU, "input_tokens": 3, "output_tokens": 2},
        {"type": "novelty", "input_tokens": 8, "output_tokens": 1},
    ]
    billed = billed_from_api(OPUS, {"input_tokens": 10, "output_tokens": 4, "iterations": iterations})
    assert billed == (Billed(OPUS, Usage(10, 4)), Billed(HAIKU, Usage(3, 2)), Billed(OPUS, Usage(8, 1)))


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"speed": "fast"},
        {"input_tokens": 1},
        {"output_tokens": 1},
        {"input_tokens": 1, "output_tokens": None},
        {"input_tokens": -1, "output_tokens": 1},
        {"input_tokens": 1.5, "output_tokens": 1},
        {"input_tokens": "1", "output_tokens": 1},
        {"input_tokens": True, "output_tokens": 1},
        {"input_tokens": 1, "output_tokens": 1, "iterations": "many"},
        {"input_tokens": 1, "output_tokens": 1, "iterations": [3]},
        {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": -4}},
    ],
)
def test_unreadable_usage_is_an_error_and_not_a_zero(usage: dict[str, Any]) -> None:
    """A call whose cost is unknown must not settle at nothing."""
    with pytest.raises(UsageError):
        billed_from_api(OPUS, usage)


def test_a_negative_count_cannot_be_made() -> None:
    """Usage below zero would be money out of nothing."""
    with pytest.raises(UsageError):
        Usage(input_tokens=-1)


def test_what_was_asked_counts_where_the_answer_is_silent() -> None:
    """A silent answer ran as it was asked to, where its model can; one that says otherwise is believed."""
    plain = {"input_tokens": 1, "output_tokens": 2}
    asked = {"default_geo": "us", "default_speed": "fast"}
    assert one(plain, **asked) == Usage(1, 2, speed="fast", geo="us")
    told = one({**plain, "speed": "standard", "inference_geo": "global"}, **asked)
    assert told == Usage(1, 2, speed="standard", geo="global")
    iterations = [{"type": "fallback_message", "model": HAIKU, **plain}]
    (hop,) = billed_from_api(OPUS, {**plain, "iterations": iterations}, default_speed="fast")
    assert hop == Billed(HAIKU, Usage(1, 2, speed="standard"))
