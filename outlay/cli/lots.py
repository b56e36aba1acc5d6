"""
`outlay lot list|show|reverse|chargeback`, `outlay adjust`, `outlay holds`, `outlay seal make|export`.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import Pairs, describe, table
from outlay.cli.params import OfTenant, Once, Tenant, Usd

lot_group = typer.Typer(help="Lots of credit: what came, what is left of it, taking it back.")
seal_group = typer.Typer(help="Daily seals: proof against a history that was rewritten.")

Lot = Annotated[str, typer.Argument(metavar="LOT_ID", help="Id of the lot: the transfer that brought it.")]
Why = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; required, it is recorded.")]
Part = Annotated[str | None, typer.Option("--amount", metavar="USD", help="Part of it; all that is left.")]
_TAKE = typer.Option("--take", help="Take the amount instead of adding it.")
_TO = typer.Option("--to", metavar="FILE", help="New file to write.")
_OWED = (
    "{debt_usd} USD of this lot was spent, or is held by calls in flight, and is owed now:\n"
    "new calls are refused until the next top-up repays it."
)
_OWED_ADJUSTED = (
    "{debt_usd} USD of this lot is no longer there and is owed now, where {adjusted_usd} USD was\n"
    "taken by hand (outlay adjust): new calls are refused until the next top-up repays it.\n"
    "If that was this same money, it is taken back twice now. Give it back, which repays the debt:\n"
    '  outlay adjust {tenant} {twice_usd} --reason "settle {transfer}"'
)
_FROM_CREDIT = (
    "Other credit does not repay it by itself. To settle it from that:\n"
    '  outlay adjust {tenant} {part_usd} --take --reason "settle {transfer}"\n'
    '  outlay adjust {tenant} {part_usd} --reason "settle {transfer}"'
)
_FROZEN = "The tenant is frozen. To let it go on: outlay tenant set {tenant} --active"
_WHY = ("adjusted_usd", "available_usd")
_LOTS = ("lot", "kind", "state", "priority", "granted_usd", "remaining_usd", "effective_at", "expires_at")


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "adjust")(adjust)
    command(app, "holds")(holds)
    app.add_typer(lot_group, name="lot")
    app.add_typer(seal_group, name="seal")


def adjust(
    common: Common, tenant: Tenant, amount: Usd, reason: Why, take: Annotated[bool, _TAKE] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also take what makes debt.")] = False,
    idempotency_key: Once = None,
) -> Answer:  # fmt: skip
    """Correct a tenant's credit by hand."""
    from outlay.admin.lots import adjust as correct

    with common.opened() as app:
        result = correct(
            app, tenant, amount, take=take, reason=reason, confirmed=yes, idempotency_key=idempotency_key,
            actor=common.actor,
        )  # fmt: skip
    return in_pairs(result)


def holds(
    common: Common,
    tenant: OfTenant = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most this many.")] = 1_000,
) -> Answer:
    """List open holds, the next to expire first."""
    from outlay.admin.lots import list_holds

    with common.opened() as app:
        found = list_holds(app, tenant, limit=limit)
    ends = Pairs((("count", found["count"]), ("held_usd", found["held_usd"])))
    return Answer(found, (table(found["holds"], empty="No open holds."), ends))


@command(lot_group, "list")
def list_all(common: Common, tenant: Tenant) -> Answer:
    """List a tenant's lots of credit, the oldest first."""
    from outlay.admin.lots import list_lots

    with common.opened() as app:
        found = list_lots(app, tenant)
    return Answer(found, (table(found["lots"], _LOTS, "No credit came yet."),))


@command(lot_group, "show")
def show(common: Common, lot: Lot) -> Answer:
    """Show a lot and everything that happened to it."""
    from outlay.admin.lots import show_lot

    with common.opened() as app:
        found = show_lot(app, lot)
    return Answer(found, describe(found))


@command(lot_group, "reverse")
def reverse(
    common: Common, lot: Lot, reason: Why, amount: Part = None, idempotency_key: Once = None
) -> Answer:
    """Take a lot back that was a mistake; what is spent of it becomes debt."""
    return _take_back(common, lot, "reversal", amount, None, reason, idempotency_key)


@command(lot_group, "chargeback")
def chargeback(
    common: Common,
    lot: Lot,
    reason: Why,
    amount: Part = None,
    freeze: Annotated[bool, typer.Option("--freeze/--no-freeze", help="Stop the tenant's spending.")] = True,
    idempotency_key: Once = None,
) -> Answer:
    """Book that the bank took a payment back; the tenant is frozen."""
    return _take_back(common, lot, "chargeback", amount, freeze, reason, idempotency_key)


def _take_back(
    common: Common, lot: str, kind: str, amount: str | None, freeze: bool | None, reason: str, key: str | None
) -> Answer:
    from outlay.admin.lots import reverse as take_back
    from outlay.admin.lots import why_owed

    with common.opened() as app:
        done = take_back(
            app, lot, kind=kind, amount=amount, freeze=freeze, reason=reason, idempotency_key=key,
            actor=common.actor,
        )  # fmt: skip
        why = why_owed(app, lot)
    return in_pairs(done, *_owed({**done, **why}))


def _owed(done: Mapping[str, Any]) -> Iterator[str]:
    """Say what is owed of a lot, why, and what can be done about it."""
    debt, adjusted, available = (Decimal(done[name]) for name in ("debt_usd", *_WHY))
    told = {**done, "twice_usd": min(debt, adjusted), "part_usd": min(debt, available)}
    if debt > 0:
        yield (_OWED_ADJUSTED if adjusted > 0 else _OWED).format_map(told)
    if debt > 0 and available > 0:
        yield _FROM_CREDIT.format_map(told)
    if done["frozen"]:
        yield _FROZEN.format_map(done)


@command(seal_group, "make")
def make(common: Common) -> Answer:
    """Seal every day that has ended; run it daily."""
    from outlay.admin.lots import seal

    with common.opened() as app:
        found = seal(app)
    return Answer(found, (table(found["seals"], empty="Nothing to seal."),))


@command(seal_group, "export")
def export(common: Common, to: Annotated[str, _TO]) -> Answer:
    """Write all seals to a file, to be kept elsewhere."""
    from outlay.admin.lots import export_seals

    with common.opened() as app:
        return in_pairs(export_seals(app, to))
