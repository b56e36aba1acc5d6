"""
What the model answers: how much, in which blocks, and why it stopped.

An answer is planned whole before its first byte; streams send the plan piece by piece. The text is filler
of the right size for the tokens it stands for.
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

from simulator.directives import Directives
from simulator.models import Model
from simulator.prompt import Split
from simulator.rules import effort, thinks
from simulator.schema import example
from simulator.shapes import is_client_tool, is_web_search
from simulator.signature import conversation_digest, sign
from simulator.tokens import text_bytes, text_tokens

_SENTENCE = "The simulated model answers with words of the right length and no meaning of their own. "
_THOUGHT_SHARE = {"low": 0.1, "medium": 0.25, "high": 0.4, "xhigh": 0.5, "max": 0.6}
_SIGMA = 0.8
_PIECES_MAX = 200
_filler = _SENTENCE * 100


@dataclass(frozen=True, slots=True)
class Call:
    """
    A request that is let in: checked, counted, and looked up in the cache.
    """

    body: Mapping[str, Any]
    model: Model
    wishes: Directives
    account: str
    prompt_tokens: int
    split: Split
    geo: str
    search_tokens: int
    refused: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """
    One delta of a stream, and the tokens that were generated for it.
    """

    delta: dict[str, Any]
    tokens: int


@dataclass(frozen=True, slots=True)
class Block:
    """
    One content block: whole, as a stream starts it, and the deltas between.
    """

    whole: dict[str, Any]
    start: dict[str, Any]
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """
    A planned answer.
    """

    message_id: str
    blocks: tuple[Block, ...]
    output_tokens: int
    thinking_tokens: int
    web_searches: int
    stop_reason: str
    stop_sequence: str | None


def plan(call: Call, rng: Random, *, mean: int, tool_ratio: float, chunk: int) -> Answer:
    """
    Decide the whole answer.

    Args:
        mean: Output tokens of a call that does not ask for a number.
        tool_ratio: Share of answers that use a tool where there are some.
        chunk: Tokens of one delta.
    """
    structured = _structured(call)
    wanted = _wanted(call, rng, mean, structured)
    output, stop = _capped(call, wanted)
    thought = min(output, _thought(call, wanted))
    body = _body(
        call, rng, visible=output - thought, wanted=wanted - thought, stop=stop, structured=structured
    )
    searches = _searches(call, rng) if body.text else 0
    tool = _tool(call, rng, tool_ratio) if stop == "end_turn" and body.text and structured is None else None
    blocks = [_thinking_block(call, thought, chunk)] if thought else []
    if tool is not None:
        body, searches = _Body("", output - thought, "tool_use"), 0
        blocks.append(_tool_block(tool, body.tokens, chunk))
    blocks.extend(block for at in range(searches) for block in _search_blocks(at))
    if body.text:
        blocks.append(_text_block(body.text, body.tokens, chunk))
    return Answer(
        message_id=f"msg_01{os.urandom(11).hex()}",
        blocks=tuple(blocks),
        output_tokens=thought + body.tokens,
        thinking_tokens=thought,
        web_searches=searches,
        stop_reason="refusal" if call.refused else body.stop,
        stop_sequence=body.sequence,
    )


@dataclass(frozen=True, slots=True)
class _Body:
    text: str
    tokens: int
    stop: str
    sequence: str | None = None


def _body(call: Call, rng: Random, *, visible: int, wanted: int, stop: str, structured: str | None) -> _Body:
    if not visible:
        return _Body("", 0, stop)
    if structured is not None:
        text = structured if stop == "end_turn" else structured[: len(structured) * visible // wanted]
        return _Body(text or structured[:1], visible, stop)
    text, sequence = _stopped(_text(call, visible, rng), call.body.get("stop_sequences") or ())
    if sequence is None:
        return _Body(text, visible, stop)
    return _Body(text, min(visible, text_tokens(text, call.model.tokenizer)), "stop_sequence", sequence)


def _wanted(call: Call, rng: Random, mean: int, structured: str | None) -> int:
    if call.wishes.output_tokens is not None:
        return call.wishes.output_tokens
    drawn = max(1, round(rng.lognormvariate(math.log(mean) - _SIGMA * _SIGMA / 2, _SIGMA)))
    if structured is None:
        return drawn
    return text_tokens(structured, call.model.tokenizer) + _thought(call, drawn)


def _capped(call: Call, wanted: int) -> tuple[int, str]:
    limit = call.body["max_tokens"]
    room = call.model.context_tokens - call.prompt_tokens
    if wanted <= min(limit, room) and limit > 0:
        return wanted, "end_turn"
    return (limit, "max_tokens") if limit <= room else (room, "model_context_window_exceeded")


def _thought(call: Call, wanted: int) -> int:
    if not thinks(call.body, call.model):
        return 0
    if call.wishes.thinking_tokens is not None:
        return call.wishes.thinking_tokens
    return int(wanted * _THOUGHT_SHARE[effort(call.body, call.model)])


def _structured(call: Call) -> str | None:
    format_ = (call.body.get("output_config") or {}).get("format")
    return None if format_ is None else json.dumps(example(format_["schema"]))


def _searches(call: Call, rng: Random) -> int:
    tool = next((tool for tool in call.body.get("tools") or () if is_web_search(tool)), None)
    if tool is None or call.body["max_tokens"] == 0:
        return 0
    most = tool.get("max_uses")
    wanted = rng.randint(0, 2) if call.wishes.web_searches is None else call.wishes.web_searches
    return wanted if most is None else min(wanted, most)


def _tool(call: Call, rng: Random, ratio: float) -> Mapping[str, Any] | None:
    tools = [tool for tool in call.body.get("tools") or () if is_client_tool(tool)]
    choice = call.body.get("tool_choice") or {"type": "auto"}
    if not tools or choice["type"] == "none":
        return None
    if choice["type"] == "tool":
        return next((tool for tool in tools if tool["name"] == choice["name"]), None)
    wish = call.wishes.tool_use
    uses = choice["type"] == "any" or (rng.random() < ratio if wish is None else wish > 0)
    return rng.choice(tools) if uses else None


def _text(call: Call, tokens: int, rng: Random) -> str:
    size = max(1, text_bytes(tokens, call.model.tokenizer))
    start = len(_SENTENCE) * rng.randrange(2)
    if size + start > len(_filler):
        return (_SENTENCE * (size // len(_SENTENCE) + 1))[:size]
    return _filler[start : start + size]


def _stopped(text: str, sequences: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(at, sequence) for sequence in sequences if (at := text.find(sequence)) >= 0]
    if not found:
        return text, None
    at, sequence = min(found)
    return text[:at], sequence


def _split(text: str, tokens: int, chunk: int) -> list[tuple[str, int]]:
    pieces = max(1, min(_PIECES_MAX, -(-tokens // chunk), len(text)))
    ends = [(len(text) * at // pieces, tokens * at // pieces) for at in range(pieces + 1)]
    return [(text[a:b], y - x) for (a, x), (b, y) in pairwise(ends)]


def _text_block(text: str, tokens: int, chunk: int) -> Block:
    return Block(
        whole={"type": "text", "text": text},
        start={"type": "text", "text": ""},
        pieces=tuple(
            Piece({"type": "text_delta", "text": part}, count) for part, count in _split(text, tokens, chunk)
        ),
    )


def _tool_block(tool: Mapping[str, Any], tokens: int, chunk: int) -> Block:
    value = example(tool["input_schema"])
    head = {"type": "tool_use", "id": f"toolu_01{os.urandom(11).hex()}", "name": tool["name"]}
    return Block(
        whole={**head, "input": value},
        start={**head, "input": {}},
        pieces=tuple(
            Piece({"type": "input_json_delta", "partial_json": part}, count)
            for part, count in _split(json.dumps(value), tokens, chunk)
        ),
    )


def _thinking_block(call: Call, tokens: int, chunk: int) -> Block:
    signature = sign(
        model=call.model.id,
        binding=call.model.thinking_binding,
        account=call.account,
        conversation=conversation_digest(call.body["messages"]),
    )
    thinking = call.body.get("thinking") or {}
    usual = "omitted" if call.model.tokenizer == "2026" else "summarized"
    shown = _SENTENCE if (thinking.get("display") or usual) == "summarized" else ""
    said = tuple(
        Piece({"type": "thinking_delta", "thinking": part}, count)
        for part, count in _split(shown, tokens, chunk)
        if shown
    )
    signed = Piece({"type": "signature_delta", "signature": signature}, 0 if shown else tokens)
    return Block(
        whole={"type": "thinking", "thinking": shown, "signature": signature},
        start={"type": "thinking", "thinking": "", "signature": ""},
        pieces=(*said, signed),
    )


def _search_blocks(at: int) -> tuple[Block, Block]:
    name = f"srvtoolu_01{os.urandom(11).hex()}"
    question = {"query": f"simulated query {at + 1}"}
    head = {"type": "server_tool_use", "id": name, "name": "web_search"}
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": name,
        "content": [
            {
                "type": "web_search_result",
                "url": f"https://example.com/{at + 1}",
                "title": "A simulated page",
                "encrypted_content": "c2ltdWxhdGVk",
                "page_age": None,
            }
        ],
    }
    asked = Piece({"type": "input_json_delta", "partial_json": json.dumps(question)}, 0)
    return Block({**head, "input": question}, {**head, "input": {}}, (asked,)), Block(result, result, ())
