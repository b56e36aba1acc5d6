"""
Names that a strategy uses, checked against the tenant's policy before the first call is paid for.
"""

from collections.abc import Iterator

from outlay.errors import BadInput, translated
from outlay.strategies.cascade import Cascade
from outlay.strategies.speculative import Speculative
from outlay.strategies.verify import Judge
from outlay.strategies.workflow import Step, Tool, Workflow
from outlay.wiring import App
from router.policy import Policy
from router.types import TIER_PREFIX


def check_plan(app: App, tenant: str, plan: Cascade | Speculative | Workflow) -> None:
    """
    See that the policy in force for a tenant has the tiers that a strategy asks.

    Raises:
        BadInput: It does not have one of them.
        BooksUnavailable: The books are out of reach.
    """
    with translated(), app.reading() as connection:
        policy = app.policies.applied(connection, tenant).policy
    check_names(plan, policy)


def check_names(plan: Cascade | Speculative | Workflow, policy: Policy) -> None:
    """
    See that a policy has the tiers that a strategy asks.
    """
    for field, name in _named(plan):
        if f"{TIER_PREFIX}{name}" not in policy.asked_names:
            raise BadInput(field, name, "is no tier of the policy", f"Use {', '.join(policy.tier_names)}.")


def asked_of(plan: object) -> object:
    """
    Say what a strategy asks, as far as two processes can compare it: of functions, the names of their steps.
    """
    if isinstance(plan, Workflow):
        return [plan.name, plan.budget_usd, [_step(one) for one in plan.steps]]
    return [type(plan).__name__, getattr(plan, "tiers", None)]


def _step(step: Step | Tool) -> object:
    if isinstance(step, Tool):
        return [step.name]
    body = None if callable(step.ask) else step.ask
    return [step.name, body, step.tiers, step.task, step.role, step.share]


def _named(plan: Cascade | Speculative | Workflow) -> Iterator[tuple[str, str]]:
    parts = [one for one in plan.steps if isinstance(one, Step)] if isinstance(plan, Workflow) else [plan]
    for part in parts:
        for tier in part.tiers:
            yield "tiers", tier
        judge = part.verify
        if isinstance(judge, Judge) and judge.model.startswith(TIER_PREFIX):
            yield "model", judge.model.removeprefix(TIER_PREFIX)
