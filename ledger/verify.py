"""
Proves the books on a live database: recomputes everything from the transfers, holds and draws (reads only).

Independent of the rules on purpose: only sums, replays and hashes. Every problem names the first broken row
of its kind, and the checks are listed even when they pass.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from ledger import tables
from ledger.chain import GENESIS, list_hash
from ledger.evidence import check_rows, in_parts
from ledger.journal_proof import check_settings
from ledger.rows import (
    ABSORBED,
    COUNTS_COST,
    EXPIRED,
    FORFEITED,
    KIND,
    OPEN,
    RECEIVABLE,
    SCHEDULED,
    SETTLED,
    USAGE,
    WALLET,
)
from ledger.seals import check_seals
from pricing.money import format_usd as usd

PROBLEMS_MAX: Final = 100
_REVERSALS: Final = frozenset({KIND["chargeback"], KIND["reversal"]})


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What was checked, and what is broken.
    """

    ok: bool
    checks: dict[str, bool]
    problems: tuple[str, ...]
    tenants: int
    transfers: int


@dataclass(slots=True)
class _Tenant:
    """
    Everything recomputed for one tenant.
    """

    row: Row[Any]
    parties: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))
    by_hold: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    lot_moves: defaultdict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    at: dict[int, int] = field(default_factory=dict)
    holds: list[Row[Any]] = field(default_factory=list)
    lots: list[Row[Any]] = field(default_factory=list)
    draws: list[Row[Any]] = field(default_factory=list)
    archived: list[Row[Any]] = field(default_factory=list)
    seq: int = 0
    head: str = GENESIS
    wallet: int = 0


Problems = Iterator[str]
Check = Callable[[_Tenant], Problems]


def verify(connection: Connection) -> Verification:
    """
    Check every invariant of every tenant; use a connection from `reading`, so that it is one picture.
    """
    checks: dict[str, bool] = dict.fromkeys([*_CHECKS, *_CHAIN_CHECKS, *_WHOLE], True)
    problems: list[str] = []
    tenants = 0

    def found(check: str, problem: str) -> None:
        checks[check] = False
        if len(problems) < PROBLEMS_MAX:
            problems.append(f"{check}: {problem}")

    for row in connection.execute(select(tables.account).order_by(tables.account.c.tenant)).all():
        tenants += 1
        tenant = _load(connection, row)
        for check, problem in _replay(connection, tenant):
            found(check, problem)
        for check, rule in _CHECKS.items():
            for problem in rule(tenant):
                found(check, problem)
    for check, whole in _WHOLE.items():
        for problem in whole(connection):
            found(check, problem)
    transfers = int(connection.execute(select(func.count()).select_from(tables.transfer)).scalar_one())
    return Verification(not problems, checks, tuple(problems), tenants, transfers)


_CHAIN_CHECKS: Final = ("chain", "sequence", "running_balance")


def _load(connection: Connection, row: Row[Any]) -> _Tenant:
    tenant = _Tenant(row)
    hold, draw = tables.hold.c, tables.draw.c
    amounts = hold.amount, hold.expected, hold.captured, hold.refunded, hold.absorbed
    for query, target in (
        (select(hold.id, hold.state, hold.closed_at, *amounts), tenant.holds),
        (select(tables.grant_lot), tenant.lots),
        (select(draw.seq, draw.lot_id, draw.amount), tenant.draws),
        (select(tables.archive), tenant.archived),
    ):
        table = query.get_final_froms()[0]
        target.extend(connection.execute(query.where(table.c.tenant == row.tenant)).all())
    return tenant


def _replay(connection: Connection, tenant: _Tenant) -> Iterator[tuple[str, str]]:
    """
    Walk the transfers from the first: sequence, hashes, running balance, sums by party and hold.
    """
    table = tables.transfer
    query = select(table).where(table.c.tenant == tenant.row.tenant).order_by(table.c.seq)
    for row in in_parts(connection, query):
        _, seq, _, debit, credit, amount, _, _, _, _, _, _, wallet_after, prev_hash, head = row
        if seq != tenant.seq + 1:
            yield "sequence", f"{_name(row)} follows {tenant.seq}"
        if prev_hash != tenant.head or head != list_hash(tenant.head, *row[:13]):
            yield "chain", f"{_name(row)} does not match its hash"
        tenant.seq, tenant.head = seq, head
        tenant.wallet += amount * ((credit == WALLET) - (debit == WALLET))
        if tenant.wallet != wallet_after:
            yield "running_balance", f"{_name(row)} leaves {wallet_after}, replay gives {tenant.wallet}"
            tenant.wallet = wallet_after
        _add(tenant, row)


