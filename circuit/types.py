"""
The plain values of the circuit: scopes, states, readings, transitions and answers.

Nothing here decides anything or touches a store. A state that never moved has no row anywhere: it is
closed (or running) at version 0.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

US_PER_S = 1_000_000
BUCKET_US = 10 * US_PER_S
"""Width of a spend or call bucket; a window is rounded out to whole buckets."""
SKEW_US = 60 * US_PER_S
"""How far in the future a stored instant may lie before it is taken for a clock that went back."""
FOREVER_US = 2**63 - 1
"""The `until` of a breaker that only a person ends."""
WINDOW_S_MAX = 3_600
COOLDOWN_S_MAX = 86_400
MAX_NANOS = 2**63 - 1

GLOBAL = "global"
_TENANT = "tenant:"
_MODEL = "model:"
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")


def tenant_scope(tenant: str) -> str:
    """
    Name the scope of one tenant.
    """
    return _TENANT + tenant


def model_scope(model: str) -> str:
    """
    Name the scope of one model of the provider.
    """
    return _MODEL + model


def is_model_scope(scope: str) -> bool:
    """
    Tell whether a scope is a model, which a provider breaker guards; others have switch and spend breaker.
    """
    return scope.startswith(_MODEL)


def is_valid_scope(scope: str) -> bool:
    """
    Tell whether a text from outside names a scope: `global`, `tenant:NAME` or `model:ID`.
    """
    prefix = next((prefix for prefix in (_TENANT, _MODEL) if scope.startswith(prefix)), None)
    return scope == GLOBAL or (prefix is not None and _NAME.fullmatch(scope, len(prefix)) is not None)


class State(StrEnum):
    """
    State of a breaker.

    A half-open breaker is a provider breaker with one probe under way. FORCED_OPEN and DISABLED are
    set and ended by people only; a disabled breaker never blocks and never trips.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class Subject(StrEnum):
    """
    What a state row or a transition is about.
    """

    BREAKER = "breaker"
    SWITCH = "switch"


RUNNING = "running"
HALTED = "halted"


@dataclass(frozen=True, slots=True)
class BreakerState:
    """
    What is stored of one breaker.

    Attributes:
        version: Generation; every transition adds one, outcomes of older ones are not counted.
        changed_us: When the last transition happened.
        until_us: Open: end of the cooldown. Half-open: end of the probe's lease. Else None.
        trips: Trips in a row, which double the cooldown.
        since_us: Spending before this instant is not counted; a manual reset sets it.
        rule, actor, reason: Of the last transition.
    """

    scope: str
    state: State = State.CLOSED
    version: int = 0
    changed_us: int = 0
    until_us: int | None = None
    trips: int = 0
    since_us: int = 0
    rule: str = ""
    actor: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """
    What is stored of one kill switch.

    Attributes:
        epoch: Number of changes of this switch so far; only ever grows.
        changed_us: When it was last changed.
        reason, actor: Of the last change.
    """

    scope: str
    halted: bool = False
    epoch: int = 0
    changed_us: int = 0
    reason: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True)
class SpendWindow:
    """
    Money spent or held in a scope's window.
    """

    spent_nanos: int = 0


@dataclass(frozen=True, slots=True)
class CallWindow:
    """
    Outcomes of a model's calls in the window, of the breaker's present generation only.
    """

    calls: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    One reading of the store; scopes that were asked for and have no row are missing from the maps.
    """

    breakers: Mapping[str, BreakerState]
    spend: Mapping[str, SpendWindow]
    calls: Mapping[str, CallWindow]
    switches: Mapping[str, Switch]
    read_us: int

    def breaker(self, scope: str) -> BreakerState:
        """
        The breaker of a scope; closed at version 0 where it never moved.
        """
        return self.breakers.get(scope) or BreakerState(scope)

    def spent_nanos(self, scope: str) -> int:
        """
        Money in the scope's window; 0 where nothing was spent.
        """
        found = self.spend.get(scope)
        return 0 if found is None else found.spent_nanos


Numbers = Mapping[str, int | float | str | None]


@dataclass(frozen=True, slots=True)
class Transition:
    """
    One change that somebody wants to make; it happens only if the stored version is still *version*.

    Attributes:
        version: The version it starts from; the state after it has version + 1.
        from_state, to_state: States of a breaker, or `running` and `halted` of a switch.
        until_us, trips, since_us: As in BreakerState, after the transition.
        rule: What moved it: `spend`, `provider`, `probe`, `clock` or `manual`.
        numbers: What the rule saw.
    """

    subject: Subject
    scope: str
    version: int
    at_us: int
    from_state: str
    to_state: str
    until_us: int | None
    trips: int
    since_us: int
    rule: str
    numbers: Numbers
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Permit:
    """
    The call may go on.

    Attributes:
        generations: Version of every breaker read; what a call's outcome must be recorded under.
    """

    generations: Mapping[str, int]

    def generation(self, model: str) -> int:
        """
        The generation under which an outcome of this model is recorded.
        """
        return self.generations.get(model_scope(model), 0)


class HaltCode(StrEnum):
    """
    Why spending is halted, as clients see it.
    """

    KILL_SWITCH = "outlay_kill_switch"
    RUNAWAY = "outlay_runaway_halt"


@dataclass(frozen=True, slots=True)
class Halted:
    """
    The call may not go on.

    Attributes:
        scope: The scope that halts; the most severe one.
        until_us: End of the cooldown; None where only a person ends it.
        retry_after_s: Whole seconds to *until_us*, at least 1; None where only a person ends it.
        numbers: What explains it.
    """

    code: HaltCode
    scope: str
    reason: str
    until_us: int | None
    retry_after_s: int | None
    numbers: Numbers


class ManualCode(StrEnum):
    """
    Answer to a manual order; the first group changed something, the second did not.
    """

    HALTED = "halted"
    RESUMED = "resumed"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    RESET = "reset"

    ALREADY_HALTED = "already_halted"
    NOT_HALTED = "not_halted"
    ALREADY_FORCED_OPEN = "already_forced_open"
    ALREADY_DISABLED = "already_disabled"
    ALREADY_CLOSED = "already_closed"
    SCOPE_INVALID = "scope_invalid"
    REASON_REQUIRED = "reason_required"
    ACTOR_REQUIRED = "actor_required"
    TEXT_INVALID = "text_invalid"


CHANGING = frozenset(
    {ManualCode.HALTED, ManualCode.RESUMED, ManualCode.FORCED_OPEN, ManualCode.DISABLED, ManualCode.RESET}
)


@dataclass(frozen=True, slots=True)
class Manual:
    """
    What came of a manual order.

    Attributes:
        code: What happened, or why nothing did.
        version: Version (of a switch: epoch) of the scope now.
        since_us, reason, actor: Of the change that made the present state; for a refused order the
            text says what to mend.
    """

    code: ManualCode
    scope: str
    version: int
    since_us: int
    reason: str
    actor: str

    @property
    def changed(self) -> bool:
        """
        Whether the order changed anything.
        """
        return self.code in CHANGING


@dataclass(frozen=True, slots=True)
class Event:
    """
    One transition as it was written down, with its place in the scope's hash chain.
    """

    seq: int
    transition: Transition
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Standing:
    """
    Every breaker and switch that ever moved: what the dashboard and `breaker status` show.
    """

    breakers: tuple[BreakerState, ...]
    switches: tuple[Switch, ...]


class CircuitError(Exception):
    """
    The circuit could not do its work.
    """


class StoreUnavailable(CircuitError):  # noqa: N818 - the same word as in the other packages
    """
    The store could not be read or written; a caller that guards money must refuse.
    """
