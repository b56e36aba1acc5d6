"""
Shape of a policy file: every table and field with its type, range and default.

What one field must look like is said here; what fields say about each other is checked in
`router/policy_check.py`. Money is decimal text, read into nano-USD by the `_nanos` properties.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from pricing.facts import ModelFacts, model_facts
from pricing.money import parse_usd
from router.policy_calibration import Calibration
from router.policy_fallback import Fallback
from router.policy_fields import (
    DAY_S,
    HOUR_S,
    EnvName,
    Name,
    Names,
    Priorities,
    RoleName,
    Share,
    Table,
    TaskName,
    TierName,
    Tokens,
    Url,
    Usd,
    nanos,
)
from router.policy_llm import LlmRule
from router.policy_pace import PaceRule
from router.policy_routes import Classifier, ComplexityMap, LearnedRule, RoleRoute, TaskRoute
from router.policy_sessions import Sessions
from router.types import AUTO, TIER_PREFIX, Priority

Effort = Literal["low", "medium", "high", "xhigh", "max"]


class Tier(Table):
    """
    A grade of service: the models that give it, and the most effort and output that it allows.
    """

    models: Annotated[Names, Field(min_length=1)]
    """Models of the tier; the first is preferred, the others are fallbacks in this order."""
    effort: Effort | None = None
    """Highest effort; also the effort of calls that name neither a model nor an effort."""
    max_tokens: Tokens | None = None
    """Largest max_tokens, in tokens; absent leaves what the call asks for."""

    @cached_property
    def facts(self) -> tuple[ModelFacts, ...]:
        """
        Give what is known about the models of the tier, in their order.
        """
        return tuple(model_facts(model) for model in self.models)


class Routing(Table):
    """
    How a call finds its tier.
    """

    default_tier: str
    """Tier of calls that name neither a model nor a task of the table."""
    classifier: Classifier = "table"
    """What decides the tier of calls whose task has none in the table."""
    unlisted_models: Literal["refuse", "default_tier"] = "refuse"
    """What happens to a call for a model that no tier lists: refuse it, or serve it from default_tier."""
    tasks: dict[TaskName, TaskRoute] = Field(default_factory=dict)
    """Tasks by name; `crm/*` covers all that begin so; exact beats wildcard, the longest wildcard wins."""
    roles: dict[RoleName, RoleRoute] = Field(default_factory=dict)
    """What calls of an agent's role get at least, by the name of the role."""
    complexity: ComplexityMap = ComplexityMap()
    """Where the classes of the complexity classifier go."""
    learned: LearnedRule = LearnedRule()
    """What the learned classifier chooses between."""
    llm: LlmRule = LlmRule()
    """The small model that the LLM classifier asks."""
    sessions: Sessions = Sessions()
    """How conversations are kept together."""
    calibration: Calibration = Calibration()
    """What must be proven of cheaper answers before a classifier may choose them."""
    fallback: Fallback = Fallback()
    """Which failures of the provider let another model serve a call."""

    @cached_property
    def _prefixes(self) -> tuple[int, ...]:
        """The lengths that prefixes of wildcards have, the longest first."""
        return tuple(sorted({len(name) - 1 for name in self.tasks if name.endswith("*")}, reverse=True))

    @cached_property
    def heeds_latency(self) -> bool:
        """
        Tell whether any task limits how long a model may take.
        """
        return any(route.max_latency_ms is not None for route in self.tasks.values())

    def route(self, task: str) -> tuple[str, TaskRoute] | None:
        """
        Find the entry of the table for a task, and the name it stands under.
        """
        exact = None if task.endswith("*") else self.tasks.get(task)
        if exact is not None:
            return task, exact
        for length in self._prefixes:
            name = f"{task[:length]}*"
            if length <= len(task) and name in self.tasks:
                return name, self.tasks[name]
        return None


