"""
Read models of the ledger: functions on a SQLAlchemy connection (use `ledger.reading(engine)`).

They take no lock and change nothing. A budget window is shown even before anything was held in it.
"""

import json
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, func, select

from ledger import admission, tables
from ledger.accounts import valid_name
from ledger.books import Books
from ledger.budget import Meter, budget_meter, current_window, meters
from ledger.read_models import AccountRow, Balance, HoldRow, StatementLine
from ledger.rows import (
    DAY,
    KIND_NAMES,
    OPEN,
    OVERAGE_NAMES,
    PARTY_NAMES,
    STATE_NAMES,
    USAGE,
    WALLET,
    Account,
    Budget,
    Window,
)
from ledger.types import Gauge, Offer, Refused, hold_key

DAY_US = 86_400 * 1_000_000


def _select(table: Table, where: str) -> str:
    """Write a statement once: these are read for every call, and composing them took most of the time."""
    return f"SELECT {', '.join(column.name for column in table.columns)} FROM {table.name} WHERE {where}"  # noqa: S608 - our own names


_ACCOUNT = _select(tables.account, "tenant = ?")
_BUDGETS = _select(tables.budget, "tenant = ?")
_WINDOWS = _select(tables.budget_window, "tenant = ? AND ends_at > ?")


@cache
def _among(table: Table, where: str, column: str, number: int) -> str:
    """Write a statement for the rows that have one of so many values."""
    return _select(table, f"{where} AND {column} IN ({', '.join('?' * number)})")


def _rows(connection: Connection, statement: str, *values: str | int) -> Sequence[Any]:
    marked = statement if connection.dialect.name == "sqlite" else statement.replace("?", "%s")
    return connection.exec_driver_sql(marked, values).all()


def _account_row(row: Row[Any] | Account) -> AccountRow:
    return AccountRow(
        row.tenant, row.wallet, row.held, row.held_expected, row.debt, bool(row.frozen), row.multiplier_ppm,
        OVERAGE_NAMES[row.overage], row.timezone, row.opened_at, row.seq,
    )  # fmt: skip


def tenants(connection: Connection) -> tuple[AccountRow, ...]:
    """
    Return every account, by name.
    """
    rows = connection.execute(select(tables.account).order_by(tables.account.c.tenant))
    return tuple(_account_row(row) for row in rows)


def account(connection: Connection, tenant: str) -> AccountRow | None:
    """
    Return one account.
    """
    rows = _rows(connection, _ACCOUNT, tenant)
    return _account_row(rows[0]) if rows else None


def _books(
    connection: Connection, tenant: str, now_us: int, scopes: Sequence[str] | None = None
) -> Books | None:
    """
    Load what meters of the tenant and of some scopes need, None of all; None where it has no account.
    """
    rows = _rows(connection, _ACCOUNT, tenant)
    if not rows:
        return None
    books = Books(tenant, account=Account(*rows[0]))
    if scopes is None:
        budgets = _rows(connection, _BUDGETS, tenant)
        windows = _rows(connection, _WINDOWS, tenant, now_us)
    else:
        books.scopes = {"tenant", *scopes}
        budgets, windows = _of_scopes(connection, tenant, now_us, books.scopes)
    for row in budgets:
        budget = Budget(*row)
        books.budgets[(budget.scope, budget.window_kind)] = budget
    for row in windows:
        books.windows.setdefault(row.budget_id, {})[row.starts_at] = Window(*row)
    return books


def _of_scopes(
    connection: Connection, tenant: str, now_us: int, scopes: Collection[str]
) -> tuple[Sequence[Any], Sequence[Any]]:
    """
    Return the budgets of some scopes, and their windows: a tenant may have a budget for each of its users.
    """
    names = sorted(filter(valid_name, scopes))  # no budget has another one
    asked = _among(tables.budget, "tenant = ?", "scope", len(names))
    budgets = _rows(connection, asked, tenant, *names)
    ids = [row.id for row in budgets]
    asked = _among(tables.budget_window, "ends_at > ?", "budget_id", len(ids))
    return budgets, _rows(connection, asked, now_us, *ids) if ids else ()


