"""
The ledger's pure core against an independent auditor: any history, several tenants, time over every boundary.

Derandomised and bounded here; `OUTLAY_TEST_LONG=1` searches new histories, many more of them.
"""

import os
from typing import Any

import ledger_world
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from ledger_world import HOUR_US, LIMITS, MINUTE_US, PLACES, PPMS, SCOPES, TTLS, ZONES, World

LONG = "OUTLAY_TEST_LONG" in os.environ
TENANTS = st.sampled_from(("acme", "bolt", "core"))
SOME = st.integers(0, 1_000)
AMOUNTS = st.integers(0, 9_000)
LASTS = st.none() | st.sampled_from((1, MINUTE_US, 5 * HOUR_US, 48 * HOUR_US))


class LedgerMachine(RuleBasedStateMachine):
    """Drives three tenants; every answer and every row is compared after every step."""

    @initialize(
        start_s=st.sampled_from(ledger_world.STARTS_S),
        zones=st.tuples(*[st.sampled_from(ZONES)] * 3),
        ppm=st.sampled_from(PPMS),
        limit=st.sampled_from(LIMITS),
        credit=st.sampled_from((0, 5_000, 12_000)),
    )
    def open(self, start_s: int, zones: tuple[str, ...], ppm: int, limit: int | None, credit: int) -> None:
        """Open the accounts."""
        self.world = World(start_s * 1_000_000, ("acme", "bolt", "core"))
        for tenant, zone in zip(self.world.tenants, zones, strict=True):
            self.world.open(tenant, zone, credit, limit, ppm)

    @rule(
        tenant=TENANTS, costs=st.lists(AMOUNTS, min_size=1, max_size=3), ttl_us=st.sampled_from(TTLS),
        scopes=st.sampled_from(SCOPES), waits=st.booleans(), enforce=st.booleans(), sticky=st.booleans(),
        half=st.booleans(), body=st.booleans(), skew_us=st.sampled_from((0, MINUTE_US)),
    )  # fmt: skip
    def reserve(self, tenant: str, costs: list[int], **how: Any) -> None:
        """Reserve."""
        self.world.reserve(tenant, costs, **how)

    @rule(tenant=TENANTS, place=SOME, cost=AMOUNTS)
    def settle(self, tenant: str, place: int, cost: int) -> None:
        """Settle some hold, whatever its state."""
        self.world.settle(tenant, place, cost)

    @rule(tenant=TENANTS, place=SOME)
    def release(self, tenant: str, place: int) -> None:
        """Release some hold."""
        self.world.release(tenant, place)

    @rule(tenant=TENANTS, place=SOME, ttl_us=st.sampled_from(TTLS))
    def renew(self, tenant: str, place: int, ttl_us: int) -> None:
        """Renew some hold."""
        self.world.renew(tenant, place, ttl_us)

    @rule(tenant=TENANTS, place=SOME, amount=st.none() | AMOUNTS)
    def refund(self, tenant: str, place: int, amount: int | None) -> None:
        """Refund some hold."""
        self.world.refund(tenant, place, amount)

    @rule(tenant=TENANTS, place=SOME, cost=AMOUNTS)
    def correct(self, tenant: str, place: int, cost: int) -> None:
        """Tell another cost of some hold."""
        self.world.correct(tenant, place, cost)

    @rule(
        tenant=TENANTS, amount=AMOUNTS, kind=st.sampled_from(("paid", "promo")), lasts_us=LASTS,
        priority=st.integers(0, 2), later_us=LASTS,
    )  # fmt: skip
    def top_up(self, tenant: str, **how: Any) -> None:
        """Top up."""
        self.world.top_up(tenant, **how)

    @rule(tenant=TENANTS, amount=st.integers(-9_000, 9_000))
    def adjust(self, tenant: str, amount: int) -> None:
        """Correct the credit by hand."""
        self.world.adjust(tenant, amount)

    @rule(
        tenant=TENANTS, place=SOME, amount=st.none() | AMOUNTS, freeze=st.booleans(),
        kind=st.sampled_from(("reversal", "chargeback")),
    )  # fmt: skip
    def reverse(self, tenant: str, place: int, **how: Any) -> None:
        """Take a lot back."""
        self.world.reverse(tenant, place, **how)

    @rule(
        tenant=TENANTS, place=st.sampled_from(PLACES), limit=st.none() | AMOUNTS, lasts_us=LASTS,
        counts=st.sampled_from((None, "charge", "cost")),
    )  # fmt: skip
    def set_budget(self, tenant: str, **how: Any) -> None:
        """Set a limit, for good or for a while."""
        self.world.set_budget(tenant, **how)

    @rule(
        tenant=TENANTS, frozen=st.none() | st.booleans(), timezone=st.none() | st.sampled_from(ZONES),
        multiplier_ppm=st.none() | st.sampled_from(PPMS), overage=st.sampled_from((None, "debt", "absorb")),
    )  # fmt: skip
    def set_account(self, tenant: str, **how: Any) -> None:
        """Change settings."""
        self.world.set_account(tenant, **how)

    @rule(place=SOME, other=st.booleans())
    def repeat(self, place: int, other: bool) -> None:
        """Ask again what was asked before, or something else with its key."""
        self.world.repeat(place, other=other)

    @rule(amount_us=st.sampled_from((1, MINUTE_US, HOUR_US, 13 * HOUR_US, 26 * HOUR_US, 31 * 24 * HOUR_US)))
    def pass_time(self, amount_us: int) -> None:
        """Let time pass."""
        self.world.pass_time(amount_us)

    @rule(tenant=TENANTS, aside_us=st.sampled_from((-1, 0, 1)))
    def go_to_day_end(self, tenant: str, aside_us: int) -> None:
        """Stand at the end of a tenant's day."""
        self.world.go_to_day_end(tenant, aside_us)

    @rule(tenant=TENANTS)
    def sweep(self, tenant: str) -> None:
        """Sweep."""
        self.world.sweep(tenant)

    @rule(tenant=TENANTS)
    def note(self, tenant: str) -> None:
        """Move nothing."""
        self.world.note(tenant)

    def teardown(self) -> None:
        """No tenant was touched by the work of another."""
        if hasattr(self, "world"):
            self.world.check()


def test_any_history_is_what_the_auditor_says() -> None:
    """
    Whatever is asked in whatever order, answers, balances, lots, windows, holds, debts and chains are those
    of the auditor.
    """
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=5_000 if LONG else 250,
            stateful_step_count=60 if LONG else 30,
            deadline=None,
            derandomize=not LONG,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("block", range(40 if LONG else 4))
def test_seeded_histories_are_what_the_auditor_says(block: int) -> None:
    """
    Longer seeded histories (to run one again: `ledger_world.run(SEED)`).
    """
    for seed in range(block * 25, block * 25 + 25):
        ledger_world.run(seed, 300 if LONG else 120)


def test_histories_reach_every_kind_of_movement() -> None:
    """
    The seeded histories are not idle: every kind of movement that the ledger knows occurs in them.
    """
    worlds = [ledger_world.run(seed) for seed in range(30)]
    seen = {move[0] for one in worlds for book in one.auditor.tenants.values() for move in book.moves}
    assert seen >= {
        "topup", "grant", "settle", "expire_capture", "correction", "refund", "forfeit", "debt", "repay",
        "absorb", "adjust", "chargeback", "schedule", "activate", "reversal",
    }  # fmt: skip
