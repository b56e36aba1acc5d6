"""
Policies: `outlay policy show|validate|apply|history|rollback|schema`, and `outlay route set`.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import Note, OfTenant

group = typer.Typer(help="The policy: tiers, routing, budgets, thresholds, breakers.")
routes = typer.Typer(help="Routes: which tier serves a task.")

File = Annotated[str, typer.Argument(metavar="FILE", help='TOML file; "-" is standard input.')]
ForTenant = Annotated[str | None, typer.Option("--tenant", metavar="TENANT", help="For this tenant only.")]
COPIED = "the tenant had no policy of its own; it has a copy now, which no longer follows that for everybody"
_HISTORY = (("version", "version"), ("at", "at"), ("actor", "actor"), ("note", "note"))


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    app.add_typer(group, name="policy")
    app.add_typer(routes, name="route")


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
def validate(_common: Common, file: File) -> Answer:
    """Check a policy file without applying it; needs no database."""
    from outlay.admin.policies import validate_policy
    from outlay.cli.policy_file import read_policy

    found = validate_policy(read_policy(file))
    return Answer(found, ("The policy is valid.", *_warnings(found)))


@command(group, "apply")
def apply(common: Common, file: File, tenant: ForTenant = None, note: Note = "") -> Answer:
    """Put a policy file in force as a new version, without a restart."""
    from outlay.admin.policies import apply_policy
    from outlay.cli.policy_file import read_policy

    text = read_policy(file)
    with common.opened() as app:
        return _applied(apply_policy(app, text, tenant=tenant, actor=common.actor, note=note))


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
    version: Annotated[int, typer.Argument(metavar="VERSION", min=0, max=2**31, help="What to go back to.")],
    tenant: ForTenant = None,
) -> Answer:
    """Put an older version in force again, as a new version."""
    from outlay.admin.policies import rollback_policy

    with common.opened() as app:
        return _applied(rollback_policy(app, version, tenant=tenant, actor=common.actor))


@command(group, "schema")
def schema(_common: Common) -> Answer:
    """Print the JSON Schema of the policy file, for editors."""
    import json

    from router.policy import policy_schema

    found = policy_schema()
    return Answer(found, plain=json.dumps(found, indent=2) + "\n")


@command(routes, "set")
def set_route(
    common: Common,
    task: Annotated[str, typer.Argument(metavar="TASK", help='Name of the task, or "crm/*" for a group.')],
    tier: Annotated[str, typer.Argument(metavar="TIER", help="Tier of the policy that serves it.")],
    tenant: ForTenant = None,
) -> Answer:
    """Serve a task from a tier: edits the policy in force and applies it, comments kept."""
    from outlay.admin.policies import apply_policy, show_policy
    from outlay.cli.policy_file import with_route

    with common.opened() as app:
        present = show_policy(app, tenant=tenant)
        copied = present["tenant"] != tenant
        text = with_route(present["text"], task, tier, drop_budget=copied)
        done = apply_policy(app, text, tenant=tenant, actor=common.actor, note=f"route {task} {tier}")
    warnings = [*done["warnings"], *([COPIED] if copied else [])]
    return _applied({**done, "task": task, "tier": tier, "warnings": warnings})


def _applied(done: dict[str, Any]) -> Answer:
    whom = "everybody" if done.get("tenant") is None else done["tenant"]
    said = f"Version {done['version']} is in force for {whom}."
    return Answer(done, (said, *_warnings(done)))


def _warnings(found: dict[str, Any]) -> tuple[Block, ...]:
    return tuple(Pairs((("warning", warning),)) for warning in found.get("warnings", ()))
