"""
Daily seals: what each tenant's chains and balance were at the end of each day, and proof against them.

A seal of a day (UTC) names the last transfer until its end, the last entry of the journal of settings, their
hashes, and the balances then; the seals of a tenant form a chain of their own. A copy of them kept elsewhere
finds a history that somebody rewrote as a whole, hashes included, which the chains alone cannot. Days without
a transfer or an entry need no seal. Seals older than the journal name no entry.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Table, and_, exists, func, insert, or_, select, update

from ledger import tables
from ledger.chain import GENESIS, list_hash
from ledger.history import debt_at
from ledger.journal_proof import entry

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
    settings_n: int = 0
    settings_hash: str = GENESIS


class SealFileError(ValueError):
    """
    A file is no export of seals, or was changed.
    """


_CHAINED: Final = attrgetter(*[field.name for field in fields(Seal)][:9])


def seal_hash(seal: Seal) -> str:
    """
    Return the hash that a seal must have: over all its values, and the hash of the seal before.
    """
    told = seal.settings_n, seal.settings_hash
    return list_hash(*_CHAINED(seal), *(() if told == (0, GENESIS) else told))


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
    """Find the tenants whose first transfer or entry without a seal lies in a day that has ended."""
    account, seal, transfer, setting = tables.account, tables.seal, tables.transfer, tables.setting

    def first(table: Table, number: Any, sealed: Any) -> Any:
        done = select(func.coalesce(func.max(sealed), 0)).where(seal.c.tenant == account.c.tenant)
        following = number == done.correlate(account).scalar_subquery() + 1
        return exists().where(and_(table.c.tenant == account.c.tenant, following, table.c.at < until_us))

    moved = first(transfer, transfer.c.seq, seal.c.seq_to)
    was_set = first(setting, setting.c.n, seal.c.settings_n)
    return select(account.c.tenant).where(or_(moved, was_set)).order_by(account.c.tenant)


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
    last = last or Seal(tenant, "", 0, 0, GENESIS, 0, 0, 0, GENESIS, GENESIS)
    begins = _transfer(connection, tenant, last.seq_to + 1), _setting(connection, tenant, last.settings_n + 1)
    at = min((row.at for row in begins if row is not None), default=until_us)
    ends_us = at - at % DAY_US + DAY_US
    if ends_us > until_us:
        return None
    moved, was_set = _last_transfer(connection, tenant, ends_us), _last_setting(connection, last, ends_us)
    seal = Seal(
        tenant, (_EPOCH + timedelta(microseconds=at)).date().isoformat(), last.seq_to + 1,
        last.seq_to if moved is None else moved.seq, last.head_hash if moved is None else moved.hash,
        0 if moved is None else moved.wallet_after, debt_at(connection, tenant, ends_us - 1),
        max(row.at for row in (moved, was_set) if row is not None), last.hash, "",
        last.settings_n if was_set is None else was_set.n,
        last.settings_hash if was_set is None else was_set.hash,
    )  # fmt: skip
    return replace(seal, hash=seal_hash(seal))


def _last_transfer(connection: Connection, tenant: str, before_us: int) -> Row[Any] | None:
    transfer = tables.transfer
    query = select(transfer).where(transfer.c.tenant == tenant, transfer.c.at < before_us)
    newest = query.order_by(transfer.c.at.desc(), transfer.c.seq.desc()).limit(1)
    return connection.execute(newest).one_or_none()


def _last_setting(connection: Connection, last: Seal, before_us: int) -> Row[Any] | None:
    """Find the last entry before an instant that no seal names yet."""
    setting = tables.setting
    query = select(setting).where(
        setting.c.tenant == last.tenant, setting.c.n > last.settings_n, setting.c.at < before_us
    )
    return connection.execute(query.order_by(setting.c.n.desc()).limit(1)).one_or_none()


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
    document = {
        "format": FORMAT,
        "exported_at": at,
        "seals": [_plain(seal) for seal in seals(connection)],
        "heads": list(_heads(connection)),
    }
    return json.dumps({**document, "digest": _digest(document)}, indent=1)


def _heads(connection: Connection) -> Iterator[dict[str, object]]:
    account, setting = tables.account, tables.setting
    ends = select(setting.c.tenant, func.max(setting.c.n).label("n")).group_by(setting.c.tenant).subquery()
    newest = select(setting).join(ends, and_(setting.c.tenant == ends.c.tenant, setting.c.n == ends.c.n))
    settings = {row.tenant: (row.n, row.hash) for row in connection.execute(newest)}
    for row in connection.execute(select(account).order_by(account.c.tenant)):
        n, head = settings.get(row.tenant, (0, GENESIS))
        yield {
            "tenant": row.tenant, "seq": row.seq, "head_hash": row.head_hash, "wallet": str(row.wallet),
            "debt": str(row.debt), "settings_n": n, "settings_hash": head,
        }  # fmt: skip


def _plain(seal: Seal) -> dict[str, object]:
    return {**asdict(seal), "wallet": str(seal.wallet), "debt": str(seal.debt)}


def _digest(document: Mapping[str, object]) -> str:
    return sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Point:
    """
    Where a tenant's chains stood, according to the file.
    """

    tenant: str
    seq: int
    head_hash: str
    wallet: int
    settings_n: int
    settings_hash: str
    when: str


_NOWHERE: Final = _Point("", 0, GENESIS, 0, 0, GENESIS, "")


def check_export(connection: Connection, text: str) -> Iterator[str]:
    """
    Compare the books with an export; yields the first difference of each tenant.

    Raises:
        SealFileError: the text is no export, or was changed.
    """
    broken: set[str] = set()
    good: dict[str, _Point] = {}
    for point in sorted(_points(text), key=lambda point: (point.tenant, point.seq, point.settings_n)):
        if point.tenant in broken:
            continue  # whatever follows the first difference differs as well
        problem = _difference(connection, point, good.get(point.tenant, _NOWHERE))
        if problem is not None:
            broken.add(point.tenant)
            yield problem
        good[point.tenant] = point


def _points(text: str) -> list[_Point]:
    try:
        document = json.loads(text)
        digest = document.pop("digest")
        if document["format"] != FORMAT:
            raise SealFileError(f"its format is {document['format']!r}, not {FORMAT!r}")
        if digest != _digest(document):
            raise SealFileError("its content does not match its digest: it was changed or is cut off")
        ended = [_point(row, row["seq_to"], f"sealed for {row['day']}") for row in document["seals"]]
        when = f"exported at {document['exported_at']}"
        return [*ended, *(_point(row, row["seq"], when) for row in document["heads"])]
    except SealFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SealFileError("it is no export of seals") from error


def _point(row: Mapping[str, Any], seq: int, when: str) -> _Point:
    """
    Read where chains stood; a file older than the journal of settings says nothing of it.
    """
    return _Point(
        row["tenant"], seq, row["head_hash"], int(row["wallet"]), row.get("settings_n", 0),
        row.get("settings_hash", GENESIS), when,
    )  # fmt: skip


def _difference(connection: Connection, point: _Point, good: _Point) -> str | None:
    """
    Say what of a point is no longer so; what came until the point before it is.
    """
    moved = None if point.seq == 0 else _unlike_transfer(connection, point, good.seq + 1)
    if moved is not None or point.settings_n == 0:
        return moved
    row, name = _setting(connection, point.tenant, point.settings_n), entry(point.tenant, point.settings_n)
    if row is None:
        return f"{name}, {point.when}, is gone"
    if row.hash != point.settings_hash:
        return (
            f"{name} has not the hash that was {point.when}: "
            f"the settings were rewritten in {point.tenant}#{good.settings_n + 1} to #{point.settings_n}"
        )
    return None


def _unlike_transfer(connection: Connection, point: _Point, seq_from: int) -> str | None:
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


def _setting(connection: Connection, tenant: str, n: int) -> Row[Any] | None:
    setting = tables.setting
    query = select(setting).where(setting.c.tenant == tenant, setting.c.n == n)
    return connection.execute(query).one_or_none()


def _sealed(seal: Seal) -> _Point:
    return _point(asdict(seal), seal.seq_to, "sealed")


def check_seals(connection: Connection) -> Iterator[str]:
    """
    Compare the seals in the books with transfers and settings, and with each other.
    """
    last: Seal | None = None
    for seal in seals(connection):
        before = last if last is not None and last.tenant == seal.tenant else None
        name = f"seal {seal.tenant} {seal.day}"
        if seal.hash != seal_hash(seal) or seal.prev_hash != (GENESIS if before is None else before.hash):
            yield f"{name} does not match its hash"
        if seal.seq_from != (1 if before is None else before.seq_to + 1):
            yield f"{name} begins at {seal.seq_from}: a seal before it is missing"
        point, good = _sealed(seal), _NOWHERE if before is None else _sealed(before)
        problem = _difference(connection, point, good)
        if problem is not None:
            yield f"{name}: {problem}"
        elif debt_at(connection, seal.tenant, seal.at - seal.at % DAY_US + DAY_US - 1) != seal.debt:
            yield f"{name}: the debt of that day is not {seal.debt}"
        last = seal
