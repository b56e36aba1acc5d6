"""
Routes: `outlay route list|show|set`.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import OfTenant
from outlay.cli.policies import ForTenant, applied

group = typer.Typer(help="Routes: which tier serves a task.")

COPIED = "the tenant had no policy of its own; it has a copy now, which no longer follows that for everybody"
_ROUTES = (
    ("name", "task"), ("tier", "tier"), ("floor", "floor"), ("priority", "priority"), ("privacy", "privacy"),
    ("max_latency_ms", "max latency ms"), ("calls", "calls in 7 days"),
)  # fmt: skip
_UNROUTED = (("task", "task without a route"), ("calls", "calls in 7 days"), ("models", "served by"))
_PACE = (
    ("model", "paced to"), ("tier", "tier"), ("effort", "effort"), ("max_tokens", "max_tokens"),
    ("refused", "refused"),
)  # fmt: skip
_STEPS = (("below", "left below"), ("model", "model"), ("tier", "tier"), ("refused", "refused"))


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    app.add_typer(group, name="route")


@command(group, "list")
def list_(common: Common, tenant: OfTenant = None) -> Answer:
    """List the task table beside recent calls: unused entries, tasks without one."""
    from outlay.admin.routes import list_routes

    with common.opened() as app:
        found = list_routes(app, tenant=tenant)
    head = Pairs((("classifier", found["classifier"]), ("default tier", found["default_tier"])))
    table = Rows(_ROUTES, found["routes"], "The policy routes no task by name.")
    blocks: tuple[Block, ...] = (head, table)
    if found["unrouted"]:
        blocks = (*blocks, Rows(_UNROUTED, found["unrouted"]))
    return Answer(found, (*blocks, *_warnings(found)))


@command(group, "show")
def show(
    common: Common,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Name of the task, as calls give it.")],
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="Role of the caller.")] = None,
    tenant: OfTenant = None,
) -> Answer:
    """Say what happens to a short call of a task now, and at each degradation step."""
    from outlay.admin.routes import show_route

    with common.opened() as app:
        found = show_route(app, task, role=role, tenant=tenant)
    entry = found["entry"]["name"] if found["entry"] is not None else None
    told = [("because", reason["text"]) for reason in found["reasons"]]
    served = tuple(found["served"].items())
    head = Pairs((("task", task), ("entry", entry), *served, *told))
    steps = Rows(_STEPS, found["steps"], "No degradation step changes it.")
    return Answer(found, (head, *_pace(found), steps, Pairs((("recent", found["recent"]["models"]),))))


@command(group, "set")
def set_route(
    common: Common,
    task: Annotated[str, typer.Argument(metavar="TASK", help='Name of the task, or "crm/*" for a group.')],
    tier: Annotated[str, typer.Argument(metavar="TIER", help="Tier of the policy that serves it.")],
    tenant: ForTenant = None,
) -> Answer:
    """Serve a task from a tier: edits the policy in force and applies it, comments kept."""
    from outlay.admin.policies import apply_policy, show_policy
    from outlay.cli.policy_file import with_route
    from router.hints import canonical

    task = canonical(task)
    with common.opened() as app:
        present = show_policy(app, tenant=tenant)
        copied = present["tenant"] != tenant
        text = with_route(present["text"], task, tier, drop_budget=copied)
        if not copied and text == present["text"]:
            return _unchanged(present["version"], tenant, task, tier)
        done = apply_policy(app, text, tenant=tenant, actor=common.actor, note=f"route {task} {tier}")
    warnings = [*done["warnings"], *([COPIED] if copied else [])]
    return applied({**done, "task": task, "tier": tier, "changed": True, "warnings": warnings})


def _unchanged(version: int, tenant: str | None, task: str, tier: str) -> Answer:
    """Answer that a route is as wished already, by the version in force."""
    said = f"Tier {tier} serves {task} already: version {version} stays in force for {tenant or 'everybody'}."
    done: dict[str, Any] = {"version": version, "tenant": tenant, "task": task, "tier": tier, "warnings": []}
    return Answer({**done, "changed": False}, (said,))


def _pace(found: dict[str, Any]) -> tuple[Block, ...]:
    """Say where pacing may lead; the steps after it are bounds then."""
    if found["pace"] is None:
        return ()
    lead = "This is with money to spare. Pacing may lower it, line by line, where the money would not"
    table = Rows(_PACE, found["pace"], "Pacing does not change it.")
    return f"\n{lead} last until the reset:", table, "\nAt most, by the shares of money left:"


def _warnings(found: dict[str, Any]) -> tuple[Block, ...]:
    return tuple(Pairs((("warning", warning),)) for warning in found["warnings"])
