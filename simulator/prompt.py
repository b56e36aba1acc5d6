"""
A checked request body as the model reads it: tools, system, messages; and the prompt cache over it.

The cache holds digests of prefixes, never text. A marker (`cache_control`) writes the prefix that ends at
its block; a later request reads the longest live prefix found at a marker or up to 20 blocks before it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from simulator.models import Model
from simulator.tokens import (
    MESSAGE_OVERHEAD,
    REQUEST_OVERHEAD,
    TOOLS_OVERHEAD,
    block_tokens,
    json_tokens,
    text_tokens,
)

TTL_S = {"5m": 300, "1h": 3600}
LOOKBACK_BLOCKS = 20
_ENTRIES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Segment:
    """
    One block of the prompt; *ttl* is that of its cache marker.
    """

    tokens: int
    ttl: str | None
    payload: Any


@dataclass(frozen=True, slots=True)
class Split:
    """
    How a prompt divides into tokens read from the cache, written to it, and neither.
    """

    uncached: int
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0


def prompt_tokens(body: Mapping[str, Any], tokenizer: str) -> int:
    """
    Return the tokens of the whole prompt.
    """
    return REQUEST_OVERHEAD + sum(segment.tokens for segment in segments(body, tokenizer))


def segments(body: Mapping[str, Any], tokenizer: str) -> list[Segment]:
    """
    Return the blocks of the prompt in the order in which the model reads them.
    """
    found = [*_tools(body, tokenizer), *_system(body, tokenizer), *_messages(body, tokenizer)]
    if isinstance(body.get("cache_control"), dict) and found:
        last = found[-1]
        found[-1] = Segment(last.tokens, body["cache_control"].get("ttl", "5m"), last.payload)
    return found


def _tools(body: Mapping[str, Any], tokenizer: str) -> Iterator[Segment]:
    overhead = TOOLS_OVERHEAD
    for tool in body.get("tools") or ():
        bare = {key: value for key, value in tool.items() if key != "cache_control"}
        yield Segment(overhead + json_tokens(bare, tokenizer), _ttl(tool), bare)
        overhead = 0


def _system(body: Mapping[str, Any], tokenizer: str) -> Iterator[Segment]:
    system = body.get("system") or ()
    if isinstance(system, str):
        yield Segment(text_tokens(system, tokenizer), None, ["system", system])
        return
    for block in system:
        yield Segment(block_tokens(block, tokenizer), _ttl(block), ["system", block["text"]])


def _messages(body: Mapping[str, Any], tokenizer: str) -> Iterator[Segment]:
    for message in body["messages"]:
        role, content, overhead = message["role"], message["content"], MESSAGE_OVERHEAD
        if isinstance(content, str):
            yield Segment(overhead + text_tokens(content, tokenizer), None, [role, content])
            continue
        for block in content:
            yield Segment(overhead + block_tokens(block, tokenizer), _ttl(block), [role, _bare(block)])
            overhead = 0


def _bare(block: Mapping[str, Any]) -> Any:
    if block["type"] == "text":
        return block["text"]
    return {key: value for key, value in block.items() if key != "cache_control"}


def _ttl(block: Mapping[str, Any]) -> str | None:
    marker = block.get("cache_control")
    return None if marker is None else marker.get("ttl", "5m")


@dataclass(slots=True)
class _Entry:
    ttl_s: int
    expires_s: float


class PromptCache:
    """
    The prefixes that the provider holds, per key, model and speed.
    """

    def __init__(self) -> None:
        self._entries: dict[bytes, _Entry] = {}

    def split(self, body: Mapping[str, Any], *, key: str, model: Model, total: int, now_s: float) -> Split:
        """
        Look the prompt up, write what its markers ask for, and return how it divides.

        Args:
            total: The billed prompt; blocks get their share of it where it differs from the estimate.
        """
        found = segments(body, model.tokenizer)
        marked = [at for at, segment in enumerate(found) if segment.ttl is not None]
        if not marked:
            return Split(total)
        ends = _ends(found, total)
        digests = _digests(f"{key}|{model.id}|{body.get('speed')}", found)
        hit = self._hit(marked, digests, ends, model.min_cacheable_tokens, now_s)
        read = 0 if hit is None else ends[hit]
        written = {"5m": 0, "1h": 0}
        reached = read
        for at in marked:
            if ends[at] > reached and ends[at] >= model.min_cacheable_tokens:
                ttl = found[at].ttl or "5m"
                written[ttl] += ends[at] - reached
                reached = ends[at]
                self._entries[digests[at]] = _Entry(TTL_S[ttl], now_s + TTL_S[ttl])
        self._prune(now_s)
        return Split(total - reached, read, written["5m"], written["1h"])

    def _hit(
        self, marked: list[int], digests: list[bytes], ends: list[int], least: int, now_s: float
    ) -> int | None:
        for mark in reversed(marked):
            for at in range(mark, max(-1, mark - LOOKBACK_BLOCKS), -1):
                entry = self._entries.get(digests[at])
                if entry is not None and entry.expires_s > now_s and ends[at] >= least:
                    entry.expires_s = now_s + entry.ttl_s
                    return at
        return None

    def _prune(self, now_s: float) -> None:
        if len(self._entries) > _ENTRIES_MAX:
            self._entries = {name: entry for name, entry in self._entries.items() if entry.expires_s > now_s}
        if len(self._entries) > _ENTRIES_MAX:
            self._entries.clear()


def _ends(found: list[Segment], total: int) -> list[int]:
    estimate = REQUEST_OVERHEAD + sum(segment.tokens for segment in found)
    ends, so_far = [], REQUEST_OVERHEAD
    for segment in found:
        so_far += segment.tokens
        ends.append(so_far * total // estimate)
    return ends


def _digests(scope: str, found: list[Segment]) -> list[bytes]:
    running, digests = blake2b(scope.encode(), digest_size=16), []
    for segment in found:
        running.update(json.dumps(segment.payload, sort_keys=True).encode())
        running.update(b"\x00")
        digests.append(running.digest())
    return digests
