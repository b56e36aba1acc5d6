"""
`outlay key`: create, revoke, list.
"""

from typing import Annotated

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import table
from outlay.cli.params import OfTenant

group = typer.Typer(help="Keys of tenants and of operators.")

Role = Annotated[str, typer.Option("--role", metavar="ROLE", help="tenant, viewer, operator or admin.")]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="What it is for.")]
Loosen = Annotated[
    bool, typer.Option("--loosen", help="Its calls may raise their priority, set a floor, pin a model.")
]
Privacy = Annotated[
    str | None, typer.Option("--privacy", metavar="CLASS", help="Privacy class that its calls belong to.")
]


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    app.add_typer(group, name="key")


@command(group, "create")
def create(
    common: Common,
    tenant: OfTenant = None,
    role: Role = "tenant",
    name: Name = "",
    loosen: Loosen = False,
    privacy: Privacy = None,
) -> Answer:
    """Create a key; its secret is shown once."""
    from outlay.admin.keys import create_key

    with common.opened() as app:
        made = create_key(
            app, tenant=tenant, role=role, name=name, loosen=loosen, privacy=privacy, actor=common.actor
        )
    return in_pairs(made, "Keep the key: it is shown this once.")


@command(group, "revoke")
def revoke(
    common: Common, key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="See: outlay key list")]
) -> Answer:
    """Revoke a key; every process refuses it within a second."""
    from outlay.admin.keys import revoke_key

    with common.opened() as app:
        done = revoke_key(app, key_id, actor=common.actor)
    return in_pairs(done)


@command(group, "list")
def list_all(common: Common, tenant: OfTenant = None) -> Answer:
    """List keys; never their secrets."""
    from outlay.admin.keys import list_keys

    with common.opened() as app:
        found = list_keys(app, tenant)
    return Answer(found, (table(found["keys"], empty="No keys yet. Create one: outlay key create"),))
