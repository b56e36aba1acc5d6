"""
Workflows: named steps one after the other, each with its own tier, share of the budget and verifier.

A step is a call or a tool. The budget is the workflow's own, on top of the tenant's: before a step, what its
call can cost at most is held against what is left of it. No branches and no loops: code has better ones.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import Any, Final

from outlay import fields
from outlay.calls import CallRequest
from outlay.errors import BadInput, CallRefused
from outlay.strategies import checked
from outlay.strategies.course import Course, climb, why_refused
from outlay.strategies.steps import Do, Order, RunAttempt, RunResult, Steps, checked_body
from outlay.strategies.verify import Verifier, check_verifier
from pricing.money import format_usd
from router.types import Reason, ReasonCode

STEPS_MAX: Final = 100
Values = Mapping[str, Any]
"""What the steps so far gave, by name: the text of a call, the value of a tool."""


@dataclass(frozen=True, slots=True)
class Step:
    """
    A step that calls a model.

    Attributes:
        ask: Body of the call, or a function that makes it of what the steps before gave.
        tiers: Tiers that are asked, cheapest first, until an answer passes; none leaves that to the body's
            model and the policy.
        task, role: Hints of the step; those of the workflow where it names none.
        share: Part of the workflow's budget that the step may use at most.
        verify: What says whether its answer passes; a workflow ends at a step whose answers do not.
    """

    name: str
    ask: Mapping[str, object] | Callable[[Values], Mapping[str, object]]
    tiers: tuple[str, ...] = ()
    task: str | None = None
    role: str | None = None
    share: float | None = None
    verify: Verifier | None = None

    def __post_init__(self) -> None:
        checked.name(self.name)
        if not callable(self.ask) and not isinstance(self.ask, Mapping):
            raise BadInput("ask", self.ask, "is no body", "Give a body, or a function that makes one.")
        if self.tiers != ():
            checked.tiers(self.tiers)
        if self.share is not None:
            checked.share(self.share, "share")
            if self.share == 0:
                raise BadInput("share", self.share, "is nothing", "Give more than 0, or leave it out.")
        check_verifier(self.verify)


@dataclass(frozen=True, slots=True)
class Tool:
    """
    A step of the caller's own code; it costs nothing here.

    Attributes:
        run: Is given what the steps before gave; an awaitable is awaited, where the books are asynchronous.
    """

    name: str
    run: Callable[[Values], object]

    def __post_init__(self) -> None:
        checked.name(self.name)
        if not callable(self.run):
            raise BadInput("run", self.run, "is no function", "Give a function of the values so far.")


@dataclass(frozen=True, slots=True)
class Workflow:
    """
    Steps, and what they may cost together at the provider.
    """

    name: str
    steps: tuple[Step | Tool, ...]
    budget_usd: str | None = None

    def __post_init__(self) -> None:
        checked.name(self.name)
        checked.sequence(self.steps, (Step, Tool), "steps", "Give a tuple of Step and Tool.")
        names = [step.name for step in self.steps]
        if not 0 < len(names) <= STEPS_MAX or len(set(names)) < len(names):
            raise BadInput("steps", names, "are no steps", f"Give 1 to {STEPS_MAX} steps, each name once.")
        if self.budget_usd is None and any(isinstance(s, Step) and s.share is not None for s in self.steps):
            raise BadInput("share", None, "is a part of nothing", "Give the workflow a budget_usd.")
        if self.budget_usd is not None:
            fields.money(self.budget_usd, "budget_usd")


@dataclass(frozen=True, slots=True)
class StepResult:
    """
    What a step came to.

    Attributes:
        kind: call or tool.
        value: Text of the answer, or what the tool gave.
        why: As in `RunResult`; done for a tool.
        decision_ids: Decisions of its attempts, in order.
    """

    name: str
    kind: str
    value: Any
    passed: bool
    why: str
    cost_usd: str
    attempts: tuple[RunAttempt, ...] = ()

    @property
    def decision_ids(self) -> tuple[str, ...]:
        """
        Give the decisions of its attempts, judges included.
        """
        return tuple(one.decision_id for one in self.attempts)


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """
    What a workflow came to.

    Attributes:
        decision_id: Of its first call; `explain` lists the others with it. None where no call was made.
        complete: Whether every step was done and passed.
        why: complete; else how the step ended at which it stopped.
        error: What ended it there, where that was an error.
    """

    name: str
    decision_id: str | None
    complete: bool
    why: str
    cost_usd: str
    steps: tuple[StepResult, ...]
    values: Values
    error: Exception | None = None


class _Trace:
    """
    How far a workflow has come.
    """

    def __init__(self, plan: Workflow, request: CallRequest) -> None:
        self.plan = plan
        self.request = request
        self.values: dict[str, Any] = {}
        self._budget = None if plan.budget_usd is None else fields.money(plan.budget_usd, "budget_usd")
        self._counted_nanos = 0  # of the budget: what nobody knows the cost of counts at its bound
        self._spent_nanos = 0
        self._parent: str | None = None
        self._number = request.link.attempt
        self._tries = request.link.tries
        self._steps: list[StepResult] = []
        self.error: Exception | None = None

    def course(self, step: Step) -> Course:
        """Begin a step, within its share and what is left of the budget."""
        body = step.ask(self.values) if callable(step.ask) else step.ask
        hints = self.request.hints
        hints = replace(hints, task=step.task or hints.task, role=step.role or hints.role)
        link = replace(self.request.link, parent=self._parent, attempt=self._number, tries=self._tries)
        request = replace(self.request, body=checked_body(body), hints=hints, link=link)
        return Course("workflow", Order(request, self._left_nanos(step.share)), step.verify)

    def _left_nanos(self, share: float | None) -> int | None:
        if self._budget is None:
            return None
        left = max(0, self._budget - self._counted_nanos)
        return left if share is None else min(left, int(self._budget * Decimal(str(share))))

    def took(self, step: Step, course: Course, result: RunResult | None) -> None:
        """Take in a step that has ended, well or not."""
        self._parent = course.parent
        self._number = course.number + 1
        self._tries = course.tries
        self._spent_nanos += course.spent_nanos
        self._counted_nanos += course.counted_nanos
        self._steps.append(
            StepResult(
                name=step.name,
                kind="call",
                value=None if result is None else result.text,
                passed=result is not None and result.passed,
                why="failed" if result is None else result.why,
                cost_usd=format_usd(course.spent_nanos),
                attempts=course.attempts,
            )
        )
        if result is not None:
            self.values[step.name] = result.text
            self.error = result.error

    def ran(self, tool: Tool, value: object) -> None:
        """Take in what a tool gave."""
        self.values[tool.name] = value
        self._steps.append(StepResult(tool.name, "tool", value, True, "done", format_usd(0)))

    def result(self, why: str, error: Exception | None = None) -> WorkflowResult:
        """Tell what came of it all."""
        return WorkflowResult(
            name=self.plan.name,
            decision_id=self._parent,
            complete=why == "complete",
            why=why,
            cost_usd=format_usd(self._spent_nanos),
            steps=tuple(self._steps),
            values=dict(self.values),
            error=error,
        )


def workflow(plan: Workflow, request: CallRequest) -> Steps:
    """
    Carry out a workflow; returns a `WorkflowResult`, also where it could not be completed.
    """
    trace = _Trace(plan, request)
    for step in plan.steps:
        try:
            why = yield from (_tool(step, trace) if isinstance(step, Tool) else _call(step, trace))
        except Exception as error:  # noqa: BLE001 - whatever ends a step ends the workflow, with its trace
            return trace.result(_why(error), error)
        if why != "passed":
            return trace.result(why, trace.error)
    return trace.result("complete")


def _tool(tool: Tool, trace: _Trace) -> Steps:
    value = yield Do(partial(tool.run, trace.values))
    trace.ran(tool, value)
    return "passed"


def _call(step: Step, trace: _Trace) -> Steps:
    course = trace.course(step)
    numbers = {"step": step.name, "left_nanos": course.order.left_nanos}
    reason = Reason(ReasonCode.STRATEGY, f"step {step.name} of workflow {trace.plan.name}", numbers)
    result: RunResult | None = None
    try:
        result = yield from climb(course, step.tiers or (None,), reason)
    finally:
        trace.took(step, course, result)
    return result.why


def _why(error: Exception) -> str:
    return why_refused(error.refused) if isinstance(error, CallRefused) else "failed"
