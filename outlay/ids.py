"""
Identifiers made in the shell and passed into pure code: UUIDs of version 7, ordered by time.
"""

import os
import uuid

_UUID7_LAYOUT = (0x7 << 76) | (0x2 << 62)


def new_id(now_us: int) -> str:
    """
    Return a new UUIDv7 text: 48 bits of Unix milliseconds, then 74 random bits.

    Source:
        RFC 9562, section 5.7.
    """
    random_bits = int.from_bytes(os.urandom(10)) & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=((now_us // 1_000) << 80) | random_bits | _UUID7_LAYOUT))