def _name(row: Row[Any]) -> str:
    return f"transfer {row.tenant}-{row.seq}"


def _add(tenant: _Tenant, row: Any) -> None:
    _, seq, _, debit, credit, amount, _, hold_id, lot_id, _, at, *_ = row
    tenant.parties[debit] -= amount
    tenant.parties[credit] += amount
    tenant.at[seq] = at
    if hold_id is not None:
        tenant.by_hold[hold_id] += amount * ((credit == USAGE) - (debit == USAGE))
    if lot_id is not None:
        _add_to_lot(tenant, row)


def _add_to_lot(tenant: _Tenant, row: Row[Any]) -> None:
    """
    Sum up what a lot lost other than by draws, what of it was forfeited, and what was taken back.
    """
    reversal = row.kind in _REVERSALS
    if row.credit == FORFEITED or (reversal and row.debit in (WALLET, SCHEDULED)):
        tenant.lot_moves[(row.lot_id, "lost")] += row.amount
    forfeited = row.amount * ((row.credit == FORFEITED) - (row.debit == FORFEITED))
    tenant.lot_moves[(row.lot_id, "forfeited")] += forfeited
    if reversal:
        tenant.lot_moves[(row.lot_id, "reversed")] += row.amount
    if row.kind == KIND["repay"]:
        tenant.lot_moves[(row.lot_id, "repaid")] += row.amount


def _head(tenant: _Tenant) -> Problems:
    row = tenant.row
    if (row.seq, row.head_hash, row.wallet) != (tenant.seq, tenant.head, tenant.wallet):
        yield f"account {row.tenant} does not end where its transfers end (seq {row.seq}, {tenant.seq})"


def _never_overspent(tenant: _Tenant) -> Problems:
    row = tenant.row
    if not (0 <= row.held_expected <= row.held <= row.wallet and row.debt >= 0):
        found = f"wallet {usd(row.wallet)}, held {usd(row.held)}, debt {usd(row.debt)} USD"
        yield f"account {row.tenant}: {found}"


def _held(tenant: _Tenant) -> Problems:
    still_open = [hold for hold in tenant.holds if hold.state == OPEN]
    held, expected = sum(hold.amount for hold in still_open), sum(hold.expected for hold in still_open)
    if (held, expected) != (tenant.row.held, tenant.row.held_expected):
        yield f"account {tenant.row.tenant} holds {usd(tenant.row.held)}, its open holds are {usd(held)} USD"


def _lots(tenant: _Tenant) -> Problems:
    total = sum(lot.remaining for lot in tenant.lots if not lot.scheduled)
    if total != tenant.row.wallet:
        yield f"account {tenant.row.tenant} has {usd(tenant.row.wallet)}, its lots {usd(total)} USD"
    expiry = {lot.id: lot.expires_at for lot in tenant.lots}
    net: defaultdict[str, int] = defaultdict(int)
    for row in tenant.draws:
        ends = expiry.get(row.lot_id)
        # what came back to a lot after its end went to a refund lot instead
        if row.amount > 0 or ends is None or tenant.at.get(row.seq, 0) < ends:
            net[row.lot_id] += row.amount
    for lot in tenant.lots:
        left = lot.granted - lot.repaid - net[lot.id] - tenant.lot_moves[(lot.id, "lost")]
        if left != lot.remaining:
            yield f"lot {lot.id} has {usd(lot.remaining)}, its draws leave {usd(left)} USD"
        for name in ("repaid", "reversed", "forfeited"):
            moved = tenant.lot_moves[(lot.id, name)]
            kept = getattr(lot, name)
            if moved != kept:
                yield f"lot {lot.id} has {name} {usd(kept)}, its transfers say {usd(moved)} USD"


def _parties(tenant: _Tenant) -> Problems:
    parties, holds, archived = tenant.parties, tenant.holds, tenant.archived
    charged = sum(hold.captured - hold.refunded for hold in holds) + sum(row.charged for row in archived)
    absorbed = sum(hold.absorbed for hold in holds) + sum(row.absorbed for row in archived)
    wanted = {
        "usage": (parties[USAGE], charged),
        "receivable": (-parties[RECEIVABLE], tenant.row.debt),
        "absorbed": (-parties[ABSORBED], absorbed),
        "wallet": (parties[WALLET], tenant.row.wallet),
        "scheduled": (parties[SCHEDULED], sum(lot.remaining for lot in tenant.lots if lot.scheduled)),
    }
    for name, (moved, booked) in wanted.items():
        if moved != booked:
            yield f"account {tenant.row.tenant}: transfers give {name} {moved}, the books say {booked}"


