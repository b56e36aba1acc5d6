"""
`outlay tenant`: create, list, show, set.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import Tenant

group = typer.Typer(no_args_is_help=True, help="Tenants: who pays, in which time zone, at which price.")

Budget = Annotated[
    str | None, typer.Option("--daily-budget", metavar="USD", help='Limit of a day; "none" is no limit.')
]
Zone = Annotated[
    str | None, typer.Option("--timezone", metavar="ZONE", help="Where its day begins, as Europe/Berlin.")
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
    credit: Annotated[str, typer.Option("--credit", metavar="USD", help="Prepaid credit.")] = "0",
    daily_budget: Budget = None,
    timezone: Zone = None,
    multiplier: Annotated[str, _MULTIPLIER] = "1",
) -> Answer:
    """Create a tenant with its first key; the key is shown once."""
    from outlay.admin.tenants import create_tenant

    with common.opened() as app:
        made = create_tenant(
            app,
            tenant,
            credit=credit,
            daily_budget=daily_budget,
            timezone=timezone,
            multiplier=multiplier,
            actor=common.actor,
        )
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
    return Answer(found, details(found))


@command(group, "set")
def change(
    common: Common,
    tenant: Tenant,
    timezone: Zone = None,
    multiplier: Annotated[str | None, _MULTIPLIER] = None,
    frozen: Annotated[bool | None, typer.Option("--frozen/--active", help="Stop or allow spending.")] = None,
    overage: Annotated[
        str | None, typer.Option("--overage", metavar="KIND", help="debt or absorb: cost above a hold.")
    ] = None,
) -> Answer:
    """Change a tenant's settings; what is not named stays as it is."""
    from outlay.admin.tenants import set_tenant

    with common.opened() as app:
        found = set_tenant(
            app,
            tenant,
            timezone=timezone,
            multiplier=multiplier,
            frozen=frozen,
            overage=overage,
            actor=common.actor,
        )
    return Answer(found, details(found))


def details(found: dict[str, Any]) -> tuple[Block, ...]:
    """
    Lay out a tenant for people: plain values first, then what is nested.
    """
    plain = [(name, value) for name, value in found.items() if not isinstance(value, dict | list)]
    nested = [
        (f"{name}.{inner}", value)
        for name, values in found.items()
        if isinstance(values, dict)
        for inner, value in values.items()
    ]
    return (Pairs((*plain, *nested)),)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    states = [word for word in ("frozen", "halted") if row.get(word)]
    return {**(row.get("day") or {}), **row, "state": ", ".join(states) or "active"}
