"""
The rules of the circuit: thresholds, windows and open times, checked when they are made.
"""

from dataclasses import dataclass

from circuit.types import COOLDOWN_S_MAX, GLOBAL, MAX_NANOS, WINDOW_S_MAX


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}; it must be from {low} to {high}")


@dataclass(frozen=True, slots=True)
class Cooldown:
    """
    How long a breaker stays open.

    Attributes:
        base_s: Seconds of the first trip.
        max_s: Ceiling of the doubling; never below *base_s*.
        quiet_s: Seconds closed after which the next trip counts as the first again.
    """

    base_s: int
    max_s: int
    quiet_s: int


@dataclass(frozen=True, slots=True)
class SpendRule:
    """
    Money per window that trips a spend breaker; holds count, so that it acts before the bill.

    Attributes:
        window_s: Length of the window, rounded out to whole buckets.
        max_nanos: Trips at this sum or above; 0 means that nothing may be spent.
        cooldown_s: Seconds open after the first trip; repeated trips double it.
        cooldown_s_max: Ceiling of the doubling.
        quiet_s: Seconds closed after which the doubling starts anew.
    """

    window_s: int
    max_nanos: int
    cooldown_s: int
    cooldown_s_max: int = 3_600
    quiet_s: int = 600

    def __post_init__(self) -> None:
        _within("window_s", self.window_s, 1, WINDOW_S_MAX)
        _within("max_nanos", self.max_nanos, 0, MAX_NANOS)
        _within("cooldown_s", self.cooldown_s, 1, COOLDOWN_S_MAX)
        _within("cooldown_s_max", self.cooldown_s_max, 1, COOLDOWN_S_MAX)
        _within("quiet_s", self.quiet_s, 0, COOLDOWN_S_MAX)

    @property
    def cooldown(self) -> Cooldown:
        """
        The open times of this rule.
        """
        return Cooldown(self.cooldown_s, max(self.cooldown_s, self.cooldown_s_max), self.quiet_s)


@dataclass(frozen=True, slots=True)
class ProviderRule:
    """
    Share of failed calls per window that trips a provider breaker.

    Attributes:
        window_s: Length of the window, rounded out to whole buckets.
        min_calls: Fewer calls than this in the window never trip.
        failure_ratio: Trips at this share or above.
        cooldown_s: Seconds open after the first trip; failed probes and repeated trips double it.
        cooldown_s_max: Ceiling of the doubling.
        quiet_s: Seconds closed after which the doubling starts anew.
        probe_lease_s: Seconds after which a probe without an outcome counts as failed.
    """

    window_s: int = 60
    min_calls: int = 20
    failure_ratio: float = 0.5
    cooldown_s: int = 30
    cooldown_s_max: int = 900
    quiet_s: int = 600
    probe_lease_s: int = 120

    def __post_init__(self) -> None:
        _within("window_s", self.window_s, 1, WINDOW_S_MAX)
        _within("min_calls", self.min_calls, 1, 1_000_000)
        _within("cooldown_s", self.cooldown_s, 1, COOLDOWN_S_MAX)
        _within("cooldown_s_max", self.cooldown_s_max, 1, COOLDOWN_S_MAX)
        _within("quiet_s", self.quiet_s, 0, COOLDOWN_S_MAX)
        _within("probe_lease_s", self.probe_lease_s, 1, COOLDOWN_S_MAX)
        if not 0.0 < self.failure_ratio <= 1.0:
            raise ValueError(f"failure_ratio is {self.failure_ratio}; it must be above 0 and at most 1")

    @property
    def cooldown(self) -> Cooldown:
        """
        The open times of this rule.
        """
        return Cooldown(self.cooldown_s, max(self.cooldown_s, self.cooldown_s_max), self.quiet_s)


@dataclass(frozen=True, slots=True)
class Rules:
    """
    The rules in force for one tenant; None means that no such breaker trips.
    """

    tenant_spend: SpendRule | None = None
    global_spend: SpendRule | None = None
    provider: ProviderRule | None = None

    def spend_rule(self, scope: str) -> SpendRule | None:
        """
        The spend rule that guards a scope.
        """
        return self.global_spend if scope == GLOBAL else self.tenant_spend
