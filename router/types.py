"""
Words of the router: what a request asks, what money is left, what is offered, and why.

Plain values only. They carry counts and names, never a prompt, so that a stored decision can be replayed
(`router/codec.py`) without keeping what a tenant wrote.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from pricing.bound import RequestBound
from router.demand import PaceState
from router.hints import Hints as Hints
from router.known import NOTHING_KNOWN as NOTHING_KNOWN
from router.known import Counts as Counts
from router.known import Evidence as Evidence
from router.known import Known as Known
from router.signals import Prediction as Prediction
from router.signals import Said as Said
from router.signals import SessionState as SessionState
from router.signals import Signals as Signals

Number: TypeAlias = int | float | str | None

EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
"""Effort levels of the Messages API, cheapest first."""

TEXT_HINTS: Final = (
    "task",
    "role",
    "priority",
    "session",
    "privacy",
    "floor",
    "complexity",
    "reasoning",
    "context",
)
"""Hints that are texts; beside them there are `NUMBER_HINTS`, `pin` and `tags`."""

NUMBER_HINTS: Final = ("output_words", "revision")
"""Hints that are whole numbers."""

HINT_NUMBER_MAX: Final = 1_000_000

AUTO: Final = "outlay/auto"
TIER_PREFIX: Final = "outlay/"


class Priority(StrEnum):
    """
    How much a call matters, most important first.
    """

    CRITICAL = "critical"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"

    @property
    def rank(self) -> int:
        """
        Give the place in the order, 0 for the most important.
        """
        return _PRIORITY_RANK[self]


_PRIORITY_RANK: Final = {priority: rank for rank, priority in enumerate(Priority)}


class ReasonCode(StrEnum):
    """
    Why a call was routed as it was; stable names, shown on answers and in the decision log.
    """

    ASKED_MODEL = "asked_model"
    ASKED_TIER = "asked_tier"
    TASK_ROUTE = "task_route"
    UNROUTED_TASK = "unrouted_task"
    COMPLEXITY = "complexity"
    CLASSIFIER_ASKED = "classifier_asked"
    CLASSIFIED = "classified"
    ROLE_TIER = "role_tier"
    UNLISTED_MODEL = "unlisted_model"
    HINT_NOT_ALLOWED = "hint_not_allowed"
    PINNED = "pinned"
    FLOOR = "floor"
    CONSTRAINT = "constraint"
    TOO_SLOW = "too_slow"
    TIER_LIMIT = "tier_limit"
    UNBOUNDED_CEILING = "unbounded_ceiling"
    DEGRADED = "degraded"
    PACED = "paced"
    WORTH_IT = "worth_it"
    EXEMPT = "exempt"
    DOWNGRADE_NOT_CHEAPER = "downgrade_not_cheaper"
    DOWNGRADE_NOT_POSSIBLE = "downgrade_not_possible"
    PROVIDER_UNHEALTHY = "provider_unhealthy"
    FALLBACK = "fallback"
    ESCALATED = "escalated"
    STRATEGY = "strategy"
    AFFORDABILITY = "affordability"
    ONLY_AFFORDABLE = "only_affordable"
    SWITCH_SUPPRESSED_CACHE = "switch_suppressed_cache"
    SESSION_ESCALATED = "session_escalated"
    OBSERVED = "observed"
    DOWNGRADE_PROVEN = "downgrade_proven"
    DOWNGRADE_NOT_PROVEN = "downgrade_not_proven"


class RefusalCode(StrEnum):
    """
    Why a call was not routed at all, in the order in which the checks are made.
    """

    INVALID_REQUEST = "outlay_invalid_request"
    INVALID_HINT = "outlay_invalid_hint"
    UNKNOWN_MODEL = "outlay_unknown_model"
    MODEL_NOT_ALLOWED = "outlay_model_not_allowed"
    NO_MODEL_FITS = "outlay_no_model_fits"
    UNBOUNDED_REQUEST = "outlay_unbounded_request"
    PRIORITY_REFUSED = "outlay_priority_refused"
    BREAKER_OPEN = "outlay_breaker_open"


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One step of the explanation of a decision, with the numbers that decided it.
    """

    code: str
    text: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rights:
    """
    What the key behind a call may ask for.

    Args:
        loosen: May raise the priority, set a floor and pin the model; without it hints can only tighten.
        privacy: Class that every call of this key belongs to; a hint can add a class, never take one away.
    """

    loosen: bool = False
    privacy: str | None = None


