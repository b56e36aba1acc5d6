"""
The world of `cache_sessions`: turns of a trace, a provider that caches prompt blocks per model, its bills,
and the arms that need no router.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Final

from benchmarks.inputs import number, read_table
from outlay.errors import BadInput
from pricing.cost import cost_nanos
from pricing.facts import model_facts
from pricing.load import load_prices
from pricing.usage import Usage

START_US: Final = 1_795_219_200_000_000  # 2026-11-21, when both sets of prices were in force
TTL_MS: Final = 300_000
BLOCK: Final = 512
TRACE_COLUMNS: Final = ("timestamp", "input_length", "output_length", "hash_ids")
MAX_TOKENS: Final = 4_096
PINNED_DRAWS: Final = (8, 24)
PINNED_SESSIONS: Final = 24_000
"""Few long conversations hold much of a trace's cost, so one draw of who is pinned where says little: so many
conversations are drawn in all, within the least and the most draws."""


@dataclass(frozen=True, slots=True)
class Turn:
    """
    One turn of the trace.
    """

    at_ms: int
    session: str
    number: int
    prompt: int
    output: int
    blocks: tuple[int, ...]


@dataclass(slots=True)
class Provider:
    """
    The simulated provider: what it has cached, and what it has billed.
    """

    nanos: int = 0
    warm_until: dict[tuple[str, int], int] = field(default_factory=dict)

    def serve(self, model: str, turn: Turn) -> int:
        """
        Answer a turn; returns how much of its prompt was read from the cache.
        """
        found = 0
        for block in turn.blocks:
            if self.warm_until.get((model, block), -1) < turn.at_ms:
                break
            found += 1
        for block in turn.blocks:
            self.warm_until[model, block] = turn.at_ms + TTL_MS
        read = min(found * BLOCK, turn.prompt)
        self.nanos += bill(model, turn, read)
        return read


@dataclass(slots=True)
class Tally:
    """
    What one arm came to.
    """

    nanos: int = 0
    large: int = 0
    turns: int = 0
    switches: int = 0
    warm_switches: int = 0
    negative: int = 0
    suppressed: int = 0
    suppressed_nanos: int = 0

    @property
    def share(self) -> float:
        """
        Give the share of answers by the large model.
        """
        return self.large / self.turns


def bill(model: str, turn: Turn, read: int) -> int:
    """
    Give what a turn costs with so much of its prompt read from the cache and the rest written.
    """
    usage = Usage(
        cache_read_input_tokens=read, cache_write_5m_tokens=turn.prompt - read, output_tokens=turn.output
    )
    return cost_nanos(usage, load_prices().price(model, START_US))


def fits(model: str, turn: Turn) -> bool:
    """
    Tell whether a prompt leaves half as much again of the context window, as the router wants it.
    """
    return turn.prompt * 3 // 2 + MAX_TOKENS <= model_facts(model).context_tokens


def read_trace(path: Path) -> tuple[Turn, ...]:
    """
    Read a trace in time order; the second block names the conversation.

    Raises:
        BadInput: It cannot be read, lacks a column, or a row has wrong values.
    """
    seen: dict[str, int] = {}
    turns = []
    rows = [(number(row, "timestamp", where), where, row) for where, row in read_table(path, TRACE_COLUMNS)]
    for place, (_, where, row) in enumerate(sorted(rows, key=lambda one: one[0])):
        if not isinstance(row["hash_ids"], list):
            raise BadInput(f"{where}: hash_ids", row["hash_ids"], "is no list", "Give the ids of the blocks.")
        blocks = tuple(row["hash_ids"])
        session = str(blocks[1]) if len(blocks) > 1 else f"alone-{place}"
        seen[session] = seen.get(session, 0) + 1
        turns.append(
            Turn(
                at_ms=int(number(row, "timestamp", where)),
                session=session,
                number=seen[session],
                prompt=int(number(row, "input_length", where)),
                output=int(number(row, "output_length", where)),
                blocks=blocks,
            )
        )
    return tuple(turns)


def drawn(seed: int, *names: object) -> float:
    """
    Draw a number from 0 to 1 that depends on the names alone.
    """
    text = ":".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def fixed(turns: Sequence[Turn], models: tuple[str, str], is_large: Callable[[Turn], bool]) -> Tally:
    """
    Serve every turn by the model that a rule names.
    """
    provider, tally = Provider(), Tally()
    for turn in turns:
        large = is_large(turn) or not fits(models[1], turn)
        provider.serve(models[0 if large else 1], turn)
        tally.turns += 1
        tally.large += large
    tally.nanos = provider.nanos
    return tally


def pinned_nanos(turns: Sequence[Turn], models: tuple[str, str], share: float) -> float:
    """
    Give what it costs to pin conversations so that a share of the answers is large, over many draws of which.
    """
    least, most = PINNED_DRAWS
    draws = max(least, min(most, PINNED_SESSIONS // len({turn.session for turn in turns})))
    return fmean(pinned_at(turns, models, draw, share).nanos for draw in range(draws))


def pinned_at(turns: Sequence[Turn], models: tuple[str, str], seed: int, share: float) -> Tally:
    """
    Serve each conversation by one model, so many of them by the large one that their turns reach a share.
    """
    sizes: dict[str, int] = {}
    for turn in turns:
        sizes[turn.session] = sizes.get(turn.session, 0) + 1
    large, count = set(), 0
    for session in sorted(sizes, key=lambda name: drawn(seed, "pinned", name)):
        if count + sizes[session] / 2 >= share * len(turns):
            break
        large.add(session)
        count += sizes[session]
    return fixed(turns, models, lambda turn: turn.session in large)


def drawn_under(seed: int, share: float) -> Callable[[Turn], bool]:
    return lambda turn: drawn(seed, turn.session, turn.number) < share
