"""
Fields of orders: what is accepted, what is refused, and that a refusal says how to mend it.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay import fields
from outlay.errors import BadInput
from pricing.money import format_usd

BERLIN = "Europe/Berlin"
NOT_TEXT = (None, 5, 5.0, True, [], {}, b"x")
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.lists(st.text(), max_size=2),
)


def us(text: str) -> int:
    """Microseconds of an ISO text with an offset."""
    return int(datetime.fromisoformat(text).timestamp() * 1_000_000)


@pytest.mark.parametrize("name", ["acme", "a", "9", "Acme-2.eu_west", "a" * 64])
def test_names_of_tenants(name: str) -> None:
    """
    Letters, digits, dot, dash and underscore name a tenant.
    """
    assert fields.tenant_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["*", "", " ", "-a", ".a", "_a", "a b", "a/b", "a:b", "a" * 65, "ä", "a\n", "a\x00", "٣", *NOT_TEXT],
)
def test_what_cannot_name_a_tenant(name: object) -> None:
    """
    Everything else is refused, above all `*`, which stands for everybody.
    """
    with pytest.raises(BadInput, match="tenant"):
        fields.tenant_name(name)


@pytest.mark.parametrize(("text", "nanos"), [("0", 0), ("20", 20 * 10**9), ("0.000000001", 1)])
def test_money(text: str, nanos: int) -> None:
    """
    Decimal text becomes nano-USD exactly.
    """
    assert fields.money(text, "amount") == nanos


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("-1", "never negative"),
        ("1e3", "digits"),
        ("1,5", "digits"),
        ("", "digits"),
        (" 1", "digits"),
        ("inf", "digits"),
        ("nan", "digits"),
        ("0.0000000001", "9 decimals"),
        ("1000000000.01", "1000000000 USD"),
        ("9" * 30, "1000000000 USD"),
        *[(value, "quotes") for value in NOT_TEXT],
    ],
)
def test_money_that_is_none(value: object, hint: str) -> None:
    """
    Floats, signs, exponents, huge and tiny amounts are refused, with the field and what to write instead.
    """
    with pytest.raises(BadInput, match=hint) as caught:
        fields.money(value, "credit")
    assert caught.value.field == "credit"


def test_zero_is_money_but_not_positive() -> None:
    """
    0 is a number: it is an amount and a limit, and only a payment has to be above it.
    """
    assert fields.money("0", "x") == 0
    assert fields.limit("0", "x") == 0
    assert fields.limit("none", "x") is None
    for value in ("0", "0.00"):
        with pytest.raises(BadInput, match="above 0"):
            fields.positive(value, "x")
    for value in (None, "None", "NONE", "", "unlimited", 0):
        with pytest.raises(BadInput):
            fields.limit(value, "x")


@pytest.mark.parametrize(
    ("text", "ppm"), [("1", 1_000_000), ("1.2", 1_200_000), ("1000", 10**9), ("0.000001", 1)]
)
def test_multipliers(text: str, ppm: int) -> None:
    """
    A multiplier is exact in parts per million, and is written as it was read.
    """
    assert fields.multiplier_ppm(text) == ppm
    assert fields.ppm_text(ppm) == text


@pytest.mark.parametrize(
    "value", ["-1", "1000.1", "1001", "1e2", "1.0000001", "", "x", "1.", ".5", *NOT_TEXT]
)
def test_what_is_no_multiplier(value: object) -> None:
    """
    Negative, huge, too fine and wrongly typed multipliers are refused.
    """
    with pytest.raises(BadInput, match="multiplier"):
        fields.multiplier_ppm(value)


def test_time_zones() -> None:
    """
    A known zone passes; a close one is proposed; paths and folders are no zones.
    """
    assert fields.timezone(BERLIN) == BERLIN
    with pytest.raises(BadInput, match='Did you mean "Europe/Berlin"'):
        fields.timezone("europe/berlin")
    for value in (
        "Mars/Olympus",
        "",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe",
        "UTC+1",
        "a\x00",
        *NOT_TEXT,
    ):
        with pytest.raises(BadInput, match="timezone"):
            fields.timezone(value)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-22", "2026-11-22T00:00:00+01:00"),
        ("2026-07-01", "2026-07-01T00:00:00+02:00"),
        ("2026-11-22T18:30", "2026-11-22T18:30:00+01:00"),
        ("2026-11-22T18:30:00Z", "2026-11-22T18:30:00+00:00"),
        ("2026-11-22 18:30:00+05:00", "2026-11-22T18:30:00+05:00"),
    ],
)
def test_instants_without_an_offset_are_the_tenants(text: str, wanted: str) -> None:
    """
    A naive date or time is read in the tenant's zone; an offset in the text wins.
    """
    assert fields.instant_us(text, "until", BERLIN) == us(wanted)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2027, 1, 1), "2027-01-01"),
        (datetime(2027, 1, 1, 18, tzinfo=UTC), "2027-01-01T18:00:00+00:00"),
    ],
)
def test_a_date_of_python_is_told_how_to_be_written(value: date, text: str) -> None:
    """
    A date or time that is no text is refused as such, with the text that it would be.
    """
    with pytest.raises(BadInput, match="expires: not text") as caught:
        fields.instant_us(value, "expires", BERLIN)
    assert caught.value.fix == f'Write it as text: "{text}".'


def test_a_day_without_a_midnight_begins_at_its_first_instant() -> None:
    """
    Where clocks skip midnight, a date begins when its day does (Cairo, 24 April 2026: 01:00).
    """
    assert fields.instant_us("2026-04-24", "until", "Africa/Cairo") == us("2026-04-24T01:00:00+03:00")


@pytest.mark.parametrize(
    "value",
    ["", "tomorrow", "2026-02-30", "2026-13-01", "22.11.2026", "2026-11-22T25:00", "1969-12-31", "0001-01-01",
     "9999-12-31", "2026-11-22T00:00+99:00", "1" * 500, *NOT_TEXT],
)  # fmt: skip
def test_what_is_no_instant(value: object) -> None:
    """
    Impossible dates, other notations and years beyond the calendar are refused.
    """
    with pytest.raises(BadInput, match="until"):
        fields.instant_us(value, "until", BERLIN)


@given(
    at_us=st.integers(0, 4_000_000_000_000_000),
    zone=st.sampled_from(["UTC", BERLIN, "Asia/Kathmandu", "America/Havana"]),
)
def test_written_instants_are_read_back(at_us: int, zone: str) -> None:
    """
    What is written of an instant is that instant, to the microsecond, in every zone.
    """
    text = fields.instant_text(at_us, zone)
    assert text is not None
    assert fields.instant_us(text, "x", "UTC") == at_us
    assert (
        datetime.fromisoformat(text).utcoffset()
        == datetime.fromtimestamp(at_us // 10**6, tz=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    )


@given(nanos=st.integers(0, 10**18))
def test_written_money_is_read_back(nanos: int) -> None:
    """
    Money survives its way to people and back.
    """
    assert fields.money(format_usd(nanos), "x") == nanos


READERS: tuple[Callable[[object], object], ...] = (
    fields.tenant_name,
    lambda value: fields.money(value, "x"),
    lambda value: fields.positive(value, "x"),
    lambda value: fields.limit(value, "x"),
    fields.multiplier_ppm,
    fields.timezone,
    lambda value: fields.instant_us(value, "x", BERLIN),
    lambda value: fields.choice(value, "x", ("day", "hour")),
    lambda value: fields.flag(value, "x"),
    lambda value: fields.whole(value, "x", 1, 10),
    lambda value: fields.word(value, "x"),
    fields.idempotency_key,
    fields.reason,
)


@given(value=ANYTHING)
def test_no_value_makes_a_field_fail_otherwise(value: object) -> None:
    """
    Whatever is given, a field is read or refused as bad input; nothing else is raised.
    """
    for read in READERS:
        with suppress(BadInput):
            read(value)


def test_words_are_proposed() -> None:
    """
    A mistyped word names the one that was meant, else all of them.
    """
    with pytest.raises(BadInput, match='Did you mean "hour"'):
        fields.choice("huor", "window", ("hour", "day"))
    with pytest.raises(BadInput, match="hour, day"):
        fields.choice("zzz", "window", ("hour", "day"))


def test_flags_and_numbers_are_not_guessed() -> None:
    """
    1 is not true, "true" is not true, true is not 1.
    """
    for value in (1, 0, "true", "false", None):
        with pytest.raises(BadInput):
            fields.flag(value, "frozen")
    for number in (True, "5", 5.0, 0, 11, None):
        with pytest.raises(BadInput):
            fields.whole(number, "limit", 1, 10)


def test_reasons_are_text_that_both_databases_take() -> None:
    """
    Several lines are fine; NUL and half surrogates, which databases refuse, are not.
    """
    assert fields.reason("a\nb") == "a\nb"
    assert fields.reason("") == ""
    for value in ("\x00", "\ud800", "x" * 1_001, None, 5):
        with pytest.raises(BadInput):
            fields.reason(value)
    for value in ("", "  \n"):
        with pytest.raises(BadInput, match="why"):
            fields.reason(value, required=True)
