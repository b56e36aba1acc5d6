"""
What each stored row says, held against what other rows say of the same thing (reads only; part of `verify`).

A row that is in no chain can still not be changed unseen where another row knows better: a hold knows the
digest of its settlement, a lot has the instant of its transfer, a draw the hold of its transfer, a part of a
hold the price of the whole. Where rows were archived, what they knew is no longer asked for.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from ledger import tables
from ledger.budget import budget_id
from ledger.codec import digest
from ledger.postings import REFUND_GRACE_US, transfer_id
from ledger.rows import (
    ABSORB,
    ABSORBED,
    ADJUST,
    ADJUSTMENTS,
    AFTER_RELEASE,
    CASH,
    COUNTS_COST,
    DEBT,
    EXPIRED,
    KIND,
    OPEN,
    PAID,
    PROMO,
    PROMO_POOL,
    REFUND,
    SCHEDULED,
    SETTLED,
    USAGE,
)
from ledger.types import Settle
from pricing.money import PPM, scale_ceil
from pricing.money import format_usd as usd

ROWS_AT_ONCE: Final = 10_000
_BEGINS: Final = (KIND["repay"], KIND["activate"])
_KIND_BY_SOURCE: Final = {CASH: PAID, PROMO_POOL: PROMO, ADJUSTMENTS: ADJUST, USAGE: REFUND}


def in_parts(connection: Connection, query: Select[Any]) -> Iterator[Any]:
    """
    Read rows in large parts: one by one, the fetching took a quarter of the time.
    """
    for part in connection.execute(query).partitions(ROWS_AT_ONCE):
        yield from part


def check_rows(connection: Connection) -> Iterator[str]:
    """
    Yield what does not fit together, naming the row.
    """
    yield from _accounts(connection)
    yield from _holds(connection)
    yield from _parts(connection)
    yield from _budgets(connection)
    yield from _lots(connection)
    yield from _draws(connection)


def _accounts(connection: Connection) -> Iterator[str]:
    """
    Compare an account's clock and its first instant with its transfers and holds.
    """
    account = tables.account.c
    for table, first, last in (
        (tables.transfer, tables.transfer.c.at, tables.transfer.c.at),
        (tables.hold, tables.hold.c.opened_at, func.coalesce(tables.hold.c.closed_at, 0)),
    ):
        query = (
            select(account.tenant, account.opened_at, account.last_at)
            .join(table, table.c.tenant == account.tenant)
            .group_by(account.tenant, account.opened_at, account.last_at)
            .having(or_(func.min(first) < account.opened_at, func.max(last) > account.last_at))
        )
        for row in connection.execute(query):
            yield f"account {row.tenant} has rows outside of {row.opened_at} to {row.last_at}"


def _holds(connection: Connection) -> Iterator[str]:
    """
    Compare each hold with its own price, the digest of its settlement, and what was moved for it.
    """
    hold = tables.hold.c
    amounts = hold.amount, hold.cost_bound, hold.captured, hold.actual
    query = select(
        hold.id, hold.tenant, hold.state, hold.enforced, hold.multiplier_ppm, *amounts, hold.settle_hash,
        hold.detail,
    )  # fmt: skip
    for row in in_parts(connection, query):
        name, tenant, state, enforced, ppm, amount, bound, captured, actual, settled, detail = row
        worst = bound if ppm == PPM else scale_ceil(bound, ppm)
        if amount > worst or (enforced and amount < worst):
            yield f"hold {name} has {usd(amount)} for a worst case of {usd(worst)} USD"
        ending: tuple[int, int | None, str | None] = (0, None, None)
        if state == EXPIRED:
            ending = (amount, bound, None)
        elif state == SETTLED and actual is not None:
            truth = Settle(tenant, "", 0, name, actual, detail or "")
            ending = (scale_ceil(actual, ppm), actual, digest(truth))
        if (captured, actual, settled) != ending:
            yield f"hold {name} does not have the figures of its last state"
    yield from _contradictory_holds(connection)
    yield from _debts(connection)
    yield from _settle_seqs(connection)


def _contradictory_holds(connection: Connection) -> Iterator[str]:
    hold = tables.hold.c
    wrong = or_(
        hold.opened_at >= hold.expires_at,
        hold.closed_at < hold.opened_at,
        hold.captured != hold.charged + hold.debt + hold.absorbed,
        and_(hold.overage == ABSORB, hold.debt > 0),
        and_(hold.overage == DEBT, hold.absorbed > 0),
        and_(hold.enforced == 0, hold.overage != ABSORB),
    )
    for name in connection.execute(select(hold.id).where(wrong)).scalars():
        yield f"hold {name} contradicts itself in its times, its parts or its rule for overage"


def _debts(connection: Connection) -> Iterator[str]:
    """
    Compare the debt and the loss of each hold with its transfers; a lower truth may leave less of its debt.
    """
    transfer, hold = tables.transfer.c, tables.hold.c
    moved = defaultdict[tuple[str, int], int](int)
    lowered = set[str]()
    returned = and_(transfer.kind.in_((KIND["correction"], KIND["repay"])), transfer.debit == USAGE)
    booked = or_(transfer.kind.in_((KIND["debt"], KIND["absorb"])), returned)
    for hold_id, kind, credit, amount in connection.execute(
        select(transfer.hold_id, transfer.kind, transfer.credit, transfer.amount).where(booked)
    ):
        if kind in (KIND["debt"], KIND["absorb"]):
            moved[hold_id, kind] += amount
            continue
        lowered.add(hold_id)
        moved[hold_id, KIND["absorb"]] -= amount if credit == ABSORBED else 0
    named = hold.id.in_(select(transfer.hold_id).where(booked))
    concerned = or_(hold.debt > 0, hold.absorbed > 0, named)
    for name, debt, absorbed in connection.execute(
        select(hold.id, hold.debt, hold.absorbed).where(concerned)
    ):
        wanted = moved[name, KIND["debt"]], moved[name, KIND["absorb"]]
        less = debt < wanted[0] and name in lowered
        if absorbed != wanted[1] or (debt != wanted[0] and not less):
            found, said = f"debt {usd(debt)} and absorbed {usd(absorbed)}", " and ".join(map(usd, wanted))
            yield f"hold {name} has {found}, its transfers say {said} USD"


def _settle_seqs(connection: Connection) -> Iterator[str]:
    hold, transfer = tables.hold, tables.transfer
    same = and_(transfer.c.tenant == hold.c.tenant, transfer.c.seq == hold.c.settle_seq)
    query = (
        select(hold.c.id)
        .outerjoin(transfer, same)
        .where(hold.c.settle_seq.is_not(None), func.coalesce(transfer.c.hold_id, "") != hold.c.id)
    )
    for hold_id in connection.execute(query).scalars():
        yield f"hold {hold_id} names a transfer that is not its own"


_Sums = defaultdict[tuple[str, int], int]


def _parts(connection: Connection) -> Iterator[str]:
    """
    Compare each part of a hold with the hold and the budget, then the windows with the sums of their parts.
    """
    part, hold, budget = tables.hold_window.c, tables.hold.c, tables.budget.c
    query = (
        select(
            part.hold_id, part.budget_id, part.starts_at, part.counts, part.amount, part.expected, hold.state,
            hold.cost_bound, hold.multiplier_ppm, hold.actual, hold.captured, hold.late, hold.tenant,
            budget.counts, budget.tenant,
        )
        .select_from(tables.hold_window)
        .outerjoin(tables.hold, hold.id == part.hold_id)
        .outerjoin(tables.budget, budget.id == part.budget_id)
    )  # fmt: skip
    expected: _Sums = defaultdict(int)
    overage: _Sums = defaultdict(int)
    for row in in_parts(connection, query):
        hold_id, in_budget, starts_at, counts, amount, typical, state, bound, ppm, actual, captured, *rest = (
            row
        )
        late, tenant, wanted, owner = rest
        if tenant is None or owner != tenant or counts != wanted:
            yield f"hold {hold_id} in {in_budget!r} does not belong together"
            continue
        by_cost = counts == COUNTS_COST
        if amount != (bound if by_cost else scale_ceil(bound, ppm)):
            yield f"hold {hold_id} in {in_budget!r} counts {usd(amount)} USD of another price"
        if state == OPEN:
            expected[in_budget, starts_at] += typical
        elif state == SETTLED:
            truth = actual if by_cost else captured
            overage[in_budget, starts_at] += max(0, truth - (0 if late == AFTER_RELEASE else amount))
    yield from _windows(connection, expected, overage)


def _windows(connection: Connection, expected: _Sums, overage: _Sums) -> Iterator[str]:
    budget, archived = tables.budget.c, tables.archived_window.c
    gone = set(connection.execute(select(archived.budget_id).distinct()).scalars())
    owners = {row.id: row.tenant for row in connection.execute(select(budget.id, budget.tenant))}
    for row in connection.execute(select(tables.budget_window)):
        place = (row.budget_id, row.starts_at)
        more = row.overage - overage[place]
        if row.held_expected != expected[place] or more < 0 or (more > 0 and row.budget_id not in gone):
            found = f"expected {usd(row.held_expected)}, overage {usd(row.overage)} USD"
            yield f"window {place} has {found}, unlike its holds"
        if owners.get(row.budget_id) != row.tenant:
            yield f"window {place} is not of the tenant {row.tenant!r}"


def _budgets(connection: Connection) -> Iterator[str]:
    window = tables.budget_window.c
    latest = select(window.budget_id, func.max(window.ends_at)).group_by(window.budget_id)
    ends = {row[0]: row[1] for row in connection.execute(latest)}
    for row in connection.execute(select(tables.budget)):
        if row.tiled_until != ends.get(row.id, 0):
            yield f"budget {row.id!r} has windows until {row.tiled_until}, its last one ends otherwise"
        if row.window_kind not in range(4) or row.id != budget_id(row.tenant, row.scope, row.window_kind):
            yield f"budget {row.id!r} is one of {row.scope!r} of {row.tenant!r}"


def _lots(connection: Connection) -> Iterator[str]:
    """
    Compare each lot with the transfer that it is named after.
    """
    transfer = tables.transfer.c
    made: dict[str, Any] = {}
    begun: set[str] = set()
    query = select(
        transfer.tenant, transfer.seq, transfer.debit, transfer.at, transfer.hold_id, transfer.kind,
        transfer.lot_id,
    )  # fmt: skip
    sources = or_(transfer.lot_id.is_not(None), transfer.debit == USAGE)
    for row in connection.execute(query.where(sources)):
        made[transfer_id(row.tenant, row.seq)] = row
        if row.debit == SCHEDULED and row.kind in _BEGINS:
            begun.add(row.lot_id)
    for lot in connection.execute(select(tables.grant_lot)):
        origin = made.get(lot.id)
        if origin is None or origin.tenant != lot.tenant:
            yield f"lot {lot.id} has no transfer"
            continue
        later = origin.kind == KIND["schedule"]
        if (lot.kind, lot.created_at) != (_KIND_BY_SOURCE.get(origin.debit), origin.at):
            yield f"lot {lot.id} is not of the kind or the instant of its transfer"
        if lot.scheduled != int(later and lot.id not in begun):
            yield f"lot {lot.id} is not scheduled as its transfers say"
        if lot.effective_at < lot.created_at or (lot.effective_at > lot.created_at and not later):
            yield f"lot {lot.id} takes effect at another instant than its transfer"
        if lot.kind == REFUND:
            ends = (None, origin.at + REFUND_GRACE_US)
            if (lot.source_ref, lot.priority) != (origin.hold_id, 0) or lot.expires_at not in ends:
                yield f"lot {lot.id} is not the refund that its transfer made"


def _draws(connection: Connection) -> Iterator[str]:
    """
    Compare each draw with its transfer, and the order of a hold's draws.
    """
    draw, transfer = tables.draw, tables.transfer
    same = and_(transfer.c.tenant == draw.c.tenant, transfer.c.seq == draw.c.seq)
    query = (
        select(draw.c.tenant, draw.c.seq, draw.c.lot_id)
        .outerjoin(transfer, same)
        .where(or_(transfer.c.seq.is_(None), draw.c.hold_id != func.coalesce(transfer.c.hold_id, "")))
    )
    for tenant, seq, lot_id in connection.execute(query):
        yield f"draw {tenant}-{seq} of lot {lot_id} is not of its transfer"
    count = func.count()
    order = (
        select(draw.c.tenant, draw.c.hold_id)
        .where(draw.c.hold_id != "")
        .group_by(draw.c.tenant, draw.c.hold_id)
        .having(or_(func.min(draw.c.place) != 0, func.max(draw.c.place) != count - 1))
    )
    for tenant, hold_id in connection.execute(order):
        yield f"draws of hold {hold_id} of {tenant} are not numbered in order"
