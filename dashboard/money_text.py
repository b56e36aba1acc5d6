"""
Amounts, shares, codes and instants as people read them. Exact integers come in; nothing is computed with
the result.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from outlay.reports_calls import Savings
from outlay.reports_periods import local
from outlay.words import plural as plural  # pages take all their texts from here
from pricing.money import format_usd

NONE: Final = "—"
_CENT_NANOS: Final = 10_000_000
_SMALL_NANOS: Final = 10_000_000_000
_MINUS: Final = "−"
OF_CALLS: Final = "$%,.6f"
"""How a column of single calls' amounts is written."""
COMPARED: Final = "Compared are downgraded calls that were served and have a price at the model asked for."
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:[+-]\d\d:\d\d|Z)")
"""As texts of the books write an instant, for programs to read."""


def usd(nanos: int | None) -> str:
    """
    Write an amount in whole cents, as totals are read; amounts under a cent keep their exact digits.
    """
    if nanos is None:
        return NONE
    if 0 < abs(nanos) < _CENT_NANOS:
        return _signed(nanos, f"${format_usd(abs(nanos))}")
    dollars, cents = divmod((abs(nanos) + _CENT_NANOS // 2) // _CENT_NANOS, 100)
    return _signed(nanos, f"${dollars:,}.{cents:02d}")


def rough(nanos: int) -> str:
    """
    Write an amount where there is little room: as `usd`, and under a cent with two digits that say something.
    """
    if abs(nanos) < _CENT_NANOS:
        step = 10 ** max(0, len(str(abs(nanos))) - 2)
        nanos = (nanos + step // 2) // step * step
    return usd(nanos)


def exact(nanos: int | None) -> str:
    """
    Write an amount with all its digits.
    """
    return NONE if nanos is None else dollars(format_usd(nanos))


def dollars(text: str) -> str:
    """
    Write the decimal text of an amount as people read it, with all its digits.
    """
    found = Decimal(text)
    return f"{_MINUS if found < 0 else ''}${abs(found):,f}"


def amount(nanos: int | None) -> Decimal | None:
    """
    Give an amount as an exact decimal, for the cells of a table, which format it themselves.
    """
    return None if nanos is None else Decimal(nanos).scaleb(-9)


def cells(amounts: Sequence[int | None]) -> str:
    """
    Choose how the amounts of a table are written: whole cents, with two more digits where all are small, and
    with so many that the smallest shows two that say something: 0.004233 is not $0.00. Nothing is $0.00.
    """
    sizes = [abs(nanos) for nanos in amounts if nanos]
    if not sizes:
        return "$%,.2f"
    digits = 2 if max(sizes) >= _SMALL_NANOS else 4
    if min(sizes) < _CENT_NANOS:
        digits = max(digits, min(9, 11 - len(str(min(sizes)))))
    return f"$%,.{digits}f"


def share(ratio: float | None) -> str:
    """
    Write a share as whole percent, rounded down: 99.9 % spent is not all.
    """
    return NONE if ratio is None else f"{percent(ratio)} %"


def percent(ratio: float | None) -> int | None:
    """
    Give a share as whole percent, rounded down, for the cells of a table.
    """
    return None if ratio is None else int(ratio * 100)


def moment(at_us: int | None, zone: str, *, seconds: bool = False, year: bool = False) -> str:
    """
    Write an instant on the clock of a zone: `21 Nov 14:05`; with its year where another one may be meant.
    """
    if at_us is None:
        return NONE
    day, time = "%d %b %Y" if year else "%d %b", "%H:%M:%S" if seconds else "%H:%M"
    return local(at_us, zone).strftime(f"{day} {time}").lstrip("0")


def zoned(at_us: int | None, zone: str, *, seconds: bool = False, year: bool = False) -> str:
    """
    Write an instant with the zone whose clock it is on: `21 Nov 14:05 Europe/Berlin`.
    """
    return NONE if at_us is None else f"{moment(at_us, zone, seconds=seconds, year=year)} {zone}"


def dated(text: str, zone: str) -> str:
    """
    Write an instant of ISO text on the clock of a zone, with its year.
    """
    return datetime.fromisoformat(text).astimezone(ZoneInfo(zone)).strftime("%d %b %Y %H:%M:%S").lstrip("0")


def on_clock(text: str, zone: str) -> str:
    """
    Write the instants within a text on the clock of a zone, and name it.
    """

    def written(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0]).astimezone(ZoneInfo(zone))
        return f"{at.strftime('%d %b %H:%M').lstrip('0')} {zone}"

    return _INSTANT.sub(written, text)


def compared(saved: Savings, noun: str) -> str:
    """
    Say of how many downgraded calls a saving is: `371 calls`, or `365 of 371 calls`, where 6 have none.
    """
    all_of_them = plural(saved.downgraded, noun)
    return all_of_them if saved.calls == saved.downgraded else f"{saved.calls:,} of {all_of_them}"


def times_of(zone: str) -> str:
    """
    Say below a table on whose clock its times are.
    """
    return f"Times are in {plain(zone)}."


def clock(at_us: int, zone: str) -> str:
    """
    Write only the time of day of an instant.
    """
    return local(at_us, zone).strftime("%H:%M")


def plain(text: str) -> str:
    """
    Keep amounts and names from being read as Markdown, in which dollar signs would enclose a formula.
    """
    for sign in "\\`*_[]$~:<":
        text = text.replace(sign, f"\\{sign}")
    return text


def words(code: str) -> str:
    """
    Write a stable code as words: `outlay_budget_exhausted` as "budget exhausted".
    """
    return code.removeprefix("outlay_").replace("_", " ")


def _signed(nanos: int, text: str) -> str:
    return f"{_MINUS}{text}" if nanos < 0 else text
