"""
The tables of `[routing]` that lead to a tier: tasks, roles, complexity classes, the learned classifier.

How a class is found stands in `router/complexity.py`, how all of it is put together in `router/base_tier.py`.
"""

from functools import cached_property
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from router.complexity import STARTS_AT, Complexity
from router.policy_fields import Name, Table, Tokens, Usd, nanos
from router.types import Priority

Classifier: TypeAlias = Literal["table", "complexity", "learned", "llm"]
Points = Annotated[int, Field(ge=1, le=1_000)]
Weight = Annotated[int, Field(ge=0, le=100)]
Milliseconds = Annotated[int, Field(ge=1, le=86_400_000)]


class TaskRoute(Table):
    """
    Where calls of a task go.
    """

    tier: str | None = None
    """Tier that serves the task; absent leaves it to the classifier, else to default_tier."""
    floor: str | None = None
    """Lowest tier that may serve the task, whatever the budget says."""
    priority: Annotated[Priority | None, Field(strict=False)] = None
    """Priority of the task; absent means normal."""
    privacy: str | None = None
    """Privacy class of the task: only models and upstreams of the class serve it."""
    max_latency_ms: Milliseconds | None = None
    """Longest that 95 of 100 calls of a model may take, in milliseconds, for it to serve the task."""
    unbounded_usd: Usd | None = None
    """Ceiling in USD for a call of the task whose cost has no bound; overrides the one in limits."""

    @cached_property
    def unbounded_nanos(self) -> int | None:
        """
        Give the task's ceiling for requests without a cost bound.
        """
        return nanos(self.unbounded_usd)


class ClassRoute(Table):
    """
    Where calls of a complexity class go: to a tier, or to one model of a tier.
    """

    tier: str | None = None
    """Tier that serves the class."""
    model: str | None = None
    """Model that serves the class, in the highest tier that lists it; instead of tier."""
    max_tokens: Tokens | None = None
    """Largest max_tokens of the class, in tokens."""


class StartsAt(Table):
    """
    Points from which a class begins; what has fewer than `simple` is trivial.
    """

    simple: Points = STARTS_AT[0]
    """Points from which a call is simple."""
    standard: Points = STARTS_AT[1]
    """Points from which a call is standard."""
    complex: Points = STARTS_AT[2]
    """Points from which a call is complex."""
    expert: Points = STARTS_AT[3]
    """Points from which a call is expert."""


class Weights(Table):
    """
    Factors of the points that a signal gives; 0 turns it off.
    """

    output: Weight = 1
    """Length of the answer asked for."""
    context: Weight = 1
    """Size of the prompt, turns, documents and images."""
    reasoning: Weight = 1
    """Need of reasoning."""
    revision: Weight = 1
    """Earlier versions."""
    code: Weight = 1
    """Code in the last message."""
    questions: Weight = 1
    """Questions in the last message."""
    tools: Weight = 1
    """Tools that the call may use."""


class ComplexityMap(Table):
    """
    Where the classes of calls go; a class without an entry goes to default_tier.
    """

    trivial: ClassRoute | None = None
    """A short answer to a short prompt."""
    simple: ClassRoute | None = None
    """A plain question."""
    standard: ClassRoute | None = None
    """Some context, or a longer answer."""
    complex: ClassRoute | None = None
    """Much context, long answers, tools or reasoning, several of them."""
    expert: ClassRoute | None = None
    """Most of them together."""
    starts_at: StartsAt = StartsAt()
    """Points from which each class begins."""
    weights: Weights = Weights()
    """Factors of the signals' points."""

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """
        Give the points from which the classes after the first begin.
        """
        at = self.starts_at
        return (at.simple, at.standard, at.complex, at.expert)

    @cached_property
    def factors(self) -> dict[str, int]:
        """
        Give the weights that are not 1.
        """
        return {name: weight for name, weight in self.weights.model_dump().items() if weight != 1}

    @cached_property
    def routes(self) -> dict[Complexity, ClassRoute]:
        """
        Give the entries by class, without the gaps.
        """
        named = ((kind, getattr(self, kind)) for kind in Complexity)
        return {kind: route for kind, route in named if route is not None}


class RoleRoute(Table):
    """
    What calls of an agent's role get at least.
    """

    tier: str | None = None
    """Lowest tier that routing chooses for the role; a budget may still lower it."""
    model: str | None = None
    """Model of the role, in the highest tier that lists it; instead of tier."""
    floor: str | None = None
    """Lowest tier that may serve the role, whatever the budget says."""


class LearnedRule(Table):
    """
    What the learned classifier chooses between.
    """

    version: Name | None = None
    """Classifier that is used (`outlay classifier list`); absent: the tenant's newest, else everybody's."""
    larger: str | None = None
    """Tier of calls that gain enough; absent: the one that the call names, else default_tier."""
    smaller: str | None = None
    """Tier of the others; absent: the next one under larger."""
    threshold: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] = 0.1
    """Gain in the share of right answers, -1 to 1, from which the larger tier serves; -1 always serves it."""
    max_risk: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    """Chance, 0 to 1, that only the larger tier is right, up to which the smaller serves; for threshold."""
