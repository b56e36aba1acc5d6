"""
`outlay tenant`: create, list, show, set, history.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import Rows, describe, table, to_csv
from outlay.cli.params import Csv, Limit, Reason, Since, Tenant, Until

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
Of = Annotated[str | None, typer.Option("--of", metavar="WHAT", help="account, budget or lot; all.")]
_CHANGES = ("n", "at", "actor", "subject", "setting", "from", "to", "reason", "key")
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
    from outlay.admin.tenants import new_tenant, open_tenant

    asked = new_tenant(
        tenant, credit=credit, daily_budget=daily_budget, timezone=timezone, multiplier=multiplier,
        actor=common.actor,
    )  # fmt: skip
    with common.opened(new=True) as app:
        made = open_tenant(app, asked)
    return in_pairs(made, "Keep the key: it is shown this once.")


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
    reason: Reason = "",
) -> Answer:
    """Change a tenant's settings; what is not named stays as it is."""
    from outlay.admin.tenants import set_tenant

    with common.opened() as app:
        found = set_tenant(
            app, tenant, timezone=timezone, multiplier=multiplier, frozen=frozen, overage=overage,
            reason=reason, actor=common.actor,
        )  # fmt: skip
    return Answer(found, describe(found))


@command(group, "history")
def changes(
    common: Common, tenant: Tenant, of: Of = None, since: Since = None, until: Until = None,
    limit: Limit = None, as_csv: Csv = False,
) -> Answer:  # fmt: skip
    """List who changed which setting of a tenant, its budgets and its credit, from what to what."""
    from outlay.admin.history import history

    with common.opened() as app:
        found = history(app, tenant, of=of, since=since, until=until, limit=limit)
    lines = found["changes"]
    shown = table(lines, _CHANGES[1:-1], "Nothing was set in this time.")
    return Answer(found, (shown,), plain=to_csv(_CHANGES, lines) if as_csv else None)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    states = [word for word in ("frozen", "halted") if row.get(word)]
    return {**(row.get("day") or {}), **row, "state": ", ".join(states) or "active"}