@dataclass(frozen=True, slots=True)
class Cache:
    """
    Where the prompt cache of a session is warm, as far as the shell knows.

    Args:
        model: Model that served the session last; empty when the cache is known to be cold.
        tokens: Prompt tokens in that cache.
        age_s: Time since it was last used; how long it lives then is for the markers of the body to say.
    """

    model: str = ""
    tokens: int = 0
    age_s: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """
    A request as the router sees it: names and counts, no prompt.

    Args:
        asked_model: Model id, `outlay/auto` or `outlay/TIER`, as the caller wrote it.
        asked_effort: `output_config.effort` of the body, if any.
        priority: As hinted; the task's own priority is applied by `choose`.
        may_raise: The key may raise the priority above that of the task.
        privacy: Classes that apply, from key and hint; a model must be allowed by all of them.
        floor: Lowest tier that the caller accepts, where its key may say so.
        features: Names of what the request uses, see `router.classify.FEATURES`.
        upstream: Name of the upstream in the policy, None when the policy names none.
        cached_model: Model whose prompt cache is warm; None means the model that the request asks for.
        cached_tokens_hint: Prompt tokens probably in that cache, 0 for a cold one.
        reasons: What happened to hints, to open the explanation with.
        prediction: What the classifier of the policy says, where it reads prompts.
        signals: How hard the call is; None in what was stored before there were any.
        session_state: What the conversation was served with so far; None where it begins.
    """

    task: str | None
    role: str | None
    priority: Priority | None
    may_raise: bool
    asked_model: str
    asked_effort: str | None
    max_tokens: int
    stream: bool
    session: str
    privacy: tuple[str, ...]
    floor: str | None
    pin: bool
    tags: tuple[tuple[str, str], ...]
    features: frozenset[str]
    bound: RequestBound
    expected_output_tokens: int
    upstream: str | None = None
    cached_model: str | None = None
    cached_tokens_hint: int = 0
    reasons: tuple[Reason, ...] = ()
    prediction: Prediction | None = None
    signals: Signals | None = None
    session_state: SessionState | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """
    One budget that applies to a call, in what the tenant pays; no limit is None, 0 is a number.
    """

    name: str
    limit_nanos: int | None
    spent_nanos: int = 0
    held_nanos: int = 0
    expected_held_nanos: int = 0
    resets_us: int | None = None

    @property
    def left_nanos(self) -> int | None:
        """
        Give what is left once calls in flight have settled, below 0 where more was spent; None for no limit.
        """
        if self.limit_nanos is None:
            return None
        return self.limit_nanos - self.spent_nanos - self.expected_held_nanos


@dataclass(frozen=True, slots=True)
class Headroom:
    """
    The money around a call: every budget that applies, and the credits.

    Args:
        credit_available_nanos: Credits less what is held for calls in flight; None where no credits are kept.
        credit_expected_nanos: Credits less what calls in flight are expected to cost.
        credit_full_nanos: Credits that count as full (ratio 1); None leaves credits out of the ratio.
        multiplier_ppm: Charge per cost of this tenant, as budgets and credits count the charge.
    """

    budgets: tuple[Budget, ...] = ()
    credit_available_nanos: int | None = None
    credit_expected_nanos: int | None = None
    credit_full_nanos: int | None = None
    multiplier_ppm: int = 1_000_000

    @property
    def credit_left_nanos(self) -> int | None:
        """
        Give the credits left once calls in flight have settled; None where no credits are kept.
        """
        expected = self.credit_expected_nanos
        return self.credit_available_nanos if expected is None else expected


@dataclass(frozen=True, slots=True)
class Offer:
    """
    One way to serve a call; the ledger takes the first that fits.

    Args:
        tier: None only in observe mode, for a model that no tier lists.
        effort: Effort that the model will work at, whether or not it must be sent; None if it has none.
        cost_bound_nanos: Most that the provider can bill.
        waits: Money that is merely held by calls in flight makes the ledger answer "busy", not try the next.
    """

    model: str
    tier: str | None
    effort: str | None
    max_tokens: int
    cost_bound_nanos: int
    expected_cost_nanos: int
    reasons: tuple[Reason, ...] = ()
    waits: bool = True


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    A call that is not routed, with everything that its caller needs to know.

    Args:
        level: Degradation steps active now, as in `Choice`; None when the check came before the budgets.
    """

    code: RefusalCode
    message: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    retry_after_s: int | None = None
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """
    The road not taken: the request as asked, at full quality.

    Args:
        routed_tier: Tier that the call starts from with money to spare, `routed_nanos` its cost there.
        least_nanos: Its expected cost on the cheapest tier that may serve it.
        gain: What the better model was expected to gain over that one, where anybody said so.
    """

    model: str
    tier: str | None
    effort: str | None
    max_tokens: int
    cost_bound_nanos: int
    expected_cost_nanos: int
    routed_tier: str | None = None
    routed_nanos: int | None = None
    least_nanos: int | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Would:
    """
    What enforcement would have done with a call that was only observed: an offer, or a refusal.
    """

    level: int
    offer: Offer | None
    refusal: Refusal | None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Paced:
    """
    What pacing has to remember of a call.

    Args:
        state: Where it stands now; give it back with the tenant's next call.
        tier: Where the call starts with money to spare, and `asked_nanos` its expected cost there.
        least_nanos: Its expected cost on the cheapest tier that may serve it.
        gain: What the better model was expected to gain, where anybody said so.
    """

    state: PaceState
    tier: str
    asked_nanos: int
    least_nanos: int
    gain: float | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """
    A routed call: offers, best first, and the explanation that they share.

    Args:
        asked_tier: Tier of the named model, or that the name or task means; None for an unlisted model.
        level: Degradation steps active now; give it back to `choose` with the tenant's next call.
        ratio: Remaining share that decided the level, and `gauge` the budget (or "credit") it belongs to.
        would: Only in observe mode.
        paced: What pacing made of the call; None in the other modes.
    """

    asked_model: str
    asked_tier: str | None
    priority: Priority
    level: int
    ratio: float
    gauge: str | None
    offers: tuple[Offer, ...]
    reasons: tuple[Reason, ...]
    counterfactual: Counterfactual
    would: Would | None = None
    paced: Paced | None = None
