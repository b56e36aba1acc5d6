"""
How answers look: JSON for scripts, plain lines and tables for people.

Standard output carries the answer and nothing else. Text that came from outside is shown without control
characters, so that a task's name cannot write to the operator's terminal.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

PIPED_WIDTH: Final = 200
_MONEY: Final = re.compile(r"-?[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Rows:
    """
    A table: `columns` are pairs of key and heading; a heading that ends in "USD" is money.
    """

    columns: Sequence[tuple[str, str]]
    rows: Sequence[Mapping[str, Any]]
    empty: str = "Nothing to show."


@dataclass(frozen=True, slots=True)
class Pairs:
    """
    Names and values, one pair per line.
    """

    pairs: Sequence[tuple[str, Any]]


Block = str | Rows | Pairs


def print_answer(
    data: Mapping[str, Any], blocks: Sequence[Block], plain: str | None, *, as_json: bool
) -> None:
    """
    Send an answer to standard output.
    """
    if as_json:
        print(json.dumps(data))
    elif plain is not None:
        sys.stdout.write(plain)
    else:
        _print_blocks(blocks)
    sys.stdout.flush()  # here, so that a closed pipe is noticed where it can be told


def safe(value: object) -> str:
    """
    Show a value on one line, without anything that a terminal would obey; nothing is a dash.
    """
    text = _plain(value)
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_plain(inner)}" for name, inner in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(inner) for inner in value) or "-"
    return str(value)


def heading(name: str) -> str:
    """
    Return the heading of a column from the name of its field.
    """
    return name.replace("_usd", " USD").replace("_", " ")


def table(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str] = (), empty: str = "Nothing to show."
) -> Rows:
    """
    Lay rows out as a table: the named fields, or all that the first row has.
    """
    shown = names or tuple(rows[0] if rows else ())
    return Rows(tuple((name, heading(name)) for name in shown), rows, empty)


def describe(found: Mapping[str, Any]) -> tuple[Block, ...]:
    """
    Lay out one thing for people: plain values, then the values inside, then a table for each list of rows.
    """
    tables = {name: rows for name, rows in found.items() if _is_rows(rows)}
    nested = {name: values for name, values in found.items() if isinstance(values, dict)}
    hidden = {*tables, *nested, *(name for name, value in found.items() if value == [])}
    plain = [(name, value) for name, value in found.items() if name not in hidden]
    inner = [(f"{name}.{field}", value) for name, values in nested.items() for field, value in values.items()]
    blocks: list[Block] = [Pairs((*plain, *inner))]
    for name, rows in tables.items():
        blocks += [f"\n{heading(name)}:", table(rows)]
    return tuple(blocks)


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def to_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """
    Write rows as CSV; text that a spreadsheet would take for a formula gets an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = safe(value)
    formula = text.startswith(("=", "+", "-", "@")) and _MONEY.fullmatch(text) is None
    return f"'{text}" if formula else text


def _print_blocks(blocks: Sequence[Block]) -> None:
    for block in blocks:
        if isinstance(block, str):
            print("\n".join(safe(line) for line in block.split("\n")))
        elif isinstance(block, Pairs):
            _print_pairs(block)
        elif not block.rows:
            print(block.empty)
        else:
            _print_table(block)


def _print_pairs(block: Pairs) -> None:
    width = max((len(name) for name, _ in block.pairs), default=0)
    for name, value in block.pairs:
        print(f"{name.ljust(width)}  {safe(value)}")


def _print_table(block: Rows) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for _, heading in block.columns:
        table.add_column(heading, justify="right" if heading.endswith("USD") else "left", overflow="fold")
    for row in block.rows:
        table.add_row(*(Text(safe(row.get(key))) for key, _ in block.columns))
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)