class Upstream(Table):
    """
    A provider address that calls are sent to.
    """

    url: Url
    """Base address."""
    key_env: EnvName
    """Name of the environment variable that holds the key; the key itself is never in a policy."""
    geo: str | None = None
    """Region that requests are served in by default; it has a price factor of its own."""


class PrivacyClass(Table):
    """
    What calls of a privacy or residency class may use; a budget never widens it.
    """

    models: Annotated[Names, Field(min_length=1)]
    """The only models that may see such a call."""
    upstreams: Annotated[Names, Field(min_length=1)] | None = None
    """The only upstreams that such a call may be sent to; absent allows all."""

    @cached_property
    def model_ids(self) -> frozenset[str]:
        """
        Give the ids of the models of the class.
        """
        return frozenset(model_facts(model).id for model in self.models)


class Enforcement(Table):
    """
    Whether decisions take effect.
    """

    mode: Literal["enforce", "observe"] = "enforce"
    """`observe` records what would have happened, and refuses and degrades nothing."""


class DayBudget(Table):
    """
    Default budget of a tenant's day.
    """

    daily_usd: Usd | None = None
    """Limit in USD per day; absent is no limit, "0" lets nothing be spent."""
    timezone: str = "UTC"
    """IANA name of the zone whose midnight starts the day."""

    @cached_property
    def daily_nanos(self) -> int | None:
        """
        Give the limit of the day, None for no limit.
        """
        return nanos(self.daily_usd)


class Step(Table):
    """
    What changes once the remaining share has fallen below a threshold.
    """

    below: Share
    """Remaining share, over 0 and at most 1, under which the step takes effect."""
    map: dict[str, str] = Field(default_factory=dict)
    """Tier by tier, the lower tier that serves instead."""
    max_tier: str | None = None
    """Highest tier still served."""
    max_tokens: Tokens | None = None
    """Largest max_tokens, in tokens."""
    effort: Effort | None = None
    """Highest effort."""
    only: Annotated[Priorities, Field(min_length=1)] | None = None
    """Priorities still served; the others are refused."""


class Degradation(Table):
    """
    What a shrinking budget changes.
    """

    mode: Literal["steps", "pace", "off"] = "steps"
    """`steps` goes by the share left, `pace` also by the demand expected until the reset; `off` leaves only
    affordability: calls keep their tier until the money is gone."""
    hysteresis: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.03
    """Share by which the remaining money must rise above a threshold before its step is left."""
    dwell_s: Annotated[int, Field(ge=0, le=DAY_S)] = 900
    """Seconds before anything lowered is raised again, unless the remaining share rises by 0.15 or more."""
    pace: PaceRule = PaceRule()
    """How `mode = "pace"` holds the money to the end of the window."""
    exempt: Priorities = (Priority.CRITICAL,)
    """Priorities that no step and no shortage of money may change."""
    steps: Annotated[tuple[Step, ...], Field(strict=False)] = ()
    """Steps from the highest threshold to the lowest; all that are active apply, one after the other."""


class SpendRule(Table):
    """
    Speed of spending that halts a scope.
    """

    max_usd: Usd
    """Money in USD, holds included, that may go out within the window."""
    window_s: Annotated[int, Field(ge=1, le=HOUR_S)] = 300
    """Length of the window in seconds."""
    cooldown_s: Annotated[int, Field(ge=1, le=DAY_S)] = 600
    """Seconds until spending may go on."""

    @cached_property
    def max_nanos(self) -> int:
        """
        Give the money that may go out within the window.
        """
        return parse_usd(self.max_usd)


