"""
The brakes: `outlay halt`, `outlay resume`, `outlay breaker status|reset`.
"""

import sys
from typing import Annotated

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import table
from outlay.cli.params import Reason

group = typer.Typer(help="Breakers: what stops spending by itself.")

OneTenant = Annotated[
    str | None, typer.Option("--tenant", metavar="TENANT", help="This tenant only; else everybody.")
]
NO_REASON = "no reason given"


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "halt")(halt)
    command(app, "resume")(resume)
    app.add_typer(group, name="breaker")


def halt(
    common: Common,
    reason: Reason,
    tenant: OneTenant = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> Answer:
    """Stop all spending, or a tenant's; once this returns no new call is sent."""
    from outlay.admin.breakers import halt as pull

    if tenant is None and not yes and not common.as_json:
        _ask()
    with common.opened() as app:
        return in_pairs(pull(app, tenant=tenant, reason=reason, actor=common.actor))


def resume(common: Common, reason: Reason = NO_REASON, tenant: OneTenant = None) -> Answer:
    """Allow spending again."""
    from outlay.admin.breakers import resume as release

    with common.opened() as app:
        return in_pairs(release(app, tenant=tenant, reason=reason, actor=common.actor))


@command(group, "status")
def status(common: Common) -> Answer:
    """Show switches, breakers and what happened to them lately."""
    from outlay.admin.breakers import breaker_status

    with common.opened() as app:
        found = breaker_status(app)
    return Answer(
        found, tuple(table(found[part], empty=f"No {part}.") for part in ("switches", "breakers", "events"))
    )


@command(group, "reset")
def reset(
    common: Common,
    scope: Annotated[
        str, typer.Argument(metavar="SCOPE", help="global, tenant:NAME or model:ID; see: breaker status")
    ],
    reason: Reason,
) -> Answer:
    """Close a breaker before its cooldown is over."""
    from outlay.admin.breakers import reset_breaker

    with common.opened() as app:
        return in_pairs(reset_breaker(app, scope, reason=reason, actor=common.actor))


def _ask() -> None:
    """Ask before everybody is stopped; a script has to say that it means it."""
    if not sys.stdin.isatty():
        from outlay.errors import BadInput

        raise BadInput("yes", None, "this stops every tenant, and nobody is here to ask", "add --yes")
    if not typer.confirm("Stop the spending of every tenant?", err=True):
        raise typer.Exit(1)