def _clock(books: Books, now_us: int) -> int:
    """
    Return the account's clock, which never steps back.
    """
    return now_us if books.account is None else max(now_us, books.account.last_at)


def gauges(connection: Connection, tenant: str, scopes: Sequence[str], now_us: int) -> tuple[Gauge, ...]:
    """
    Return the credit and every budget that applies to these scopes; empty where there is no account.
    """
    books = _books(connection, tenant, now_us, scopes)
    if books is None:
        return ()
    return tuple(meter.gauge() for meter in meters(books, tuple(scopes), _clock(books, now_us)))


def standing(
    connection: Connection, tenant: str, scopes: Sequence[str], now_us: int
) -> tuple[AccountRow | None, tuple[Gauge, ...]]:
    """
    Return the account with its gauges as `gauges` does, from one look at the books.
    """
    books = _books(connection, tenant, now_us, scopes)
    if books is None or books.account is None:
        return None, ()
    shown = meters(books, tuple(scopes), _clock(books, now_us))
    return _account_row(books.account), tuple(meter.gauge() for meter in shown)


def would_take(
    connection: Connection, tenant: str, scopes: Sequence[str], offers: Sequence[Offer], now_us: int
) -> int | None:
    """
    Return the place of the offer that a reservation would take now; None where it would be refused.
    """
    books = _books(connection, tenant, now_us, scopes)
    if books is None or books.account is None or books.account.frozen or books.account.debt > 0:
        return None
    ppm, limits = books.account.multiplier_ppm, meters(books, tuple(scopes), _clock(books, now_us))
    prices = [admission.price(offer, ppm) for offer in offers]
    chosen = admission.select(limits, offers, prices, ppm)
    return None if isinstance(chosen, Refused) else chosen


def balance(connection: Connection, tenant: str, now_us: int) -> Balance | None:
    """
    Return a tenant's account with all its gauges; the current day is there even if nothing was spent in it.
    """
    books, found = _books(connection, tenant, now_us), account(connection, tenant)
    if books is None or found is None:
        return None
    clock_us = _clock(books, now_us)
    scopes = sorted({scope for scope, _ in books.budgets} - {"tenant"})
    shown = tuple(meter.gauge() for meter in meters(books, tuple(scopes), clock_us))
    budget = books.budgets.get(("tenant", DAY))
    day: Meter | None = None
    if budget is not None:
        day = budget_meter(budget, current_window(books, budget, clock_us), clock_us)
    return Balance(found, None if day is None else day.gauge(), shown)


def statement(
    connection: Connection, tenant: str, from_us: int | None = None, to_us: int | None = None
) -> tuple[StatementLine, ...]:
    """
    Return the transfers of a period (its end excluded), oldest first, with the running balance.
    """
    transfer, op = tables.transfer, tables.op
    joined = transfer.outerjoin(op, (op.c.tenant == transfer.c.tenant) & (op.c.key == transfer.c.op_key))
    query = select(transfer, op.c.actor, op.c.reason).select_from(joined).where(transfer.c.tenant == tenant)
    if from_us is not None:
        query = query.where(transfer.c.at >= from_us)
    if to_us is not None:
        query = query.where(transfer.c.at < to_us)
    return tuple(_line(row) for row in connection.execute(query.order_by(transfer.c.seq)))


def _line(row: Row[Any]) -> StatementLine:
    change = row.amount * ((row.credit == WALLET) - (row.debit == WALLET))
    return StatementLine(
        transfer=f"{row.tenant}-{row.seq}", seq=row.seq, at_us=row.at, kind=KIND_NAMES[row.kind],
        debit=PARTY_NAMES[row.debit], credit=PARTY_NAMES[row.credit], amount_nanos=row.amount,
        change_nanos=change, balance_nanos=row.wallet_after, cost_nanos=row.cost, hold_id=row.hold_id,
        key=row.op_key, actor=row.actor or "", reason=row.reason or "",
    )  # fmt: skip


