"""
What the provider says it will bill, read from answers and streams into plain counts.

It decides which counts belong to which model (server-side fallbacks, compaction, advisors) and how the
events of a stream combine. It knows no prices. Malformed usage is an error, never a zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pricing.facts import UnknownModel, model_facts
from pricing.stream import BrokenUsage, StreamUsage, broken_stream_usage

__all__ = [
    "Billed",
    "BrokenUsage",
    "StreamUsage",
    "Usage",
    "UsageError",
    "billed_from_api",
    "broken_stream_usage",
]

_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "web_search_requests",
)
# Iterations of these kinds are what the top-level totals count; every other kind is billed on top of them.
_IN_TOTALS = frozenset({"message", "fallback_message"})


class UsageError(ValueError):
    """
    The provider's usage cannot be read, so the cost of the call is unknown.
    """


@dataclass(frozen=True, slots=True)
class Usage:
    """
    Billable counts of one model in one call; `input_tokens` are the uncached ones only.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    web_search_requests: int = 0
    speed: str = "standard"
    batch: bool = False
    geo: str | None = None

    def __post_init__(self) -> None:
        """Refuse counts below zero: they would be money out of nothing."""
        for name in _COUNTS:
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; a count is never negative")

    @property
    def prompt_tokens(self) -> int:
        """
        Return the total prompt, which decides the price tier.
        """
        return (
            self.input_tokens
            + self.cache_read_input_tokens
            + self.cache_write_5m_tokens
            + self.cache_write_1h_tokens
        )


@dataclass(frozen=True, slots=True)
class Billed:
    """
    Counts together with the model that they are billed at.
    """

    model: str
    usage: Usage


def billed_from_api(
    model: str,
    usage: Mapping[str, object],
    *,
    default_geo: str | None = None,
    default_speed: str | None = None,
) -> tuple[Billed, ...]:
    """
    Read an API `usage` object into what is billed, each part at its own model.

    Top-level totals leave out compaction and advisor iterations, and do not say which hop of a server-side
    fallback used what; so where `iterations` tell more than the totals, each iteration is billed at its own
    model, and what the totals have beyond their sum is billed at the last one. Nothing is counted twice.

    Args:
        model: The model that the answer names.
        default_geo: Where the call was asked to run, for answers that do not say where they ran.
        default_speed: The speed that was asked for, likewise; a model that has it not runs at standard.
    Raises:
        UsageError: counts are missing, negative or not whole numbers.
    """
    for name in ("input_tokens", "output_tokens"):
        if usage.get(name) is None:
            raise UsageError(f"usage has no {name}; a count that is not told is not 0")
    total = _read(usage, _terms(usage, default_geo), long_writes=_has_1h(usage))
    iterations = _iterations(usage)
    billed: tuple[Billed, ...] = (Billed(model, total),)
    if any(kind != "message" or name not in (None, model) for kind, name, _ in iterations):
        billed = _by_iteration(model, total, iterations, long_writes=_has_1h(usage))
    if usage.get("speed") or default_speed is None:
        return billed
    return tuple(replace(part, usage=_asked_speed(part, default_speed)) for part in billed)


def _asked_speed(part: Billed, asked: str) -> Usage:
    try:
        possible = model_facts(part.model).fast
    except UnknownModel:
        possible = True  # what such a model costs is unknown either way
    return replace(part.usage, speed=asked if possible else "standard")


def _by_iteration(
    model: str,
    total: Usage,
    iterations: Sequence[tuple[str, str | None, Mapping[str, object]]],
    *,
    long_writes: bool,
) -> tuple[Billed, ...]:
    """Bill each iteration at its model; the totals' remainder (and the searches) go to the last of the
    turn."""
    terms = Usage(speed=total.speed, batch=total.batch, geo=total.geo)
    inside: list[Billed] = []
    extra: list[Billed] = []
    for kind, name, raw in iterations:
        part = Billed(name or model, _read(raw, terms, long_writes=long_writes))
        (inside if kind in _IN_TOTALS else extra).append(part)
    if not inside:
        return (Billed(model, total), *extra)
    last = inside.pop()
    rest = {
        name: max(getattr(total, name) - sum(getattr(part.usage, name) for part in inside), 0)
        for name in _COUNTS
    }
    grown = {name: max(value, getattr(last.usage, name)) for name, value in rest.items()}
    return (*inside, Billed(last.model, replace(last.usage, **grown)), *extra)


def _iterations(usage: Mapping[str, object]) -> list[tuple[str, str | None, Mapping[str, object]]]:
    raw = usage.get("iterations")
    if raw is None:
        return []
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise UsageError(f"usage.iterations is {type(raw).__name__}; expected a list")
    return [_iteration(entry) for entry in raw]


def _iteration(entry: object) -> tuple[str, str | None, Mapping[str, object]]:
    if not isinstance(entry, Mapping):
        raise UsageError(f"usage.iterations holds {type(entry).__name__}; expected objects")
    name = entry.get("model")
    return str(entry.get("type", "")), name if isinstance(name, str) else None, entry


def _terms(usage: Mapping[str, object], default_geo: str | None) -> Usage:
    """Read what decides the rates rather than the counts: speed, batch, geography."""
    geo = usage.get("inference_geo")
    return Usage(
        speed=str(usage.get("speed") or "standard"),
        batch=usage.get("service_tier") == "batch",
        geo=str(geo) if geo is not None else default_geo,
    )


def _read(raw: Mapping[str, object], terms: Usage, *, long_writes: bool) -> Usage:
    """
    Read the counts of one usage object.

    A cumulative cache-write total without its split by TTL is taken at 5 minutes, the API's default, unless
    the call is known to write for an hour.
    """
    split = _split(raw)
    written_5m = _count(split, "ephemeral_5m_input_tokens")
    written_1h = _count(split, "ephemeral_1h_input_tokens")
    unsplit = max(_count(raw, "cache_creation_input_tokens") - written_5m - written_1h, 0)
    tools = raw.get("server_tool_use")
    return replace(
        terms,
        input_tokens=_count(raw, "input_tokens"),
        output_tokens=_count(raw, "output_tokens"),
        cache_read_input_tokens=_count(raw, "cache_read_input_tokens"),
        cache_write_5m_tokens=written_5m + (0 if long_writes else unsplit),
        cache_write_1h_tokens=written_1h + (unsplit if long_writes else 0),
        web_search_requests=_count(tools, "web_search_requests") if isinstance(tools, Mapping) else 0,
    )


def _split(raw: Mapping[str, object]) -> Mapping[str, object]:
    split = raw.get("cache_creation")
    return split if isinstance(split, Mapping) else {}


def _has_1h(usage: Mapping[str, object]) -> bool:
    return _count(_split(usage), "ephemeral_1h_input_tokens") > 0


def _count(raw: Mapping[str, object], name: str) -> int:
    value = raw.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise UsageError(f"usage.{name} is {value!r}; expected a whole number >= 0")
    return value
