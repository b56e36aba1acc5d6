"""
Short words for the circuit's tests: a fixed instant, rules and states.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from circuit import BreakerState, Rules, SpendRule, State, Transition
from circuit.rules import ProviderRule
from circuit.types import US_PER_S, Subject


@pytest.fixture
def given() -> SimpleNamespace:
    """Plain values that most tests start from."""
    return SimpleNamespace(
        now_us=1_800_000_000 * US_PER_S,
        s=US_PER_S,
        spend=SpendRule(window_s=300, max_nanos=5_000, cooldown_s=600),
        provider=ProviderRule(),
        rules=Rules(
            tenant_spend=SpendRule(window_s=300, max_nanos=5_000, cooldown_s=600),
            global_spend=SpendRule(window_s=60, max_nanos=50_000, cooldown_s=300),
            provider=ProviderRule(),
        ),
        closed=BreakerState("model:m"),
        breaker=lambda state, **changes: replace(BreakerState("model:m", State(state), version=7), **changes),
        kind=lambda transition: (
            None
            if transition is None
            else (Subject(transition.subject), transition.from_state, transition.to_state)
        ),
        Transition=Transition,
    )
