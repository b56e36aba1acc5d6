"""
Identifiers are UUIDs of version 7, ordered by time; the clock writes instants as text.
"""

import uuid

from outlay.clock import iso
from outlay.ids import new_id

T0 = 1_763_700_000_000_000


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Other systems read it as what it is, with the instant in its first 48 bits."""
    for _ in range(100):
        made = uuid.UUID(new_id(T0))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)
        assert made.int >> 80 == T0 // 1_000


def test_ids_are_ordered_by_time_and_never_the_same() -> None:
    """Later ids sort later as text; in one millisecond they differ."""
    assert new_id(T0) < new_id(T0 + 1_000) < new_id(T0 + 10**9)
    assert len({new_id(T0) for _ in range(1_000)}) == 1_000


def test_instants_keep_their_microseconds() -> None:
    """Text of an instant is exact, in UTC."""
    assert iso(T0 + 1) == "2025-11-21T04:40:00.000001+00:00"
    assert iso(0) == "1970-01-01T00:00:00+00:00"
