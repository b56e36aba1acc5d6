"""
The hash chain over a tenant's transfers: changing any byte of any row breaks it (pure).
"""

import json
from hashlib import sha256
from typing import Final

GENESIS: Final = ""
compact_json: Final = json.JSONEncoder(separators=(",", ":")).encode  # made once: `dumps` makes one per call


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
