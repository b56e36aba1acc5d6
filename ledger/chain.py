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


def row_hash(*values: object) -> str:
    """
    Return SHA-256 over a row and the hash of the row before, written as one JSON list.
    """
    return sha256(compact_json(values).encode()).hexdigest()


def transfer_hash(
    prev_hash: str,
    tenant: str,
    seq: int,
    kind: int,
    debit: int,
    credit: int,
    amount: int,
    cost: int | None,
    hold_id: str | None,
    lot_id: str | None,
    op_key: str,
    at: int,
    effective_at: int,
    wallet_after: int,
) -> str:
    """
    Return SHA-256 over the previous hash and the row, written as one JSON list (which no two rows share).
    """
    row = (
        prev_hash, tenant, seq, kind, debit, credit, amount, cost, hold_id, lot_id, op_key, at, effective_at,
        wallet_after,
    )  # fmt: skip
    return sha256(compact_json(row).encode()).hexdigest()
