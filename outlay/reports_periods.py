"""
Periods that reports cover, and the buckets of time that they are divided into, in a tenant's time zone.

Pure. The database groups by fixed steps that divide every bucket in every zone; `Period.bucket` then folds
the steps into local hours and days, so that a day with a change of clocks has its true 23 or 25 hours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from ledger.budget import HOUR_US, SECOND_US, day_start_us, local_date

MINUTE_US: Final = 60 * SECOND_US
DAY_US: Final = 24 * HOUR_US
_ZONE_STEP_US: Final = 15 * MINUTE_US  # every zone's offset is a multiple of it
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(StrEnum):
    """
    How far back a report looks.
    """

    QUARTER = "15m"
    HOUR = "1h"
    TODAY = "today"
    WEEK = "7d"
    MONTH = "30d"


_FINE: Final = {Span.QUARTER: (15 * MINUTE_US, 15 * SECOND_US), Span.HOUR: (HOUR_US, MINUTE_US)}
_FINE_BARS: Final = 40
_FINE_STEPS: Final = (SECOND_US, 2 * SECOND_US, 5 * SECOND_US, 10 * SECOND_US)
_DAYS: Final = {Span.WEEK: 7, Span.MONTH: 30}


@dataclass(frozen=True, slots=True)
class Period:
    """
    A stretch of time up to now.

    Attributes:
        from_us, to_us: Its start, and the instant after its end.
        step_us: Width of what the database groups by.
        grain: What a bucket is: `step`, or a local `hour` or `day` of the zone.
    """

    span: Span
    zone: str
    from_us: int
    to_us: int
    step_us: int
    grain: str

    def bucket(self, at_us: int) -> tuple[int, int]:
        """
        Return start and end of the bucket that contains an instant.
        """
        if self.grain == "day":
            day = local_date(self.zone, at_us)
            return day_start_us(self.zone, day), day_start_us(self.zone, day + timedelta(days=1))
        width_us = HOUR_US if self.grain == "hour" else self.step_us
        offset_us = _offset_us(self.zone, at_us)
        starts_us = (at_us + offset_us) // width_us * width_us - offset_us
        return starts_us, starts_us + width_us

    def buckets(self) -> Iterator[tuple[int, int]]:
        """
        Yield start and end of each bucket, the oldest first.
        """
        ends_us = self.from_us
        while ends_us < self.to_us:
            starts_us, ends_us = self.bucket(ends_us)
            yield starts_us, ends_us


def period(span: Span, zone: str, now_us: int) -> Period:
    """
    Return the period that a span means at an instant in a zone; days begin at the zone's midnight.
    """
    if span in _FINE:
        back_us, step_us = _FINE[span]
        starts_us = (now_us - back_us) // step_us * step_us
        return Period(span, zone, starts_us, now_us + 1, step_us, "step")
    today = local_date(zone, now_us)
    if span is Span.TODAY:
        return Period(span, zone, day_start_us(zone, today), now_us + 1, _ZONE_STEP_US, "hour")
    first = today - timedelta(days=_DAYS[span] - 1)
    return Period(span, zone, day_start_us(zone, first), now_us + 1, _ZONE_STEP_US, "day")


def fitting_span(oldest_us: int | None, newest_us: int | None, zone: str, now_us: int) -> Span:
    """
    Choose the span that shows the traffic best: minutes after a first call, then the day, or the week
    where today is quiet.
    """
    if oldest_us is None or newest_us is None:
        return Span.TODAY
    for span in _FINE:
        if oldest_us >= period(span, zone, now_us).from_us:
            return span
    return Span.TODAY if newest_us >= period(Span.TODAY, zone, now_us).from_us else Span.WEEK


def fitting_period(oldest_us: int | None, newest_us: int | None, zone: str, now_us: int) -> Period:
    """
    Return the period of the fitting span; minutes after a first call it begins with that call, in fine steps.
    """
    span = fitting_span(oldest_us, newest_us, zone, now_us)
    whole = period(span, zone, now_us)
    if span is not Span.QUARTER or oldest_us is None or newest_us is None:
        return whole
    wanted_us = (newest_us - oldest_us) // _FINE_BARS
    step_us = next((step for step in _FINE_STEPS if step >= wanted_us), whole.step_us)
    return replace(whole, from_us=oldest_us // step_us * step_us, step_us=step_us)


def local(instant_us: int, zone: str) -> datetime:
    """
    Return an instant on the clock of a zone.
    """
    return (_EPOCH + timedelta(microseconds=instant_us)).astimezone(ZoneInfo(zone))


def _offset_us(zone: str, at_us: int) -> int:
    offset = local(at_us, zone).utcoffset()
    assert offset is not None, "an aware datetime has an offset"
    return offset // timedelta(microseconds=1)
