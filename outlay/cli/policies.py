"""
Policies: `outlay policy show|validate|apply|history|rollback|schema`.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import Note, OfTenant

group = typer.Typer(help="The policy: tiers, routing, budgets, thresholds, breakers.")

File = Annotated[str, typer.Argument(metavar="FILE", help='TOML file; "-" is standard input.')]
ForTenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="For this tenant only.")]
_HISTORY = (("version", "version"), ("at", "at"), ("actor", "actor"), ("note", "note"))


_TO = "What to go back to; 0 is the packaged one, with --tenant the one for everybody."


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    app.add_typer(group, name="policy")


@command(group, "show")
def show(
    common: Common,
    tenant: OfTenant = None,
    version: Annotated[int | None, typer.Option("--version", min=0, max=2**31, help="An older one.")] = None,
) -> Answer:
    """Print the policy in force, as TOML."""
    from outlay.admin.policies import show_policy

    with common.opened() as app:
        found = show_policy(app, tenant=tenant, version=version)
    return Answer(found, plain=found["text"])


@command(group, "validate")
def validate(
    common: Common,
    file: File,
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Also compare with its recent traffic.")
    ] = None,
) -> Answer:
    """Check a policy file without applying it; needs no database, unless a tenant is named."""
    from outlay.admin.policies import validate_policy
    from outlay.cli.policy_file import read_policy

    text = read_policy(file)
    if tenant is None:
        found = validate_policy(text)
    else:
        with common.opened() as app:
            found = validate_policy(text, app=app, tenant=tenant)
    return Answer(found, ("The policy is valid.", *_warnings(found)))


@command(group, "preview")
def preview(
    common: Common,
    file: File,
    days: Annotated[int, typer.Option("--days", min=1, max=92, help="Traffic of so many days.")] = 7,
    tenant: ForTenant = None,
    changes: Annotated[
        int, typer.Option("--changes", min=0, max=10_000, help="Name at most so many changed calls.")
    ] = 100,
) -> Answer:
    """Say what a policy file would have done to recent traffic; nothing is changed."""
    from outlay.admin.preview import preview_policy
    from outlay.cli.policy_file import read_policy
    from outlay.cli.policy_preview import told
    from outlay.cli.progress import counted

    text = read_policy(file)
    with common.opened() as app, counted("decisions") as progress:
        found = preview_policy(app, text, days=days, tenant=tenant, shown=changes, progress=progress)
    return Answer(found, (*told(found), *_warnings(found)))


@command(group, "apply")
def apply(common: Common, file: File, tenant: ForTenant = None, note: Note = "") -> Answer:
    """Put a policy file in force as a new version, without a restart."""
    from outlay.admin.policies import apply_policy
    from outlay.cli.policy_file import read_policy

    text = read_policy(file)
    with common.opened() as app:
        return applied(apply_policy(app, text, tenant=tenant, actor=common.actor, note=note))


@command(group, "history")
def history(common: Common, tenant: OfTenant = None) -> Answer:
    """List the versions of the policy, who applied them and why."""
    from outlay.admin.policies import policy_history

    with common.opened() as app:
        found = policy_history(app, tenant)
    return Answer(found, (Rows(_HISTORY, found["versions"], "The packaged policy is in force."),))


@command(group, "rollback")
def rollback(
    common: Common,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=0, max=2**31, help=_TO)],
    tenant: ForTenant = None,
) -> Answer:
    """Put an older version in force again, as a new version."""
    from outlay.admin.policies import rollback_policy

    with common.opened() as app:
        return applied(rollback_policy(app, version, tenant=tenant, actor=common.actor))


@command(group, "schema")
def schema(_common: Common) -> Answer:
    """Print the JSON Schema of the policy file, for editors."""
    import json

    from router.policy import policy_schema

    found = policy_schema()
    return Answer(found, plain=json.dumps(found, indent=2) + "\n")


def applied(done: dict[str, Any]) -> Answer:
    """
    Say which version is in force now, and for whom.
    """
    tenant = done.get("tenant")
    said = f"Version {done['version']} is in force for {tenant or 'everybody'}."
    if tenant is not None and done.get("restored") == 0:
        said = f"{tenant} has no policy of its own any more; the one for everybody holds."
    return Answer(done, (said, *_warnings(done)))


def _warnings(found: dict[str, Any]) -> tuple[Block, ...]:
    return tuple(Pairs((("warning", warning),)) for warning in found.get("warnings", ()))