def _holds(tenant: _Tenant) -> Problems:
    known = set()
    for hold in tenant.holds:
        known.add(hold.id)
        moved = tenant.by_hold.get(hold.id, 0)
        if moved != hold.captured - hold.refunded:
            yield f"hold {hold.id} was charged {hold.captured - hold.refunded}, its transfers say {moved}"
        if hold.state not in (SETTLED, EXPIRED) and hold.captured != 0:
            yield f"hold {hold.id} is not settled but charged {hold.captured}"
        if (hold.closed_at is None) != (hold.state == OPEN):
            yield f"hold {hold.id} has a state that does not match its closing time"
    yield from _archived(tenant, tenant.by_hold.keys() - known)


def _archived(tenant: _Tenant, unknown: Set[str]) -> Problems:
    """
    Compare what transfers say of holds that are no longer there with what the archive took.
    """
    holds = sum(row.holds for row in tenant.archived)
    moved, charged = (
        sum(tenant.by_hold[hold_id] for hold_id in unknown),
        sum(row.charged for row in tenant.archived),
    )
    if len(unknown) > holds or moved != charged:
        yield (
            f"account {tenant.row.tenant}: transfers name {len(unknown)} unknown holds, the first "
            f"{min(unknown, default='-')}, with {moved}; the archive took {holds} with {charged}"
        )


_CHECKS: Final[dict[str, Check]] = {
    "head": _head,
    "never_overspent": _never_overspent,
    "held": _held,
    "lots": _lots,
    "parties": _parties,
    "holds": _holds,
}


def _windows(connection: Connection) -> Problems:
    """
    Compare each window with the holds that count in it, and the windows of a budget with each other.
    """
    part, hold, window = tables.hold_window, tables.hold, tables.budget_window
    held: defaultdict[tuple[str, int], int] = defaultdict(int)
    spent: defaultdict[tuple[str, int], int] = defaultdict(int)
    query = select(part, hold.c.state, hold.c.captured, hold.c.actual).join(hold, hold.c.id == part.c.hold_id)
    for row in in_parts(connection, query):
        place = (row.budget_id, row.starts_at)
        held[place] += row.amount if row.state == OPEN else 0
        spent[place] += _spent(row)
    for row in connection.execute(select(tables.archived_window)):
        spent[(row.budget_id, row.starts_at)] += row.spent
    last: tuple[str, int] = ("", 0)
    for row in connection.execute(select(window).order_by(window.c.budget_id, window.c.starts_at)):
        place = (row.budget_id, row.starts_at)
        if (row.held, row.spent) != (held[place], spent[place]):
            found = f"held {usd(row.held)}, spent {usd(row.spent)}"
            yield f"window {place} has {found}; its holds say {usd(held[place])}, {usd(spent[place])} USD"
        if last[0] == row.budget_id and row.starts_at < last[1]:
            yield f"window {place} overlaps the one before"
        last = (row.budget_id, row.ends_at)
    for place in (held.keys() | spent.keys()) - _places(connection):
        yield f"holds count in a window that does not exist: {place}"


def _spent(row: Row[Any]) -> int:
    """
    Return what one part of a hold adds to its window.
    """
    if row.state == EXPIRED:
        return int(row.amount)
    if row.state != SETTLED:
        return 0
    return int(row.actual if row.counts == COUNTS_COST else row.captured) - int(row.refunded)


def _places(connection: Connection) -> set[tuple[str, int]]:
    window = tables.budget_window
    return {(row[0], row[1]) for row in connection.execute(select(window.c.budget_id, window.c.starts_at))}


def _orphans(connection: Connection) -> Problems:
    """
    Find rows of a tenant that has no account.
    """
    known = select(tables.account.c.tenant)
    owned = tables.transfer, tables.hold, tables.draw, tables.grant_lot, tables.budget, tables.setting
    for table in owned:
        query = select(table.c.tenant).where(table.c.tenant.not_in(known)).distinct()
        for name in connection.execute(query).scalars():
            yield f"{table.name} has rows of {name!r}, which has no account"


_WHOLE: Final[dict[str, Callable[[Connection], Problems]]] = {
    "windows": _windows,
    "orphans": _orphans,
    "seals": check_seals,
    "rows": check_rows,
    "settings": check_settings,
}
