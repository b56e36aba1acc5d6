"""
`outlay tenant`: create, list, show, set.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Pairs, Rows, describe
from outlay.cli.params import Tenant

group = typer.Typer(help="Tenants: who pays, in which time zone, at which price.")

Budget = Annotated[
    str | None, typer.Option("--daily-budget", metavar="USD", help='Limit of a day; "none" is no limit.')
]
Zone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="Where its day begins, as Europe/Berlin.")
]
Credit = Annotated[str, typer.Option("--credit", metavar="USD", help="Prepaid credit.")]
Frozen = Annotated[bool | None, typer.Option("--frozen/--active", help="Stop or allow its spending.")]
Overage = Annotated[
    str | None, typer.Option("--overage", metavar="KIND", help="Who bears cost above a hold: debt or absorb.")
]
_MULTIPLIER = typer.Option("--multiplier", metavar="FACTOR", help='Charge per cost, as in "1.2".')
_COLUMNS = (
    ("tenant", "tenant"),
    ("credit_usd", "credit USD"),
    ("available_usd", "available USD"),
    ("limit_usd", "day limit USD"),
    ("spent_usd", "spent today USD"),
    ("timezone", "time zone"),
    ("state", "state"),
)


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    app.add_typer(group, name="tenant")


@command(group, "create")
def create(
    common: Common,
    tenant: Tenant,
    credit: Credit = "0",
    daily_budget: Budget = None,
    timezone: Zone = None,
    multiplier: Annotated[str, _MULTIPLIER] = "1",
) -> Answer:
    """Create a tenant with its first key; the key is shown once."""
    from outlay.admin.tenants import create_tenant

    terms: dict[str, Any] = {"credit": credit, "daily_budget": daily_budget, "timezone": timezone}
    with common.opened(new=True) as app:
        made = create_tenant(app, tenant, **terms, multiplier=multiplier, actor=common.actor)
    return Answer(made, (Pairs(tuple(made.items())), "Keep the key: it is shown this once."))


@command(group, "list")
def list_all(common: Common) -> Answer:
    """List all tenants with their credits and today's budgets."""
    from outlay.admin.tenants import list_tenants

    with common.opened() as app:
        found = list_tenants(app)
    rows = [_row(row) for row in found["tenants"]]
    return Answer(found, (Rows(_COLUMNS, rows, "No tenants yet. Create one: outlay tenant create NAME"),))


@command(group, "show")
def show(common: Common, tenant: Tenant) -> Answer:
    """Show a tenant: money, settings, policy and keys."""
    from outlay.admin.tenants import show_tenant

    with common.opened() as app:
        found = show_tenant(app, tenant)
    return Answer(found, describe(found))


@command(group, "set")
def change(
    common: Common,
    tenant: Tenant,
    timezone: Zone = None,
    multiplier: Annotated[str | None, _MULTIPLIER] = None,
    frozen: Frozen = None,
    overage: Overage = None,
) -> Answer:
    """Change a tenant's settings; what is not named stays as it is."""
    from outlay.admin.tenants import set_tenant

    terms: dict[str, Any] = {"timezone": timezone, "multiplier": multiplier, "frozen": frozen}
    with common.opened() as app:
        found = set_tenant(app, tenant, **terms, overage=overage, actor=common.actor)
    return Answer(found, describe(found))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    states = [word for word in ("frozen", "halted") if row.get(word)]
    return {**(row.get("day") or {}), **row, "state": ", ".join(states) or "active"}
