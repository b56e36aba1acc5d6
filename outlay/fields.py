"""
Single fields of orders: what a tenant's name, an amount, a date, a key may look like, read into plain values.

Every function names the field, the value and the fix in what it raises (`BadInput`), and never writes.
A date or time without a zone is meant in the tenant's zone; a date alone is its first instant there.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import Final, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from ledger.budget import day_start_us, known_timezone
from outlay.errors import BadInput
from pricing.money import PPM, MoneyError, format_usd, parse_usd

TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
TENANT_RULE: Final = "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit"
NO_LIMIT: Final = "none"
NAME_MAX: Final = 200
REASON_MAX: Final = 1_000
MULTIPLIER_MAX: Final = 1_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9998, 12, 31, tzinfo=UTC)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FACTOR: Final = re.compile(r"(\d{1,4})(?:\.(\d{1,6}))?", re.ASCII)
_WRITE_DATE: Final = "Write a date or a time such as 2026-12-31 or 2026-12-31T18:00:00+01:00."
T = TypeVar("T", bound=str)


def tenant_name(value: object, field: str = "tenant") -> str:
    """
    Return the name of a tenant: 1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit.
    """
    if isinstance(value, str) and TENANT.fullmatch(value) is not None:
        return value
    raise BadInput(field, value, "not a name for a tenant", f"Use {TENANT_RULE}.")


def money(value: object, field: str) -> int:
    """
    Return decimal USD text as nano-USD.
    """
    try:
        return parse_usd(value)  # type: ignore[arg-type]  # it refuses what is not text, with a fix
    except MoneyError as error:
        head, _, fix = str(error).partition("; ")
        raise BadInput(field, value, head.rpartition(" is ")[2], f"{fix[:1].upper()}{fix[1:]}.") from error


def positive(value: object, field: str) -> int:
    """
    Return decimal USD text that is more than nothing as nano-USD.
    """
    nanos = money(value, field)
    if nanos == 0:
        raise BadInput(field, value, "too little", "Give an amount above 0.")
    return nanos


def limit(value: object, field: str) -> int | None:
    """
    Return a limit in nano-USD; the word "none" is no limit, "0" lets nothing be spent.
    """
    if value == NO_LIMIT:
        return None
    if value is None:
        raise BadInput(field, None, "a limit is required", 'Write an amount in USD, or "none" for no limit.')
    try:
        return money(value, field)
    except BadInput as error:
        fix = f'{error.fix} The word "{NO_LIMIT}" is no limit.'
        raise BadInput(field, value, error.message, fix) from error


def multiplier_ppm(value: object, field: str = "multiplier") -> int:
    """
    Return a price multiplier in parts per million: decimal text above 0, up to 1000, at most six decimals.

    0 is refused: calls that are charged nothing are limited by nothing.
    """
    match = _FACTOR.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        ppm = int(match.group(1)) * PPM + int((match.group(2) or "").ljust(6, "0"))
        if 0 < ppm <= MULTIPLIER_MAX * PPM:
            return ppm
    fix = f'Write decimal text above 0 and up to {MULTIPLIER_MAX}, at most six decimals, as in "1.2".'
    raise BadInput(field, value, "not a multiplier", fix)


def ppm_text(ppm: int) -> str:
    """
    Write parts per million as decimal text: "1", "1.2".
    """
    whole, rest = divmod(ppm, PPM)
    return f"{whole}.{rest:06d}".rstrip("0").rstrip(".")


def timezone(value: object) -> str:
    """
    Return the name of a known time zone.
    """
    if isinstance(value, str) and value.isprintable() and known_timezone(value):
        return value
    fix = close_name(str(value), available_timezones()) or 'Write an IANA name such as "Europe/Berlin".'
    raise BadInput("timezone", value, "unknown time zone", fix)


def instant_us(value: object, field: str, zone: str) -> int:
    """
    Return an ISO 8601 date or time in microseconds since the epoch; without an offset it is in `zone`.
    """
    if isinstance(value, date):
        raise BadInput(field, value, "not text", f'Write it as text: "{value.isoformat()}".')
    if not isinstance(value, str):
        raise BadInput(field, value, "not a date", _WRITE_DATE)
    try:
        if _DAY.fullmatch(value) is not None:
            at_us = day_start_us(zone, date.fromisoformat(value))
        else:
            at_us = _microseconds(datetime.fromisoformat(value), zone)
    except (ValueError, OverflowError) as error:
        raise BadInput(field, value, "not a date", _WRITE_DATE) from error
    if not 0 <= at_us <= _microseconds(_LAST, zone):
        raise BadInput(field, value, "out of range", "Use a year from 1970 to 9998.")
    return at_us


def passed(field: str, value: object) -> BadInput:
    """
    Return what is to be told of an instant that has passed where one to come is meant.
    """
    return BadInput(field, value, "has passed", "Give an instant in the future.")


def _microseconds(instant: datetime, zone: str) -> int:
    aware = instant.replace(tzinfo=ZoneInfo(zone)) if instant.tzinfo is None else instant
    return (aware - _EPOCH) // timedelta(microseconds=1)


def instant_text(at_us: int | None, zone: str = "UTC") -> str | None:
    """
    Write an instant as ISO 8601 text with the offset of a zone.
    """
    if at_us is None:
        return None
    return (_EPOCH + timedelta(microseconds=at_us)).astimezone(ZoneInfo(zone)).isoformat()


def usd(nanos: int | None) -> str | None:
    """
    Write money as decimal text; None stays None (no limit, not known).
    """
    return None if nanos is None else format_usd(nanos)


def choice(value: object, field: str, choices: tuple[T, ...]) -> T:
    """
    Return one of a few words.
    """
    for word in choices:
        if value == word:
            return word
    fix = close_name(str(value), choices) or f"Use one of: {', '.join(choices)}."
    raise BadInput(field, value, "not one of the words it can be", fix)


def flag(value: object, field: str) -> bool:
    """
    Return a truth value; texts and numbers are not taken for one.
    """
    if isinstance(value, bool):
        return value
    raise BadInput(field, value, "neither true nor false", "Write true or false, without quotes.")


def whole(value: object, field: str, least: int, most: int) -> int:
    """
    Return a whole number within bounds.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise BadInput(field, value, "not a number that fits here", f"Write a number from {least} to {most}.")


