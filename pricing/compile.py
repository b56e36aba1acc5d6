"""
Turns the Decimals of genai-prices into the integers of `PriceTable`; the only module that imports the
library.

Every stretch of time between two start dates is resolved by the library's own rules, so dated prices, batch
and fast variants need no second implementation here. What cannot be held exactly is refused per model, by
name.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from genai_prices import __version__, data
from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, StartDateConstraint, TieredPrices

from pricing.facts import known_models, model_facts
from pricing.table import Period, Price, PriceTable, Rates

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_BATCH = {"processing": "batch"}
_FAST = {"speed": "fast"}
_WEB_SEARCH = "web_searches_kcount"
# Rate -> price keys of the library, first that is set. A token kind without a price of its own is billed as
# the more general kind, as the library does (a cache token is an input token).
_SOURCES = {
    "input": ("input_mtok",),
    "output": ("output_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write_5m": ("cache_write_5m_mtok", "cache_write_mtok", "input_mtok"),
    "cache_write_1h": ("cache_write_1h_mtok", "cache_write_mtok", "input_mtok"),
}
_KNOWN_KEYS = frozenset(key for keys in _SOURCES.values() for key in keys) | {_WEB_SEARCH}


class CompileError(ValueError):
    """
    A published price does not fit the integer table; the model stays without a price.
    """


def compile_prices() -> PriceTable:
    """
    Compile all Anthropic prices of the installed genai-prices.
    """
    version = f"genai-prices {__version__}"
    provider = next(item for item in data.providers if item.id == "anthropic")
    periods: dict[str, tuple[Period, ...]] = {}
    refused: dict[str, str] = {}
    for model in provider.models:
        try:
            periods[model.id] = _periods(model, version)
        except CompileError as error:
            refused[model.id] = str(error)
    for name in _current_names():
        match = provider.find_model(name)
        if match is not None and match.id in periods:
            periods.setdefault(name, periods[match.id])
    return PriceTable(version=version, periods=periods, refused=refused)


def picos_per_token(usd_per_mtok: Decimal) -> int:
    """
    Convert a rate exactly: USD per million tokens times a million is pico-USD per token.

    Raises:
        CompileError: the rate is not a whole number of pico-USD per token.
    """
    return _whole(usd_per_mtok * 1_000_000, f"{usd_per_mtok} USD per million tokens")


def _current_names() -> Iterable[str]:
    for model in known_models():
        yield model
        yield from model_facts(model).aliases


def _periods(model: ModelInfo, version: str) -> tuple[Period, ...]:
    return tuple(_period(model, version, starts_us) for starts_us in _starts(model))


def _starts(model: ModelInfo) -> list[int]:
    """Collect the instants at which any price of this model changes."""
    prices = model.prices if isinstance(model.prices, list) else [ConditionalPrice(prices=model.prices)]
    constraints = [item.constraint for item in (*prices, *(model.price_variants or ()))]
    starts = {0}
    for constraint in constraints:
        if constraint is None:
            continue
        if not isinstance(constraint, StartDateConstraint):
            raise CompileError(f"its price depends on {type(constraint).__name__}, which is not supported")
        day = datetime.combine(constraint.start_date, datetime.min.time(), tzinfo=UTC)
        starts.add((day - _EPOCH) // _MICROSECOND)
    return sorted(starts)


def _period(model: ModelInfo, version: str, starts_us: int) -> Period:
    at = _EPOCH + timedelta(microseconds=starts_us)
    standard = model.get_prices(at)
    return Period(
        starts_us=starts_us,
        standard=_price(model.id, version, standard),
        batch=_price(model.id, version, model.get_prices(at, _BATCH)),
        fast=_price(model.id, version, model.get_prices(at, _FAST)) if _has_fast(model, at) else None,
    )


def _has_fast(model: ModelInfo, at: datetime) -> bool:
    return any(
        variant.when == _FAST and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def _price(model: str, version: str, raw: ModelPrice) -> Price:
    prices = {key: value for key, value in vars(raw).items() if value is not None}
    strange = sorted(set(prices) - _KNOWN_KEYS)
    if strange:
        raise CompileError(f"its price has parts that are not supported: {', '.join(strange)}")
    if "input_mtok" not in prices or "output_mtok" not in prices:
        raise CompileError("its price lacks input or output tokens")
    search = prices.get(_WEB_SEARCH)
    return Price(
        model=model,
        version=version,
        tiers=tuple((threshold, _rates(prices, threshold)) for threshold in _thresholds(prices)),
        web_search_nanos=None if search is None else _search_nanos(search),
    )


def _thresholds(prices: Mapping[str, Decimal | TieredPrices]) -> list[int]:
    starts = {
        tier.start for price in prices.values() if isinstance(price, TieredPrices) for tier in price.tiers
    }
    return sorted(starts | {0})


def _rates(prices: Mapping[str, Decimal | TieredPrices], threshold: int) -> Rates:
    return Rates(**{name: _rate(prices, keys, threshold) for name, keys in _SOURCES.items()})


def _rate(prices: Mapping[str, Decimal | TieredPrices], keys: tuple[str, ...], threshold: int) -> int:
    price = next(prices[key] for key in keys if key in prices)
    if isinstance(price, TieredPrices):
        reached = [tier.price for tier in price.tiers if tier.start <= threshold]
        price = reached[-1] if reached and threshold > 0 else price.base
    return picos_per_token(price)


def _search_nanos(price: Decimal | TieredPrices) -> int:
    if isinstance(price, TieredPrices):
        raise CompileError("its web searches are priced in tiers")
    return _whole(price * 1_000_000, f"{price} USD per thousand searches")


def _whole(value: Decimal, source: str) -> int:
    if not value.is_finite() or value < 0 or value != value.to_integral_value():
        raise CompileError(f"{source} is not a whole number of the smallest unit")
    return int(value)
