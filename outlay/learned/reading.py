"""
Reads examples from a file: CSV or JSON Lines, plain or gzip.

Columns: `prompt`, `weak` and `strong` (scores 0 to 1 of the small and the large tier's answer), and `task`.
The names of the public routing data are taken too: weak_correct, strong_correct, and subject or dataset.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from outlay.errors import BadInput
from outlay.fields import is_storable
from outlay.learned.examples import Example

BYTES_MAX: Final = 500_000_000
PROMPT_MAX: Final = 1_000_000
COLUMNS_SHOWN: Final = 20
_NEEDED: Final = (("prompt",), ("weak", "weak_correct"), ("strong", "strong_correct"))
_TASKS: Final = ("task", "task_class", "subject", "dataset")
_FIX: Final = "Give each row prompt, weak and strong (0 to 1), and task."


def read_examples(path: str, split: str | None = None) -> list[Example]:
    """
    Read the examples of a file.

    Args:
        split: Only rows whose column `split` says so.
    Raises:
        BadInput: The file cannot be read, or a row is no example; the row is named.
    """
    rows = read_rows(path, _NEEDED)
    chosen = [(place, row) for place, row in rows if split is None or row.get("split") == split]
    if not chosen:
        splits = sorted({str(row["split"])[:40] for _, row in rows if row.get("split")})
        fix = f"Use one of: {', '.join(splits[:10])}." if splits else "The file has no column split."
        raise BadInput("split", split, "no row of the file is of this split", fix)
    return [example(row, f"row {place}") for place, row in chosen]


def read_rows(
    path: str, needed: Sequence[Sequence[str]] = (), fix: str = _FIX
) -> list[tuple[int, Mapping[str, Any]]]:
    """
    Read a file of CSV or JSON Lines, each row with its line.

    Args:
        needed: Columns that some row must have, each under one of its names.
        fix: What to tell who gives a file without rows, or of another kind.
    Raises:
        BadInput: The file cannot be read, has no rows, or lacks a column.
    """
    rows = list(_rows(_text(path), path, fix))
    if not rows:
        raise BadInput("file", Path(path), "has no rows", fix)
    for names in needed:
        if not any(name in row for _, row in rows for name in names):
            seen = ", ".join(str(name)[:40] for name in list(rows[0][1])[:COLUMNS_SHOWN])
            raise BadInput("file", Path(path), f"has no column {names[0]}; its columns: {seen}", fix)
    return rows


def _text(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(BYTES_MAX + 1)
        if raw[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(raw)) as packed:
                raw = packed.read(BYTES_MAX + 1)
        if len(raw) > BYTES_MAX:
            raise BadInput("file", Path(path), "is too long", "Keep the examples under 500 MB.")
        return raw.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or error  # of a file that cannot be unpacked only its text
        fix = "Name a CSV or JSON Lines file."
        raise BadInput("file", Path(path), f"cannot be read: {why}", fix) from error
    except UnicodeDecodeError as error:
        raise BadInput("file", Path(path), "is not UTF-8 text", "Save it as UTF-8.") from error


def _rows(text: str, path: str, fix: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if text.lstrip()[:1] == "{":
        yield from _json_rows(text, path, fix)
        return
    csv.field_size_limit(PROMPT_MAX)
    try:
        yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2)
    except csv.Error as error:
        raise BadInput("file", Path(path), f"is no CSV: {error}", fix) from error


def _json_rows(text: str, path: str, fix: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for place, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{path}:{place}", line, "is no JSON object", fix) from error
        if not isinstance(row, dict):
            raise BadInput(f"{path}:{place}", line, "is no JSON object", fix)
        yield place, row


def example(row: Mapping[str, Any], where: str) -> Example:
    """
    Take an example from a row.

    Raises:
        BadInput: It is none; the message says where.
    """
    prompt = row.get("prompt")
    if not isinstance(prompt, str) or not 0 < len(prompt) <= PROMPT_MAX:
        raise BadInput(f"{where}: prompt", prompt, "is not a text of 1 to 1,000,000 characters", _FIX)
    task = next((row[name] for name in _TASKS if row.get(name)), "")
    if not isinstance(task, str) or len(task) > 200 or not is_storable(task):
        raise BadInput(f"{where}: task", task, "is not a text of at most 200 characters", _FIX)
    return Example(prompt, task, _score(row, "weak", where), _score(row, "strong", where))


def _score(row: Mapping[str, Any], name: str, where: str) -> float:
    value = row.get(name, row.get(f"{name}_correct"))
    try:
        score = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        score = -1.0
    if not 0 <= score <= 1:
        raise BadInput(f"{where}: {name}", value, "is not a score from 0 to 1", _FIX)
    return score
