"""
The bill: one line of JSON per call that generated anything, appended before the last byte of its answer.

Each line is one write to a file opened for appending, so a line is there whole or not at all. The readers
below add up a bill; they take no shortcut over a damaged file.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from simulator.prices import Usage, cost_usd


class BillError(ValueError):
    """
    A bill file cannot be read; the message names the line.
    """


@dataclass(frozen=True, slots=True)
class Line:
    """
    One billed call.
    """

    request_id: str
    message_id: str
    at_s: float
    key_hash: str
    model: str
    usage: Usage
    service_tier: str
    stream: bool
    outcome: str
    stop_reason: str | None
    cost_usd: Decimal


class Bill:
    """
    The writer of a bill; without a path it keeps the sum only.
    """

    def __init__(self, path: Path | None) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._file = None if path is None else os.open(path, flags, 0o644)
        self.total_usd = Decimal(0)
        self.calls = 0

    def write(
        self,
        *,
        request_id: str,
        message_id: str,
        at_s: float,
        key_hash: str,
        model: str,
        usage: Usage,
        stream: bool,
        outcome: str,
        stop_reason: str | None,
    ) -> Decimal:
        """
        Bill one call and return what it costs.
        """
        cost = cost_usd(model, usage, at_s)
        self.total_usd += cost
        self.calls += 1
        if self._file is not None:
            line = {
                "request_id": request_id,
                "message_id": message_id,
                "time": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="microseconds"),
                "key": key_hash,
                "model": model,
                **_usage_fields(usage),
                "service_tier": "standard",
                "stream": stream,
                "outcome": outcome,
                "stop_reason": stop_reason,
                "cost_usd": format(cost, "f"),
            }
            os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")
        return cost

    def close(self) -> None:
        """
        Close the file; a second call does nothing.
        """
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _usage_fields(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_5m_tokens": usage.cache_write_5m_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "web_searches": usage.web_searches,
        "thinking_tokens": usage.thinking_tokens,
        "geo": usage.geo,
        "speed": usage.speed,
    }


def lines(path: Path | str) -> Iterator[Line]:
    """
    Yield the lines of a bill in the order in which they were written.

    Raises:
        BillError: a line is not one of a bill.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, text in enumerate(file, start=1):
            try:
                yield _parse(json.loads(text))
            except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                raise BillError(f"{path}, line {number} is no line of a bill: {error!r}") from error


def _parse(row: dict[str, object]) -> Line:
    names = Usage.__dataclass_fields__
    return Line(
        request_id=str(row["request_id"]),
        message_id=str(row["message_id"]),
        at_s=datetime.fromisoformat(str(row["time"])).timestamp(),
        key_hash=str(row["key"]),
        model=str(row["model"]),
        usage=Usage(**{name: row[name] for name in names}),  # type: ignore[arg-type]
        service_tier=str(row["service_tier"]),
        stream=bool(row["stream"]),
        outcome=str(row["outcome"]),
        stop_reason=None if row["stop_reason"] is None else str(row["stop_reason"]),
        cost_usd=Decimal(str(row["cost_usd"])),
    )


def total(path: Path | str) -> Decimal:
    """
    Return the sum of a bill in USD, exact.
    """
    return sum((line.cost_usd for line in lines(path)), Decimal(0))


def by_key(path: Path | str) -> dict[str, Decimal]:
    """
    Return the sum per caller's key; see `key_hash` for the names.
    """
    sums: dict[str, Decimal] = {}
    for line in lines(path):
        sums[line.key_hash] = sums.get(line.key_hash, Decimal(0)) + line.cost_usd
    return sums


def by_request(path: Path | str) -> dict[str, Line]:
    """
    Return the lines by the `request-id` of their answers.
    """
    return {line.request_id: line for line in lines(path)}