def credit_at(connection: Connection, tenant: str, at_us: int) -> int:
    """
    Return the posted credit at a past instant: what the last transfer until then left.
    """
    transfer = tables.transfer
    query = select(transfer.c.wallet_after).where(transfer.c.tenant == tenant, transfer.c.at <= at_us)
    newest = query.order_by(transfer.c.at.desc(), transfer.c.seq.desc()).limit(1)  # as the index stands
    found = connection.execute(newest).scalar_one_or_none()
    return 0 if found is None else int(found)


def _hold_row(row: Row[Any]) -> HoldRow:
    return HoldRow(
        id=row.id, tenant=row.tenant, key=row.op_key, state=STATE_NAMES[row.state],
        enforced=bool(row.enforced), offer_index=row.offer_index, amount_nanos=row.amount,
        expected_nanos=row.expected, cost_bound_nanos=row.cost_bound, cost_nanos=row.actual,
        charge_nanos=row.captured, debt_nanos=row.debt, absorbed_nanos=row.absorbed,
        refunded_nanos=row.refunded, scopes=tuple(json.loads(row.scopes)), plan=row.plan,
        detail=row.detail, owner=row.owner, opened_us=row.opened_at, expires_us=row.expires_at,
        closed_us=row.closed_at, request_hash=row.req_hash,
    )  # fmt: skip


def _holds(connection: Connection, query: Select[Any]) -> tuple[HoldRow, ...]:
    return tuple(_hold_row(row) for row in connection.execute(query))


def hold(connection: Connection, hold_id: str) -> HoldRow | None:
    """
    Return one hold by its id.
    """
    found = _holds(connection, select(tables.hold).where(tables.hold.c.id == hold_id))
    return found[0] if found else None


def hold_by_key(connection: Connection, tenant: str, key: str) -> HoldRow | None:
    """
    Return the hold that an idempotency key made.
    """
    table = tables.hold
    asked = select(table).where(table.c.tenant == tenant, table.c.op_key == key)
    own = asked.where(table.c.id == key.removeprefix(hold_key("")))  # for this the index has no entry
    found = _holds(connection, own) or _holds(connection, asked.where(tables.CALLERS_KEY))
    return found[0] if found else None


def open_holds(connection: Connection, tenant: str | None = None) -> tuple[HoldRow, ...]:
    """
    Return the open holds of a tenant, or of all, the next to expire first.
    """
    table = tables.hold
    query = select(table).where(table.c.state == OPEN)
    if tenant is not None:
        query = query.where(table.c.tenant == tenant)
    return _holds(connection, query.order_by(table.c.expires_at, table.c.id))


def mean_daily_spend_nanos(connection: Connection, tenant: str, now_us: int, days: int = 7) -> int | None:
    """
    Return the mean charge per day over the last days, rounded up; None before a full day of history.

    A history shorter than `days` is divided by its own length.
    """
    transfer = tables.transfer
    found = account(connection, tenant)
    if found is None or now_us - found.opened_us < DAY_US:
        return None
    span_us = min(days * DAY_US, now_us - found.opened_us)
    recent = (transfer.c.tenant == tenant, transfer.c.at > now_us - span_us, transfer.c.at <= now_us)
    spent = select(func.coalesce(func.sum(transfer.c.amount), 0)).where(*recent)
    used = int(connection.execute(spent.where(transfer.c.credit == USAGE)).scalar_one())
    returned = int(connection.execute(spent.where(transfer.c.debit == USAGE)).scalar_one())
    return -(-max(0, used - returned) * DAY_US // span_us)
