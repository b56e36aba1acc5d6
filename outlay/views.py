"""
What one reading of the database says about a call, and the router's words for it. Pure.
"""

from dataclasses import dataclass
from typing import Final

from circuit.rules import Rules
from circuit.types import Snapshot
from ledger.types import Gauge
from router.policy import Policy
from router.types import Budget, Cache, Headroom

CACHE_WARM_US: Final = 5 * 60 * 1_000_000
"""How long the provider keeps a prompt cache that nobody asked it to keep longer."""
EXPECTED_SHARE: Final = 4
"""Without history an answer is expected to use one part in this many of max_tokens."""


@dataclass(frozen=True, slots=True)
class View:
    """
    Everything that a call is decided by, as one reading of the database saw it.

    Attributes:
        policy, policy_tenant, policy_version: The policy in force; version 0 is the packaged one.
        known: Whether the tenant has an account.
        credit_full_nanos: Credits that count as full; None leaves credits out of the remaining share.
        level: Degradation steps in force for this tenant so far.
        last_model, prompt_tokens, answered_us: The last answer in this session; empty where there was none.
        models: All models that have answered in this session.
        expected_output_tokens: What calls like this one have used; None before there is history.
    """

    policy: Policy
    policy_tenant: str
    policy_version: int
    rules: Rules
    snapshot: Snapshot
    known: bool
    gauges: tuple[Gauge, ...] = ()
    multiplier_ppm: int = 1_000_000
    credit_full_nanos: int | None = None
    level: int = 0
    last_model: str = ""
    prompt_tokens: int = 0
    answered_us: int = 0
    models: frozenset[str] = frozenset()
    expected_output_tokens: int | None = None

    @property
    def enforced(self) -> bool:
        """
        Tell whether decisions take effect, or are only written down.
        """
        return self.policy.enforcement.mode == "enforce"


def headroom(view: View) -> Headroom:
    """
    Put the ledger's gauges in the router's words.
    """
    credit = next((gauge for gauge in view.gauges if gauge.name == "credit"), None)
    budgets = tuple(
        Budget(g.name, g.limit_nanos, g.spent_nanos, g.held_nanos, g.expected_held_nanos, g.resets_us)
        for g in view.gauges
        if g.name != "credit"
    )
    posted = 0 if credit is None or credit.limit_nanos is None else credit.limit_nanos
    return Headroom(
        budgets=budgets,
        credit_available_nanos=None if credit is None else posted - credit.held_nanos,
        credit_expected_nanos=None if credit is None else posted - credit.expected_held_nanos,
        credit_full_nanos=view.credit_full_nanos,
        multiplier_ppm=view.multiplier_ppm,
    )


def cache(view: View, now_us: int) -> Cache | None:
    """
    Tell where the session's prompt cache is warm; None where Outlay has not seen the session.
    """
    if view.last_model == "":
        return None
    warm = now_us - view.answered_us <= CACHE_WARM_US
    return Cache(view.last_model, view.prompt_tokens) if warm else Cache()


def expected_output_tokens(view: View, max_tokens: object) -> int:
    """
    Expect what calls like this one have used, else a share of what they may use.
    """
    if view.expected_output_tokens is not None:
        return view.expected_output_tokens
    if isinstance(max_tokens, int) and not isinstance(max_tokens, bool):
        return max_tokens // EXPECTED_SHARE
    return 0
