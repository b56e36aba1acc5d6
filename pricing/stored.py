"""
A price table as text, so that a decision can be made again at the prices that it was made with.

The text is whole (every model, every period) and the same for equal tables; its digest names it. What a
price means is said in `table.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import astuple
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

from pricing.table import Period, Price, PriceTable, Rates

DIGEST_CHARS: Final = 16


class StoredPricesError(ValueError):
    """
    Text that is not that of a price table.
    """


@lru_cache(maxsize=16)
def digest(table: PriceTable) -> str:
    """
    Name a table by what is in it.
    """
    return sha256(to_text(table).encode()).hexdigest()[:DIGEST_CHARS]


def to_text(table: PriceTable) -> str:
    """
    Write a table as compact JSON; models with the same prices share one entry.
    """
    kinds: dict[tuple[Period, ...], list[str]] = {}
    for name, periods in table.periods.items():
        kinds.setdefault(periods, []).append(name)
    models = sorted([sorted(names), [_period(one) for one in periods]] for periods, names in kinds.items())
    plain = {"version": table.version, "models": models, "refused": dict(table.refused)}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_text(text: str) -> PriceTable:
    """
    Read a table back.

    Raises:
        StoredPricesError: The text is not that of a table.
    """
    try:
        return _table(json.loads(text))
    except (KeyError, TypeError, ValueError) as error:
        raise StoredPricesError(f"not a stored price table: {error}") from error


def _period(period: Period) -> list[object]:
    fast = None if period.fast is None else _price(period.fast)
    return [period.starts_us, _price(period.standard), _price(period.batch), fast]


def _price(price: Price) -> list[object]:
    tiers = [[threshold, *astuple(rates)] for threshold, rates in price.tiers]
    return [price.model, price.web_search_nanos, tiers]


def _table(plain: Mapping[str, Any]) -> PriceTable:
    version, periods = plain["version"], {}
    for names, stretches in plain["models"]:
        read = tuple(_read_period(one, version) for one in stretches)
        periods.update(dict.fromkeys(names, read))
    return PriceTable(version=version, periods=periods, refused=plain["refused"])


def _read_period(plain: list[Any], version: str) -> Period:
    starts_us, standard, batch, fast = plain
    return Period(
        starts_us=starts_us,
        standard=_read_price(standard, version),
        batch=_read_price(batch, version),
        fast=None if fast is None else _read_price(fast, version),
    )


def _read_price(plain: list[Any], version: str) -> Price:
    model, search_nanos, tiers = plain
    read = tuple((threshold, Rates(*rates)) for threshold, *rates in tiers)
    return Price(model, version, read, search_nanos)
