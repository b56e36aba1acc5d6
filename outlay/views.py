"""
What one reading of the database says about a call, and the router's words for it. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from circuit.rules import Rules
from circuit.types import Snapshot
from ledger.types import Gauge, Reason, Refused
from pricing.money import PPM, scale_ceil
from router.complexity import task_class
from router.policy import Policy
from router.types import Budget, Cache, Evidence, Headroom, Known, Profile

EXPECTED_SHARE: Final = 4
"""Without history an answer is expected to use one part in this many of max_tokens."""


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """
    What the newest calls of a session were served with.

    Attributes:
        cached_tokens: Prompt tokens that the cache of `last_model` got or gave with the last call.
        models: Every model that served one of the newest calls.
        last_us: When the last call ended; a prompt cache lives for minutes.
        tier, effort, asked_model, task: Of the last call.
        turn: What recognises the last call when it is asked again (`outlay/sessions.py`); None where its
            answer broke off, as then the same is asked for another reason.
        wanted_effort: Effort that the last call would have had as it was asked.
        routed_tier: Tier that the last call started from with money to spare; None where that is not known.
        escalated: A signal has raised the session.
        score_ppm: Newest score of the last answer; None where nobody judged it.
        turns_of_others: How many of the tenant's recent sessions had a first answer, a second and so on.
    """

    last_model: str
    cached_tokens: int
    models: frozenset[str]
    last_us: int
    tier: str | None = None
    effort: str | None = None
    asked_model: str = ""
    task: str | None = None
    turn: str | None = None
    wanted_effort: str | None = None
    escalated: bool = False
    score_ppm: int | None = None
    turns_of_others: tuple[int, ...] = ()
    routed_tier: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """
    Everything that a call is decided by, as one reading of the database saw it.

    Attributes:
        policy, policy_tenant, policy_version: The policy in force; version 0 is the packaged one.
        known: Whether the tenant has an account; `frozen` and `debt_nanos` are its own.
        credit_full_nanos: Credits that count as full; None leaves credits out of the remaining share.
        level: Degradation steps in force for this tenant so far.
        measured: What has been measured of models and of this tenant's calls.
        evidence: Scores of the tenant's downgraded calls by task class; None where the policy asks for none.
        timezone: The tenant's own; its callers are told instants with the offset of it.
    """

    policy: Policy
    policy_tenant: str
    policy_version: int
    rules: Rules
    snapshot: Snapshot
    known: bool
    frozen: bool = False
    gauges: tuple[Gauge, ...] = ()
    multiplier_ppm: int = 1_000_000
    credit_full_nanos: int | None = None
    level: int = 0
    measured: Known = field(default_factory=Known)
    evidence: Mapping[str, Evidence] | None = None
    timezone: str = "UTC"
    debt_nanos: int = 0

    @property
    def enforced(self) -> bool:
        """
        Tell whether decisions take effect, or are only written down.
        """
        return self.policy.enforcement.mode == "enforce"

    @property
    def barred(self) -> Refused | None:
        """
        Say what the ledger would refuse every call of this account with, whatever it may cost.
        """
        if self.frozen:
            return Refused(Reason.FROZEN)
        if self.debt_nanos == 0:
            return None
        wallet = next((gauge.limit_nanos for gauge in self.gauges if gauge.name == "credit"), None)
        return Refused(Reason.IN_DEBT, {"debt_nanos": self.debt_nanos, "wallet_nanos": wallet})


def recorded(record: Mapping[str, Any], view: View) -> dict[str, Any]:
    """
    Add to a decision record what it was decided under.
    """
    return {
        **record,
        "mode": view.policy.enforcement.mode,
        "policy_tenant": view.policy_tenant,
        "policy_version": view.policy_version,
        "level": view.level,
    }


def headroom(view: View) -> Headroom:
    """
    Put the ledger's gauges in the router's words.
    """
    credit = next((gauge for gauge in view.gauges if gauge.name == "credit"), None)
    budgets = tuple(_budget(gauge, view.multiplier_ppm) for gauge in view.gauges if gauge.name != "credit")
    posted = 0 if credit is None or credit.limit_nanos is None else credit.limit_nanos
    return Headroom(
        budgets=budgets,
        credit_available_nanos=None if credit is None else posted - credit.held_nanos,
        credit_expected_nanos=None if credit is None else posted - credit.expected_held_nanos,
        credit_full_nanos=view.credit_full_nanos,
        multiplier_ppm=view.multiplier_ppm,
    )


def _budget(gauge: Gauge, multiplier_ppm: int) -> Budget:
    """
    Put a budget in what the tenant pays, in which the router compares; never more than there is.
    """
    ppm = multiplier_ppm if gauge.counts_cost and multiplier_ppm > 0 else PPM
    return Budget(
        name=gauge.name,
        limit_nanos=None if gauge.limit_nanos is None else gauge.limit_nanos * ppm // PPM,
        spent_nanos=scale_ceil(gauge.spent_nanos, ppm),
        held_nanos=scale_ceil(gauge.held_nanos, ppm),
        expected_held_nanos=scale_ceil(gauge.expected_held_nanos, ppm),
        resets_us=gauge.resets_us,
    )


def known(view: View, profile: Profile, memory: SessionMemory | None = None) -> Known:
    """
    Add to what is known of everything what is known of the calls that this one is counted with.
    """
    found = view.measured
    if memory is not None:
        found = replace(found, session_turns=memory.turns_of_others)
    if view.evidence is None:
        return found
    name = task_class(profile)
    return replace(found, evidence=view.evidence.get(name, Evidence(name)))


def cache(memory: SessionMemory | None, now_us: int) -> Cache | None:
    """
    Tell where the session's prompt cache is and how old; None where Outlay has not seen the session.
    """
    if memory is None:
        return None
    age_s = (max(0, now_us - memory.last_us) + 999_999) // 1_000_000
    return Cache(memory.last_model, memory.cached_tokens, age_s)


def expected_output_tokens(usual: int | None, max_tokens: object) -> int:
    """
    Expect what calls like this one have used, else a share of what they may use.
    """
    if usual is not None:
        return usual
    if not isinstance(max_tokens, int):
        return 0  # classification will say what is wrong with it
    return max_tokens // EXPECTED_SHARE
