"""
The price tables that decisions were made with: each kept once, under its digest, and never changed.

A decision stores the digest alone; a new version of prices therefore changes no old decision.
"""

from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, Engine, select

from ledger import reading
from outlay.statements import append
from outlay.tables import prices as table
from pricing.facts import facts_version
from pricing.stored import digest, from_text, to_text
from pricing.table import PriceTable

_KEPT_MAX: Final = 64


def keep_prices(engine: Engine, prices: PriceTable, now_us: int) -> str:
    """
    Keep a price table, unless it is kept already; returns its digest.
    """
    name = digest(prices)
    with reading(engine) as connection:
        if _text(connection, name) is not None:
            return name
    row = {"digest": name, "version": prices.version, "facts": facts_version(), "text": to_text(prices)}
    if not append(engine, table, {**row, "at_us": now_us}):
        with reading(engine) as connection:  # another process was faster
            assert _text(connection, name) is not None
    return name


def stored_prices(connection: Connection, name: str) -> PriceTable | None:
    """
    Return a kept price table; None where there is none of this digest.
    """
    text = _text(connection, name)
    return None if text is None else _read(text)


def _text(connection: Connection, name: str) -> str | None:
    found = connection.execute(select(table.c.text).where(table.c.digest == name)).scalar_one_or_none()
    return None if found is None else str(found)


@lru_cache(maxsize=_KEPT_MAX)
def _read(text: str) -> PriceTable:
    return from_text(text)