def word(value: object, field: str, *, most: int = NAME_MAX) -> str:
    """
    Return a required text on one line: an id, an actor, a name.
    """
    if isinstance(value, str) and value.strip() and len(value) <= most and value.isprintable():
        return value
    if value is None:
        raise BadInput(field, None, "missing", f"Give {field}.")
    if value == "":
        raise BadInput(field, None, "is empty", f"Give 1 to {most} printable characters.")
    raise BadInput(field, value, "cannot be used", f"Give 1 to {most} printable characters.")


def idempotency_key(value: object) -> str | None:
    """
    Return the caller's own key; None makes every order a new one.
    """
    return None if value is None else word(value, "idempotency_key")


def reason(value: object, field: str = "reason", *, required: bool = False) -> str:
    """
    Return free text for the record; it may have several lines.
    """
    if not isinstance(value, str) or not is_storable(value):
        raise BadInput(field, value, "not text that can be stored", "Write plain text.")
    if len(value) > REASON_MAX:
        raise BadInput(field, value, "too long", f"Use at most {REASON_MAX} characters.")
    if required and not value.strip():
        raise BadInput(field, None, "missing", "Say why; it is kept in the record.")
    return value


def is_storable(text: str) -> bool:
    """
    Tell whether both databases take a text: no NUL, no half of a surrogate pair.
    """
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def close_name(value: str, known: Iterable[str], *, prefix: str = "") -> str | None:
    """
    Say which known name was probably meant; None where none is close. A prefix of all makes none closer.
    """
    names = {name.lower().removeprefix(prefix): name for name in known}
    found = get_close_matches(value[:NAME_MAX].lower().removeprefix(prefix), names, n=1)
    return f'Did you mean "{names[found[0]]}"?' if found else None