class ProviderRule(Table):
    """
    Failures of the provider that take a model out of service for a while.
    """

    window_s: Annotated[int, Field(ge=1, le=HOUR_S)] = 60
    """Length of the window in seconds."""
    min_calls: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Calls in the window before their failures count."""
    failure_ratio: Share = 0.5
    """Share of failed calls from which the breaker opens."""
    cooldown_s: Annotated[int, Field(ge=1, le=DAY_S)] = 30
    """Seconds until the model is used again."""


class Breakers(Table):
    """
    Circuit breakers; a rule that is absent is off.
    """

    spend: SpendRule | None = None
    """Speed of spending of one tenant."""
    global_spend: SpendRule | None = None
    """Speed of spending of all tenants together."""
    provider: ProviderRule | None = ProviderRule()
    """Failures of one model."""


class Limits(Table):
    """
    Bounds of a single call.
    """

    hold_ttl_s: Annotated[int, Field(ge=1, le=7 * DAY_S)] = 900
    """Seconds that money stays held for a call that neither ends nor renews its hold."""
    min_max_tokens: Tokens = 256
    """Smallest max_tokens that a shortage of money may shrink a call to, in tokens."""
    unbounded_usd: Usd | None = None
    """Ceiling in USD for calls whose cost has no bound; absent refuses them."""
    credit_full_usd: Usd | None = None
    """Credits in USD that count as full; absent leaves the choice to Outlay (days of mean spend)."""

    @cached_property
    def unbounded_nanos(self) -> int | None:
        """
        Give the ceiling for requests without a cost bound.
        """
        return nanos(self.unbounded_usd)

    @cached_property
    def credit_full_nanos(self) -> int | None:
        """
        Give the credits that count as full.
        """
        return nanos(self.credit_full_usd)


class Policy(Table):
    """
    A policy of Outlay: tiers, routes, budget, degradation, breakers and limits.
    """

    tiers: Annotated[dict[TierName, Tier], Field(min_length=1)]
    """Tiers in the order of the file, the highest first."""
    routing: Routing
    """How a call finds its tier."""
    upstreams: dict[Name, Upstream] = Field(default_factory=dict)
    """Provider addresses by name; `default`, else the first, serves calls without a privacy class."""
    enforcement: Enforcement = Enforcement()
    """Whether decisions take effect."""
    budget: DayBudget = DayBudget()
    """Default budget of a tenant's day."""
    degradation: Degradation = Degradation()
    """What a shrinking budget changes."""
    breaker: Breakers = Breakers()
    """Circuit breakers."""
    limits: Limits = Limits()
    """Bounds of a single call."""
    privacy: dict[Name, PrivacyClass] = Field(default_factory=dict)
    """Privacy and residency classes by name."""

    @cached_property
    def tier_names(self) -> tuple[str, ...]:
        """
        Give the tiers, the highest first.
        """
        return tuple(self.tiers)

    @cached_property
    def tier_ranks(self) -> dict[str, int]:
        """
        Give the place of each tier in the order, 0 for the highest.
        """
        return {name: rank for rank, name in enumerate(self.tiers)}

    @cached_property
    def model_ranks(self) -> dict[str, int]:
        """
        Give the tier of every listed model, by its id: the highest tier that lists it.
        """
        ranks: dict[str, int] = {}
        for rank, tier in enumerate(self.tiers.values()):
            for model in tier.facts:
                ranks.setdefault(model.id, rank)
        return ranks

    def tier_of(self, model: str | None) -> str | None:
        """
        Give the highest tier that lists a model.
        """
        return None if model is None else self.tier_names[self.model_ranks[model_facts(model).id]]

    @property
    def asked_names(self) -> tuple[str, ...]:
        """
        Give the names that a call may ask for instead of a model.
        """
        return (AUTO, *(f"{TIER_PREFIX}{name}" for name in self.tiers))


def fields_at(path: tuple[Any, ...]) -> tuple[str, ...]:
    """
    Give the fields that the table at a place of the policy has, to say which one was meant.
    """
    table: type[BaseModel] = Policy
    for part in path:
        if not isinstance(part, str) or part not in table.model_fields:
            continue
        inner = _tables_in(table.model_fields[part].annotation)
        if inner is not None:
            table = inner
    return tuple(table.model_fields)


def _tables_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_tables_in(part) for part in getattr(annotation, "__args__", ()))
    return next((table for table in found if table is not None), None)
