"""
The kill switch, global and per tenant: halting, resuming, and what a reading of it means.

Only people (or an API on their behalf) turn it; nothing here expires by itself.
"""

from collections.abc import Mapping

from circuit.types import (
    GLOBAL,
    HALTED,
    RUNNING,
    HaltCode,
    Halted,
    Numbers,
    Subject,
    Switch,
    Transition,
    tenant_scope,
)


def switch_scopes(tenant: str) -> tuple[str, str]:
    """
    The switches that hold for a tenant, the most severe first.
    """
    return (GLOBAL, tenant_scope(tenant))


def halted(switches: Mapping[str, Switch], tenant: str) -> Halted | None:
    """
    Tell whether a tenant is halted, and by which switch; the most severe one wins.
    """
    for scope in switch_scopes(tenant):
        switch = switches.get(scope)
        if switch is not None and switch.halted:
            return _halted(switch)
    return None


def _halted(switch: Switch) -> Halted:
    numbers: Numbers = {"epoch": switch.epoch, "halted_us": switch.changed_us, "actor": switch.actor}
    return Halted(HaltCode.KILL_SWITCH, switch.scope, switch.reason, None, None, numbers)


def turn(switch: Switch, *, halt: bool, now_us: int, reason: str, actor: str) -> Transition:
    """
    Write down a change of the switch.
    """
    return Transition(
        subject=Subject.SWITCH,
        scope=switch.scope,
        version=switch.epoch,
        at_us=now_us,
        from_state=HALTED if switch.halted else RUNNING,
        to_state=HALTED if halt else RUNNING,
        until_us=None,
        trips=0,
        since_us=0,
        rule="manual",
        numbers={},
        actor=actor,
        reason=reason,
    )


def after(transition: Transition) -> Switch:
    """
    The switch that a change leads to; replaying events is folding this.
    """
    assert transition.subject is Subject.SWITCH
    return Switch(
        scope=transition.scope,
        halted=transition.to_state == HALTED,
        epoch=transition.version + 1,
        changed_us=transition.at_us,
        reason=transition.reason,
        actor=transition.actor,
    )
