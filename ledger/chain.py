"""
Hash chains over a tenant's transfers, settings and seals: changing any byte of any row breaks one (pure).
"""

from collections.abc import Callable
from hashlib import sha256
from json import JSONEncoder, encoder
from typing import Any, Final

GENESIS: Final = ""


def _compact_json() -> Callable[[Any], str]:
    """
    Return an encoder that is made once; `dumps` makes one per call, and `encode` still makes half of one.
    """
    slow = JSONEncoder(separators=(",", ":"))
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:
        return slow.encode
    fast = make(None, slow.default, encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
    return lambda value: "".join(fast(value, 0))


compact_json: Final = _compact_json()


def list_hash(*values: object) -> str:
    """
    Return SHA-256 over values, written as one JSON list (which no two lists share).

    In a chain they are the hash of the row before, then the row itself.
    """
    return sha256(compact_json(values).encode()).hexdigest()
