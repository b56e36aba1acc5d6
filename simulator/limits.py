"""
Rate limits per key and model line over one minute, and the `anthropic-ratelimit-*` headers.

Without limits set, the headers show the figures of a large account and nothing is refused.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulator.errors import ApiError

WINDOW_S = 60
_KINDS = ("requests", "input-tokens", "output-tokens")


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Most requests and tokens a minute, per key and model line; None is no limit.
    """

    requests: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


SHOWN = (4_000, 4_000_000, 800_000)


@dataclass(slots=True)
class _Window:
    starts_s: int
    used: list[int] = field(default_factory=lambda: [0, 0, 0])


class RateLimiter:
    """
    Counts what each key uses of each model line in the current minute.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = (limits.requests, limits.input_tokens, limits.output_tokens)
        self._enforced = any(limit is not None for limit in self._limits)
        self._windows: dict[tuple[str, str], _Window] = {}
        self._idle: tuple[int, list[tuple[bytes, bytes]]] = (-1, [])

    def admit(self, key: str, line: str, input_tokens: int, now_s: float) -> list[tuple[bytes, bytes]]:
        """
        Count one request and return the headers of its answer.

        Raises:
            ApiError: 429, as one of the limits is used up.
        """
        starts = int(now_s) // WINDOW_S * WINDOW_S
        if not self._enforced:
            if self._idle[0] != starts:
                self._idle = (starts, _headers(SHOWN, SHOWN, starts + WINDOW_S))
            return self._idle[1]
        used = self._window(key, line, starts).used
        wanted = (used[0] + 1, used[1] + input_tokens, used[2] + 1)
        for name, limit, count in zip(_KINDS, self._limits, wanted, strict=True):
            if limit is not None and count > limit:
                raise _exceeded(name, limit, max(1, starts + WINDOW_S - int(now_s)))
        used[0], used[1] = wanted[0], wanted[1]
        shown = tuple(
            high if limit is None else limit for limit, high in zip(self._limits, SHOWN, strict=True)
        )
        left = tuple(max(0, limit - count) for limit, count in zip(shown, used, strict=True))
        return _headers(shown, left, starts + WINDOW_S)

    def used(self, key: str, line: str, output_tokens: int, now_s: float) -> None:
        """
        Count the output of a call that has ended.
        """
        if self._enforced:
            starts = int(now_s) // WINDOW_S * WINDOW_S
            self._window(key, line, starts).used[2] += output_tokens

    def _window(self, key: str, line: str, starts_s: int) -> _Window:
        window = self._windows.get((key, line))
        if window is None or window.starts_s != starts_s:
            window = self._windows[(key, line)] = _Window(starts_s)
        return window


def _exceeded(name: str, limit: int, retry_after_s: int) -> ApiError:
    return ApiError(
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of "
        f"{limit} {name.replace('-', ' ')} per minute.",
        headers=(("retry-after", str(retry_after_s)),),
    )


def _headers(limits: tuple[int, ...], left: tuple[int, ...], reset_s: int) -> list[tuple[bytes, bytes]]:
    reset = datetime.fromtimestamp(reset_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    headers = []
    rows = zip(_KINDS, limits, left, strict=True)
    for name, limit, remaining in (*rows, ("tokens", limits[1] + limits[2], left[1] + left[2])):
        stem = f"anthropic-ratelimit-{name}-".encode()
        headers.append((stem + b"limit", str(limit).encode()))
        headers.append((stem + b"remaining", str(remaining).encode()))
        headers.append((stem + b"reset", reset))
    return headers
