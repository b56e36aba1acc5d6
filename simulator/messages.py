"""
An answer on the wire: the message of a plain answer, and the events of a stream in the API's order.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.answer import Answer, Call
from simulator.prices import Usage


@dataclass(frozen=True, slots=True)
class Event:
    """
    One event of a stream.

    Attributes:
        data: The bytes as sent.
        generated: Output tokens generated once this event is sent.
        searches: Web searches made by then.
        last: True from message_delta on: all that will be generated is generated.
    """

    data: bytes
    generated: int
    searches: int = 0
    last: bool = False


def usage_of(call: Call, answer: Answer, output_tokens: int, searches: int) -> Usage:
    """
    Return the billed counts of a call that generated *output_tokens* and made *searches*.

    What a search finds becomes part of the prompt, uncached.
    """
    split = call.split
    return Usage(
        input_tokens=split.uncached + searches * call.search_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=split.read,
        cache_write_5m_tokens=split.write_5m,
        cache_write_1h_tokens=split.write_1h,
        web_searches=searches,
        thinking_tokens=min(answer.thinking_tokens, output_tokens),
        geo=call.geo,
        speed=call.body.get("speed") or "standard",
    )


def message(call: Call, answer: Answer, usage: Usage) -> bytes:
    """
    Return the body of a plain answer.
    """
    body = _envelope(call, answer, usage_json(usage))
    body["content"] = [block.whole for block in answer.blocks]
    body["stop_reason"] = answer.stop_reason
    body["stop_sequence"] = answer.stop_sequence
    body["stop_details"] = _stop_details(answer)
    return json.dumps(body, separators=(",", ":")).encode()


def events(call: Call, answer: Answer) -> Iterator[Event]:
    """
    Yield the events of a stream.

    The first carries the input side of the usage, with the cache writes by lifetime; message_delta carries
    cumulative counts without it.
    """
    started = min(1, answer.output_tokens)
    opening = usage_json(usage_of(call, answer, started, 0))
    opening["output_tokens_details"] = {"thinking_tokens": 0}
    yield _event("message_start", {"message": _envelope(call, answer, opening)}, started)
    so_far = searches = 0
    for index, block in enumerate(answer.blocks):
        searches += block.start["type"] == "web_search_tool_result"
        yield _event(
            "content_block_start",
            {"index": index, "content_block": block.start},
            max(started, so_far),
            searches,
        )
        if index == 0:
            yield _event("ping", {}, started)
        for piece in block.pieces:
            so_far += piece.tokens
            yield _event(
                "content_block_delta", {"index": index, "delta": piece.delta}, max(started, so_far), searches
            )
        yield _event("content_block_stop", {"index": index}, max(started, so_far), searches)
    yield from _closing(answer, usage_of(call, answer, answer.output_tokens, answer.web_searches))


def _closing(answer: Answer, usage: Usage) -> Iterator[Event]:
    delta = {
        "stop_reason": answer.stop_reason,
        "stop_sequence": answer.stop_sequence,
        "stop_details": _stop_details(answer),
    }
    counts = usage_json(usage)
    for name in ("cache_creation", "service_tier", "speed", "inference_geo"):
        del counts[name]
    yield _event(
        "message_delta",
        {"delta": delta, "usage": counts},
        answer.output_tokens,
        answer.web_searches,
        last=True,
    )
    yield _event("message_stop", {}, answer.output_tokens, answer.web_searches, last=True)


def error_event(body: bytes) -> bytes:
    """
    Return the event by which a stream says that it failed.
    """
    return b"event: error\ndata: " + body + b"\n\n"


def usage_json(usage: Usage) -> dict[str, Any]:
    """
    Return the `usage` of a message as the API writes it.
    """
    found: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_5m_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write_5m_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"thinking_tokens": usage.thinking_tokens},
        "service_tier": "standard",
        "speed": usage.speed,
        "inference_geo": usage.geo,
    }
    if usage.web_searches:
        found["server_tool_use"] = {"web_search_requests": usage.web_searches, "web_fetch_requests": 0}
    return found


def _envelope(call: Call, answer: Answer, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": answer.message_id,
        "type": "message",
        "role": "assistant",
        "model": call.model.id,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": usage,
    }


def _stop_details(answer: Answer) -> dict[str, str | None] | None:
    if answer.stop_reason != "refusal":
        return None
    return {
        "type": "refusal",
        "category": "general_harms",
        "explanation": "A refusal that the caller asked for.",
    }


def _event(
    name: str, fields: Mapping[str, Any], generated: int, searches: int = 0, *, last: bool = False
) -> Event:
    data = json.dumps({"type": name, **fields}, separators=(",", ":"))
    return Event(f"event: {name}\ndata: {data}\n\n".encode(), generated, searches, last)
