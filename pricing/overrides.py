"""
The operator's own prices on top of the packaged ones, from TOML text.

    [models."claude-opus-5-5"]          # replaces the packaged price, or adds a model that has none
    input_usd_per_mtok = "3.60"         # USD per MILLION tokens, decimal text; all five rates are needed
    output_usd_per_mtok = "18"
    cache_read_usd_per_mtok = "0.18"
    cache_write_5m_usd_per_mtok = "4.50"
    cache_write_1h_usd_per_mtok = "7.20"
    web_search_usd = "0.01"             # for one search; absent = as packaged
    from = 2026-12-01                   # absent = at all times; before it, the packaged price holds
    batch = { ... five rates ... }      # absent = batches at the standard price
    fast = { ... five rates ... }       # absent = speed fast has no price
    tiers = [{ above = 100000, ... five rates ... }]

A rate outside what any model ever cost, or a hundred times off the packaged price, is refused: it is almost
always USD per token typed as USD per million tokens, and would make calls free or refuse them all.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from hashlib import sha256

from pricing.table import Period, Price, PriceTable, Rates

_RATE_FIELDS = {
    "input_usd_per_mtok": "input",
    "output_usd_per_mtok": "output",
    "cache_read_usd_per_mtok": "cache_read",
    "cache_write_5m_usd_per_mtok": "cache_write_5m",
    "cache_write_1h_usd_per_mtok": "cache_write_1h",
}
_MODEL_FIELDS = frozenset({*_RATE_FIELDS, "web_search_usd", "from", "batch", "fast", "tiers"})
_RATE_MIN = Decimal("0.001")
_RATE_MAX = Decimal(1_000)
_SEARCH_MAX = Decimal(10)
_DRIFT_MAX = 100
_NANOS = 1_000_000_000
_PICOS_PER_MTOK_USD = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OverridesError(ValueError):
    """
    The price overrides cannot be used; says which field, which value, and what to write instead.
    """

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"price overrides: {field} = {value}: {fix}")
        self.field = field
        self.value = value
        self.fix = fix


def apply_overrides(table: PriceTable, text: str) -> PriceTable:
    """
    Return a table with the overrides in it; its version names their digest.

    Raises:
        OverridesError: malformed TOML, unknown fields, missing or implausible prices.
    """
    version = f"{table.version} + overrides {sha256(text.encode()).hexdigest()[:12]}"
    periods = {name: _renamed(of_model, version) for name, of_model in table.periods.items()}
    for name, raw in _models(text).items():
        packaged = periods.get(name, ())
        model = packaged[0].standard.model if packaged else name
        replaced = _override(model, raw, packaged, version)
        aliases = [key for key, of_model in periods.items() if of_model[0].standard.model == model]
        periods.update(dict.fromkeys([model, *aliases], replaced))
    refused = {name: why for name, why in table.refused.items() if name not in periods}
    return PriceTable(version=version, periods=periods, refused=refused)


def _models(text: str) -> Mapping[str, object]:
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise OverridesError("(file)", "text", f"not valid TOML: {error}") from error
    for name in document:
        if name != "models":
            raise OverridesError(name, "…", "unknown field; prices stand under [models.ID]")
    return _table(document.get("models", {}), "models")


def _override(model: str, raw: object, packaged: tuple[Period, ...], version: str) -> tuple[Period, ...]:
    where = f"models.{model}"
    fields = _table(raw, where)
    for name in fields:
        if name not in _MODEL_FIELDS:
            raise OverridesError(f"{where}.{name}", fields[name], f"unknown field; known: {_known()}")
    starts_us = _starts_us(fields.get("from"), where)
    before = [period for period in packaged if period.starts_us < starts_us]
    if starts_us > 0 and not before:
        raise OverridesError(
            f"{where}.from", fields["from"], "this model has no packaged price before that day"
        )
    known = next((item for item in reversed(packaged) if item.starts_us <= starts_us), None)
    base = known if known is not None else (packaged[-1] if packaged else None)
    return (*before, _period(model, fields, base, starts_us, version))


def _period(
    model: str, fields: Mapping[str, object], packaged: Period | None, starts_us: int, version: str
) -> Period:
    where = f"models.{model}"
    search = _search(fields, packaged, where)
    known = None if packaged is None else packaged.standard
    standard = Price(model, version, _tiers(fields, known, where), search)
    batch = fields.get("batch")
    fast = fields.get("fast")
    return Period(
        starts_us=starts_us,
        standard=standard,
        batch=standard if batch is None else _variant(standard, batch, f"{where}.batch"),
        fast=None if fast is None else _variant(standard, fast, f"{where}.fast"),
    )


def _variant(standard: Price, raw: object, where: str) -> Price:
    fields = _table(raw, where)
    for name in fields:
        if name not in _RATE_FIELDS and name != "tiers":
            raise OverridesError(
                f"{where}.{name}", fields[name], "unknown field; give the five rates and tiers"
            )
    return replace(standard, tiers=_tiers(fields, standard, where))


def _tiers(fields: Mapping[str, object], packaged: Price | None, where: str) -> tuple[tuple[int, Rates], ...]:
    tiers = [(0, _rates(fields, packaged, where))]
    raw = fields.get("tiers", [])
    if not isinstance(raw, list):
        raise OverridesError(
            f"{where}.tiers", raw, "expected a list of tables with `above` and the five rates"
        )
    for index, entry in enumerate(raw):
        place = f"{where}.tiers[{index}]"
        tier = _table(entry, place)
        above = tier.get("above")
        if not isinstance(above, int) or isinstance(above, bool) or above <= tiers[-1][0]:
            raise OverridesError(
                f"{place}.above", above, "expected whole tokens, ascending from tier to tier"
            )
        tiers.append((above, _rates(tier, packaged, place)))
    return tuple(tiers)


def _rates(fields: Mapping[str, object], packaged: Price | None, where: str) -> Rates:
    values = {}
    for field, name in _RATE_FIELDS.items():
        usd = _decimal(fields.get(field), f"{where}.{field}")
        if not _RATE_MIN <= usd <= _RATE_MAX:
            fix = f"expected USD per MILLION tokens, between {_RATE_MIN} and {_RATE_MAX}"
            raise OverridesError(f"{where}.{field}", usd, fix)
        picos = usd * _PICOS_PER_MTOK_USD
        if picos != picos.to_integral_value():
            raise OverridesError(f"{where}.{field}", usd, "at most 6 decimals are kept")
        values[name] = int(picos)
        _check_drift(values[name], packaged, name, f"{where}.{field}", usd)
    return Rates(**values)


def _check_drift(picos: int, packaged: Price | None, name: str, field: str, usd: Decimal) -> None:
    """Refuse a rate that is a hundred times off the packaged one, in any of its tiers."""
    if packaged is None:
        return
    known = [getattr(rates, name) for _, rates in packaged.tiers]
    if picos * _DRIFT_MAX < min(known) or picos > max(known) * _DRIFT_MAX:
        shown = Decimal(known[0]) / _PICOS_PER_MTOK_USD
        fix = f"a hundred times off the packaged {shown} USD per million tokens; check the unit"
        raise OverridesError(field, usd, fix)


def _search(fields: Mapping[str, object], packaged: Period | None, where: str) -> int | None:
    if "web_search_usd" not in fields:
        return None if packaged is None else packaged.standard.web_search_nanos
    usd = _decimal(fields["web_search_usd"], f"{where}.web_search_usd")
    nanos = usd * _NANOS
    if not 0 <= usd <= _SEARCH_MAX or nanos != nanos.to_integral_value():
        raise OverridesError(f"{where}.web_search_usd", usd, "expected USD for one search, between 0 and 10")
    return int(nanos)


def _decimal(value: object, field: str) -> Decimal:
    if value is None:
        raise OverridesError(field, "missing", 'all five rates are needed, as in "4.00"')
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise OverridesError(field, value, 'expected decimal text, as in "4.00"')
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise OverridesError(field, value, 'expected decimal text, as in "4.00"') from error
    if not number.is_finite():
        raise OverridesError(field, value, "expected a finite number")
    return number


def _starts_us(value: object, where: str) -> int:
    if value is None:
        return 0
    if not isinstance(value, date) or isinstance(value, datetime):
        raise OverridesError(f"{where}.from", value, "expected a date, as in 2026-12-01 (midnight UTC)")
    day = datetime.combine(value, datetime.min.time(), tzinfo=UTC)
    return (day - _EPOCH) // timedelta(microseconds=1)


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise OverridesError(where, value, "expected a table")
    return value


def _renamed(periods: tuple[Period, ...], version: str) -> tuple[Period, ...]:
    return tuple(
        replace(
            item,
            standard=replace(item.standard, version=version),
            batch=replace(item.batch, version=version),
            fast=None if item.fast is None else replace(item.fast, version=version),
        )
        for item in periods
    )


def _known() -> str:
    return ", ".join(sorted(_MODEL_FIELDS))
