"""
Manual orders: halt, resume, force and reset, each with a reason and an actor.

An order that changes nothing (halting twice, resuming what runs) is a value with a code, no error.
Planning is pure; `Orders` repeats it when somebody else moved the same scope in between.
"""

import abc
from collections.abc import Callable, Sequence

from circuit import breaker, switch
from circuit.types import (
    BreakerState,
    CircuitError,
    Manual,
    ManualCode,
    Standing,
    State,
    Switch,
    Transition,
    is_model_scope,
    is_valid_scope,
)

ATTEMPTS_MAX = 50
TEXT_CHARS_MAX = 1_000
_DONE = {
    State.FORCED_OPEN: (ManualCode.FORCED_OPEN, ManualCode.ALREADY_FORCED_OPEN),
    State.DISABLED: (ManualCode.DISABLED, ManualCode.ALREADY_DISABLED),
    State.CLOSED: (ManualCode.RESET, ManualCode.ALREADY_CLOSED),
}

Plan = Callable[[Standing], Transition | Manual]


def check_texts(scope: str, reason: str, actor: str) -> Manual | None:
    """
    Refuse an order without a reason or an actor, or with text that cannot be stored.
    """
    for name, text, code in (
        ("reason", reason, ManualCode.REASON_REQUIRED),
        ("actor", actor, ManualCode.ACTOR_REQUIRED),
    ):
        if not text.strip():
            return Manual(code, scope, 0, 0, f"give a {name}", "")
        if len(text) > TEXT_CHARS_MAX or "\x00" in text:
            problem = f"{name}: at most {TEXT_CHARS_MAX} characters, none of them NUL"
            return Manual(ManualCode.TEXT_INVALID, scope, 0, 0, problem, "")
    return None


def scope_invalid(scope: str, expected: str) -> Manual:
    """
    Refuse an order for a scope that it cannot be given to.
    """
    return Manual(ManualCode.SCOPE_INVALID, scope, 0, 0, f"scope {scope[:200]!r} is not {expected}", "")


def plan_switch(now: Switch, *, halt: bool, reason: str, actor: str, now_us: int) -> Transition | Manual:
    """
    Plan to turn a kill switch, or say that it stands like that already.
    """
    if now.halted is halt:
        return answer_switch(now, ManualCode.ALREADY_HALTED if halt else ManualCode.NOT_HALTED)
    return switch.turn(now, halt=halt, now_us=now_us, reason=reason, actor=actor)


def plan_breaker(
    now: BreakerState, to: State, *, reason: str, actor: str, now_us: int
) -> Transition | Manual:
    """
    Plan to move a breaker by hand, or say that it stands like that already.
    """
    if now.state is to:
        return answer_breaker(now, _DONE[to][1])
    return breaker.force(now, to, now_us, reason, actor)


def answer_switch(now: Switch, code: ManualCode) -> Manual:
    """
    Say how a kill switch stands.
    """
    return Manual(code, now.scope, now.epoch, now.changed_us, now.reason, now.actor)


def answer_breaker(now: BreakerState, code: ManualCode) -> Manual:
    """
    Say how a breaker stands.
    """
    return Manual(code, now.scope, now.version, now.changed_us, now.reason, now.actor)


class Orders(abc.ABC):
    """
    The manual orders of a store, over its reading and its compare-and-set.
    """

    @abc.abstractmethod
    def standing(self, scopes: Sequence[str] | None = None) -> Standing:
        """
        Read the breakers and switches of some scopes, or of all that ever moved.
        """

    @abc.abstractmethod
    def apply(self, transitions: Sequence[Transition]) -> tuple[Transition, ...]:
        """
        Make the transitions whose version is still the stored one; return those that were made.
        """

    def halt(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Turn the kill switch of `global` or of a tenant; every later reading of any process sees it.
        """
        return self._turn(scope, True, reason, actor, now_us)

    def resume(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Turn the kill switch of exactly this scope back; a halt of another scope stays.
        """
        return self._turn(scope, False, reason, actor, now_us)

    def force(self, scope: str, state: State, reason: str, actor: str, now_us: int) -> Manual:
        """
        Hold a breaker forced open, or disable it, until a reset.
        """
        assert state in (State.FORCED_OPEN, State.DISABLED)
        return self._move(scope, state, reason, actor, now_us)

    def reset(self, scope: str, reason: str, actor: str, now_us: int) -> Manual:
        """
        Close a breaker from any state; what was spent before no longer counts against it.
        """
        return self._move(scope, State.CLOSED, reason, actor, now_us)

    def _turn(self, scope: str, halt: bool, reason: str, actor: str, now_us: int) -> Manual:
        if is_model_scope(scope) or not is_valid_scope(scope):
            return scope_invalid(scope, "'global' or 'tenant:NAME'")

        def plan(standing: Standing) -> Transition | Manual:
            now = standing.switches[0] if standing.switches else Switch(scope)
            return plan_switch(now, halt=halt, reason=reason, actor=actor, now_us=now_us)

        made = self._carry_out(scope, reason, actor, plan)
        if isinstance(made, Manual):
            return made
        return answer_switch(switch.after(made), ManualCode.HALTED if halt else ManualCode.RESUMED)

    def _move(self, scope: str, to: State, reason: str, actor: str, now_us: int) -> Manual:
        if not is_valid_scope(scope):
            return scope_invalid(scope, "'global', 'tenant:NAME' or 'model:ID'")

        def plan(standing: Standing) -> Transition | Manual:
            now = standing.breakers[0] if standing.breakers else BreakerState(scope)
            return plan_breaker(now, to, reason=reason, actor=actor, now_us=now_us)

        made = self._carry_out(scope, reason, actor, plan)
        return made if isinstance(made, Manual) else answer_breaker(breaker.after(made), _DONE[to][0])

    def _carry_out(self, scope: str, reason: str, actor: str, plan: Plan) -> Transition | Manual:
        refusal = check_texts(scope, reason, actor)
        if refusal is not None:
            return refusal
        for _ in range(ATTEMPTS_MAX):
            planned = plan(self.standing((scope,)))
            if isinstance(planned, Manual):
                return planned
            if self.apply((planned,)):
                return planned
        raise CircuitError(f"{scope} was moved by others {ATTEMPTS_MAX} times in a row; try again")
