"""
What a caller asks of the simulation: by headers `simulator-NAME`, or by a line in the last user message.

The line reads `[[sim input_tokens=1234 output_tokens=567 fault=overload_529]]` and passes through gateways
that drop unknown headers. The first line found counts; a header goes before it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import invalid
from simulator.faults import Fault, parse_fault

_LINE = re.compile(r"\[\[sim ([^\[\]\n]{0,1000})\]\]")
_NUMBERS = (
    "input_tokens",
    "output_tokens",
    "thinking_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_searches",
    "tool_use",
    "latency_ms",
    "stall_ms",
)
_FAULT_ALIASES = ("break_stream_after", "stream_error_after")
_HIGHEST = 1_000_000_000
PREFIX = b"simulator-"


@dataclass(frozen=True, slots=True)
class Directives:
    """
    The caller's wishes; None leaves a number to the simulation.

    Attributes:
        input_tokens: The whole prompt, cached parts included.
        output_tokens: What the model would write if max_tokens let it; thinking included.
        tool_use: 1 answers with a tool_use block, 0 with text.
        stall_ms: A pause in the middle of the stream, or before a plain answer.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    thinking_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    web_searches: int | None = None
    tool_use: int | None = None
    latency_ms: int | None = None
    stall_ms: int | None = None
    fault: Fault | None = None


NONE = Directives()


def read_directives(headers: Mapping[bytes, bytes], messages: list[dict[str, Any]]) -> Directives:
    """
    Collect what the caller asks for.

    Raises:
        ApiError: a name is unknown or a value malformed.
    """
    pairs = dict(_from_prompt(messages))
    for name, value in headers.items():
        if name.startswith(PREFIX):
            key = name[len(PREFIX) :].decode("ascii", "replace").replace("-", "_")
            pairs[key] = value.decode("latin-1")
    return _directives(pairs) if pairs else NONE


def _directives(pairs: Mapping[str, str]) -> Directives:
    values: dict[str, Any] = {}
    for name, text in pairs.items():
        if name in _NUMBERS:
            values[name] = _number(name, text)
        elif name == "fault":
            values["fault"] = parse_fault(text)
        elif name in _FAULT_ALIASES:
            values["fault"] = parse_fault(f"{name}={text}")
        else:
            raise invalid(f"simulator: no directive named {name!r}; there are fault, {', '.join(_NUMBERS)}")
    return Directives(**values)


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > _HIGHEST:
        raise invalid(f"simulator: {name}={text!r} is not a whole number from 0 to {_HIGHEST}")
    return int(text)


def _from_prompt(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    last = next((message for message in reversed(messages) if message["role"] == "user"), None)
    for text in () if last is None else _texts(last["content"]):
        found = _LINE.search(text) if "[[sim " in text else None
        if found is not None:
            for word in found[1].split():
                name, _, value = word.partition("=")
                yield name, value
            return


def _texts(content: str | list[dict[str, Any]]) -> Iterator[str]:
    if isinstance(content, str):
        yield content
        return
    for block in content:
        if block["type"] == "text":
            yield block["text"]
        elif block["type"] == "tool_result":
            yield from _texts(block.get("content") or "")
