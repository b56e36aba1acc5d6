"""
What the flow asks of the world: one value per kind of input or output, each with the type of its reply.

The flow yields them; `outlay/engine.py` carries them out, for the blocking and the async driver alike.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from circuit.health import CallDelta
from circuit.types import Halted, Transition
from ledger.read_models import HoldRow
from ledger.types import Operation, Release, Result, Settle
from outlay.calls import Outcome, Sending, Upstream
from outlay.llm_answers import Answers
from outlay.views import SessionMemory, View
from pricing.table import PriceTable
from router.demand import PaceState
from router.policy import Policy
from router.types import Prediction

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tools:
    """
    What the flow needs besides effects.

    Attributes:
        now_us: The clock.
        new_id: Makes ids from an instant.
        owner: Names this process in holds, probes and meters.
        upstream: Finds the address and key for a name of the policy; None is the environment's.
        answers: What the LLM classifier has said of conversations.
        usual: Tells how many tokens the answers of a tenant's calls of a kind usually have, once known.
    """

    now_us: Callable[[], int]
    new_id: Callable[[int], str]
    prices: PriceTable
    owner: str
    upstream: Callable[[Policy, str | None], Upstream]
    usual: Callable[[str, str], int | None]
    answers: Answers = field(default_factory=Answers)


class Effect(Generic[T]):
    """One request of the flow; T is the type of the reply."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Look(Effect[View]):
    """Read all that the decision needs; calls that ask at once may share one reading."""

    tenant: str
    scopes: tuple[str, ...]
    now_us: int


@dataclass(frozen=True, slots=True)
class Recall(Effect[SessionMemory | None]):
    """Read what a conversation was served with so far; `session` is as `router.classify` names it."""

    tenant: str
    session: str


@dataclass(frozen=True, slots=True)
class Move(Effect[tuple[Transition, ...]]):
    """Move breakers; the reply holds the transitions that nobody else was faster with."""

    transitions: tuple[Transition, ...]


@dataclass(frozen=True, slots=True)
class SetLevel(Effect[None]):
    """Remember the degradation steps in force for a tenant, and where pacing stands if that has moved."""

    tenant: str
    level: int
    now_us: int
    pace: PaceState | None = None


@dataclass(frozen=True, slots=True)
class Commit(Effect[Result]):
    """Carry out one operation of the ledger, with a decision record; the reply comes after its COMMIT."""

    op: Operation
    row: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class CloseHold(Effect[Result | None]):
    """
    Settle or release a hold, whatever it takes: None says that the books were out of reach, and that the
    operation is tried again in the background until it is written.

    Attributes:
        row: The decision record, written in the same transaction; None where the call goes on.
        health: What the call says about its model, likewise.
    """

    op: Settle | Release
    row: Mapping[str, object] | None
    health: CallDelta | None = None


@dataclass(frozen=True, slots=True)
class Note(Effect[None]):
    """Write a decision record that no movement of money carries; a refusal in a storm is only counted."""

    row: Mapping[str, object]
    health: CallDelta | None = None


@dataclass(frozen=True, slots=True)
class CheckSwitches(Effect[Halted | None]):
    """Read the kill switches; a reading is good for 20 ms."""

    tenant: str


@dataclass(frozen=True, slots=True)
class FindHold(Effect[HoldRow | None]):
    """Find a hold by its id."""

    hold_id: str


@dataclass(frozen=True, slots=True)
class FindTry(Effect[HoldRow | None]):
    """Find the hold that a tenant's idempotency key made."""

    tenant: str
    key: str


@dataclass(frozen=True, slots=True)
class Send(Effect[Outcome]):
    """Have the edge send the call, and tell what came of it."""

    sending: Sending


@dataclass(frozen=True, slots=True)
class Predict(Effect[Prediction]):
    """Score a prompt with a trained classifier; the prompt itself is kept nowhere."""

    tenant: str
    version: str | None
    prompt: str = field(repr=False)
    task_class: str


@dataclass(frozen=True, slots=True)
class Remember(Effect[None]):
    """Remember how long an answer was, to expect as much of the next call of its kind."""

    tenant: str
    kind: str
    output_tokens: int


def ask(effect: Effect[T]) -> Generator[Effect[Any], Any, T]:
    """
    Yield an effect and return its reply, typed.
    """
    reply: T = yield effect
    return reply


@dataclass(frozen=True, slots=True)
class Ended:
    """
    Steps that have come to their end, with what they returned.
    """

    value: Any


def feed(steps: Generator[Any, Any, Any], reply: Any) -> Any:
    """
    Give steps the reply they wait for (None to begin); returns their next effect, or `Ended`.
    """
    try:
        return steps.send(reply)
    except StopIteration as stop:
        return Ended(stop.value)


def fail(steps: Generator[Any, Any, Any], error: BaseException) -> Any:
    """
    Tell steps that their effect was not carried out to its end; returns their next effect, or `Ended`.
    """
    try:
        return steps.throw(error)
    except StopIteration as stop:
        return Ended(stop.value)
