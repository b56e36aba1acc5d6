"""
Files of the benchmarks, and on which of their rows a classifier may be trained.

One rule for all of them: a prompt that is asked teaches nothing, and every other row of the file to train on
does. Prompts are known by their id and by their text. A file asks the rows of its split `eval`, all of its
rows where it has none of it; so one file for both trains on its other splits.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from outlay.errors import BadInput, OutlayError
from outlay.learned.examples import Example
from outlay.learned.reading import example, read_rows

COLUMNS: Final = ("dataset", "subject", "prompt", "weak_correct", "strong_correct")
ASKED_SPLIT: Final = "eval"
PRICE_SETS: Final[Mapping[str, tuple[str, str]]] = {
    "opus5": ("claude-opus-5", "claude-haiku-4-5"),
    "opus55": ("claude-opus-5-5", "claude-haiku-5-5"),
}
"""Large and small model of each set of prices."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    A prompt that both models have answered; its id and split are empty where the file has none.
    """

    prompt_id: str
    dataset: str
    split: str
    example: Example

    @property
    def text(self) -> str:
        """
        Give the prompt, however it is spaced.
        """
        return " ".join(self.example.prompt.split())

    @property
    def failed(self) -> bool:
        """
        Tell whether the small model was wrong where the large one was right.
        """
        return self.example.weak == 0 and self.example.strong == 1


@contextmanager
def refusals(parser: argparse.ArgumentParser) -> Iterator[None]:
    """
    End the command with what is wrong with its input, not with a traceback.
    """
    try:
        yield
    except OutlayError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def count(text: str) -> int:
    """
    Read an argument that counts something.
    """
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def share(text: str) -> float:
    """
    Read an argument that is a share, more than 0 and at most 1.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and up to 1")
    return value


def shares(text: str) -> list[float]:
    """
    Read an argument of shares with commas between them.
    """
    return [share(part) for part in text.split(",")]


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[str, Row]]:
    """
    Read the rows of a CSV or JSON Lines file, plain or gzip, each with where it stands.

    Raises:
        BadInput: It cannot be read, has no rows, or lacks a column.
    """
    rows = read_rows(str(path))
    for name in columns:
        if name not in rows[0][1]:
            has = ", ".join(map(str, rows[0][1]))[:200]
            raise BadInput(f"{path}: column {name}", None, "is missing", f"The file has: {has}.")
    return [(f"{path}: row {place}", row) for place, row in rows]


def number(row: Row, name: str, where: str) -> float:
    """
    Take a number from a row.

    Raises:
        BadInput: It is none, or less than 0.
    """
    try:
        value = float(row[name])
    except (KeyError, TypeError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise BadInput(f"{where}: {name}", row.get(name), "is no number from 0", "Mend the row.")
    return value


def read_outcomes(path: Path, *more: str) -> list[Outcome]:
    """
    Read the columns of `routellm_outcomes`, and more of them where they are needed.

    Raises:
        BadInput: The file cannot be read, lacks a column, or a row has wrong values.
    """
    return [
        Outcome(
            str(row.get("prompt_id") or ""),
            str(row["dataset"]),
            str(row.get("split") or ""),
            example(row, where),
        )
        for where, row in read_table(path, (*COLUMNS, *more))
    ]


def asked(rows: Sequence[Outcome]) -> list[Outcome]:
    """
    Give the rows that a file asks: those of its split `eval`, all where it has none.
    """
    return [row for row in rows if row.split == ASKED_SPLIT] or list(rows)


def trainable(path: Path, asking: Sequence[Outcome]) -> list[Outcome]:
    """
    Read the rows whose prompts are not asked.

    Raises:
        BadInput: There are none, or the file cannot be read.
    """
    ids, texts = {row.prompt_id for row in asking} - {""}, {row.text for row in asking}
    rows = read_outcomes(path)
    left = [row for row in rows if row.prompt_id not in ids and row.text not in texts]
    if not left:
        fix = "Give --train prompts that are not asked, or both files a column split with eval in it."
        raise BadInput(str(path), None, f"each of its {len(rows)} prompts is asked, so none teaches", fix)
    return left
