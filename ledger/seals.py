"""
Daily seals: what each tenant's chain and balance were at the end of each day, and proof against them.

A seal of a day (UTC) names the last transfer of that day, its hash, and the balances then; the seals of a
tenant form a chain of their own. A copy of them kept elsewhere finds a history that somebody rewrote as a
whole, hashes included, which the chain alone cannot. Days without a transfer need no seal.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, and_, exists, func, insert, select, update

from ledger import tables
from ledger.chain import GENESIS, compact_json
from ledger.history import debt_at

FORMAT: Final = "outlay-seals/1"
DAY_US: Final = 86_400 * 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seal:
    """
    One tenant's books at the end of a day; fields stand in the order of the columns.
    """

    tenant: str
    day: str
    seq_from: int
    seq_to: int
    head_hash: str
    wallet: int
    debt: int
    at: int
    prev_hash: str
    hash: str


class SealFileError(ValueError):
    """
    A file is no export of seals, or was changed.
    """


def seal_hash(*values: object) -> str:
    """
    Return SHA-256 over a seal's values: tenant to `at`, then the hash of the seal before.
    """
    return sha256(compact_json(values).encode()).hexdigest()


def make_seals(engine: Engine, now_us: int) -> tuple[Seal, ...]:
    """
    Seal every day that has ended and is not sealed yet; returns the new seals. Does nothing when repeated.
    """
    until_us = now_us - now_us % DAY_US
    with engine.connect() as connection:
        names = connection.execute(_unsealed(until_us)).scalars().all()
    made: list[Seal] = []
    for tenant in names:
        with engine.begin() as connection:
            made.extend(_seal_tenant(connection, tenant, until_us))
    return tuple(made)


def _unsealed(until_us: int) -> Any:
    """Find the tenants whose first transfer without a seal lies in a day that has ended."""
    account, seal, transfer = tables.account, tables.seal, tables.transfer
    done = select(func.coalesce(func.max(seal.c.seq_to), 0)).where(seal.c.tenant == account.c.tenant)
    first = and_(
        transfer.c.tenant == account.c.tenant,
        transfer.c.seq == done.scalar_subquery() + 1,
        transfer.c.at < until_us,
    )
    query = select(account.c.tenant).where(exists().where(first))
    return query.order_by(account.c.tenant)


def _seal_tenant(connection: Connection, tenant: str, until_us: int) -> Iterator[Seal]:
    """
    Seal a tenant's days up to an instant, under the lock of its account.

    The account's clock is moved to that instant first, so that no later transfer can fall into a sealed day.
    """
    account = tables.account
    locked = select(account.c.last_at).where(account.c.tenant == tenant).with_for_update()
    if connection.execute(locked).scalar_one() < until_us:
        connection.execute(update(account).where(account.c.tenant == tenant).values(last_at=until_us))
    last = _last_seal(connection, tenant)
    while True:
        following = _next_seal(connection, tenant, last, until_us)
        if following is None:
            return
        connection.execute(insert(tables.seal).values(asdict(following)))
        yield following
        last = following


def _last_seal(connection: Connection, tenant: str) -> Seal | None:
    seal = tables.seal
    query = select(seal).where(seal.c.tenant == tenant).order_by(seal.c.day.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else Seal(*row)


def _next_seal(connection: Connection, tenant: str, last: Seal | None, until_us: int) -> Seal | None:
    transfer = tables.transfer
    seq_from = 1 if last is None else last.seq_to + 1
    first = select(transfer.c.at).where(transfer.c.tenant == tenant, transfer.c.seq == seq_from)
    at = connection.execute(first).scalar_one_or_none()
    if at is None or at - at % DAY_US + DAY_US > until_us:
        return None
    ends_us = at - at % DAY_US + DAY_US
    query = select(transfer).where(transfer.c.tenant == tenant, transfer.c.at < ends_us)
    row = connection.execute(query.order_by(transfer.c.at.desc(), transfer.c.seq.desc()).limit(1)).one()
    day = (_EPOCH + timedelta(microseconds=at)).date().isoformat()
    values = (
        tenant, day, seq_from, row.seq, row.hash, row.wallet_after,
        debt_at(connection, tenant, ends_us - 1), row.at, GENESIS if last is None else last.hash,
    )  # fmt: skip
    return Seal(*values, seal_hash(*values))


def seals(connection: Connection, tenant: str | None = None) -> tuple[Seal, ...]:
    """
    Return the seals of a tenant, or of all, by tenant and day.
    """
    query = select(tables.seal)
    if tenant is not None:
        query = query.where(tables.seal.c.tenant == tenant)
    found = [Seal(*row) for row in connection.execute(query)]
    return tuple(sorted(found, key=lambda seal: (seal.tenant, seal.day)))


def export(connection: Connection, at: str) -> str:
    """
    Write all seals, and where each chain stands now, as one JSON document to be kept elsewhere.
    """
    account = tables.account
    heads = [
        {"tenant": row.tenant, "seq": row.seq, "head_hash": row.head_hash, "wallet": str(row.wallet),
         "debt": str(row.debt)}
        for row in connection.execute(select(account).where(account.c.seq > 0).order_by(account.c.tenant))
    ]  # fmt: skip
    document = {
        "format": FORMAT,
        "exported_at": at,
        "seals": [_plain(seal) for seal in seals(connection)],
        "heads": heads,
    }
    return json.dumps({**document, "digest": _digest(document)}, indent=1)


def _plain(seal: Seal) -> dict[str, object]:
    return {**asdict(seal), "wallet": str(seal.wallet), "debt": str(seal.debt)}


def _digest(document: Mapping[str, object]) -> str:
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Point:
    """
    Where a chain stood, according to the file.
    """

    tenant: str
    seq: int
    head_hash: str
    wallet: int
    debt: int
    when: str


def check_export(connection: Connection, text: str) -> Iterator[str]:
    """
    Compare the books with an export; yields the first difference of each tenant.

    Raises:
        SealFileError: the text is no export, or was changed.
    """
    broken: set[str] = set()
    good: dict[str, int] = {}
    for point in sorted(_points(text), key=lambda point: (point.tenant, point.seq)):
        if point.tenant in broken:
            continue  # whatever follows the first difference differs as well
        problem = _difference(connection, point, good.get(point.tenant, 0) + 1)
        if problem is not None:
            broken.add(point.tenant)
            yield problem
        good[point.tenant] = point.seq


def _points(text: str) -> list[_Point]:
    try:
        document = json.loads(text)
        digest = document.pop("digest")
        if document["format"] != FORMAT:
            raise SealFileError(f"its format is {document['format']!r}, not {FORMAT!r}")
        if digest != _digest(document):
            raise SealFileError("its content does not match its digest: it was changed or is cut off")
        names = {field.name for field in fields(Seal)}
        ended = [Seal(**{name: row[name] for name in names}) for row in document["seals"]]
        points = [
            _Point(s.tenant, s.seq_to, s.head_hash, int(s.wallet), int(s.debt), f"sealed for {s.day}")
            for s in ended
        ]
        return points + [
            _Point(row["tenant"], row["seq"], row["head_hash"], int(row["wallet"]), int(row["debt"]),
                   f"exported at {document['exported_at']}")
            for row in document["heads"]
        ]  # fmt: skip
    except SealFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SealFileError("it is no export of seals") from error


def _difference(connection: Connection, point: _Point, seq_from: int) -> str | None:
    row = _transfer(connection, point.tenant, point.seq)
    name = f"transfer {point.tenant}-{point.seq}"
    if row is None:
        return f"{name}, {point.when}, is gone"
    if row.hash != point.head_hash:
        return (
            f"{name} has not the hash that was {point.when}: "
            f"the chain was rewritten in {point.tenant}-{seq_from} to {point.tenant}-{point.seq}"
        )
    if row.wallet_after != point.wallet:
        return f"{name} leaves {row.wallet_after}, {point.when} was {point.wallet}"
    return None


def _transfer(connection: Connection, tenant: str, seq: int) -> Row[Any] | None:
    transfer = tables.transfer
    query = select(transfer).where(transfer.c.tenant == tenant, transfer.c.seq == seq)
    return connection.execute(query).one_or_none()


def check_seals(connection: Connection) -> Iterator[str]:
    """
    Compare the seals in the books with the transfers, and with each other.
    """
    last: Seal | None = None
    for seal in seals(connection):
        before = last if last is not None and last.tenant == seal.tenant else None
        name = f"seal {seal.tenant} {seal.day}"
        values = tuple(getattr(seal, field.name) for field in fields(Seal))[:-1]
        if seal.hash != seal_hash(*values) or seal.prev_hash != (GENESIS if before is None else before.hash):
            yield f"{name} does not match its hash"
        if seal.seq_from != (1 if before is None else before.seq_to + 1):
            yield f"{name} begins at {seal.seq_from}: a seal before it is missing"
        point = _Point(seal.tenant, seal.seq_to, seal.head_hash, seal.wallet, seal.debt, "sealed")
        problem = _difference(connection, point, seal.seq_from)
        if problem is not None:
            yield f"{name}: {problem}"
        elif debt_at(connection, seal.tenant, seal.at - seal.at % DAY_US + DAY_US - 1) != seal.debt:
            yield f"{name}: the debt of that day is not {seal.debt}"
        last = seal
