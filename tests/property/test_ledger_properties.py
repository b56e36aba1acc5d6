"""
The ledger's rules against an independent auditor: random histories, and faults planted on purpose.
"""

import importlib.util
import inspect
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import ledger.accounts
import ledger.admission
import ledger.budget
import ledger.holds
import ledger.postings
import ledger.rules


def _load() -> ModuleType:
    """Load the simulation that lies with the unit tests; tests are not packages."""
    path = Path(__file__).parents[1] / "unit" / "ledger" / "simulation.py"
    spec = importlib.util.spec_from_file_location("ledger_simulation", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ledger_simulation"] = module
    spec.loader.exec_module(module)
    return module


simulation = _load()
COSTS = st.lists(st.integers(0, 6_000), min_size=1, max_size=3)
PLACES = st.integers(0, 1_000)
AMOUNTS = st.integers(0, 9_000)
TTLS = st.sampled_from((1, simulation.HOUR_US, 40 * simulation.HOUR_US))


class LedgerMachine(RuleBasedStateMachine):
    """Drives one tenant; the auditor of the simulation checks after every step."""

    @initialize(
        ppm=st.sampled_from((1_000_000, 1_300_000, 1, 0)),
        limit=st.sampled_from((None, 0, 6_000)),
        overage=st.sampled_from(("debt", "absorb")),
    )
    def open(self, ppm: int, limit: int | None, overage: str) -> None:
        """Open the account."""
        self.sim = simulation.Simulation(ppm=ppm, limit=limit, overage=overage)

    @rule(
        costs=COSTS, ttl_us=TTLS, enforce=st.booleans(), waits=st.booleans(), sticky=st.booleans(),
        scopes=st.sampled_from(((), ("key:a",), ("key:a", "task:b"))),
    )  # fmt: skip
    def reserve(self, costs: list[int], **how: Any) -> None:
        """Reserve."""
        self.sim.reserve(costs, **how)

    @rule(place=PLACES, cost=AMOUNTS)
    def settle(self, place: int, cost: int) -> None:
        """Settle some hold, whatever its state."""
        self.sim.settle(self.sim.pick(place), cost)

    @rule(place=PLACES)
    def release(self, place: int) -> None:
        """Release some hold."""
        self.sim.release(self.sim.pick(place))

    @rule(place=PLACES, ttl_us=TTLS)
    def renew(self, place: int, ttl_us: int) -> None:
        """Renew some hold."""
        self.sim.renew(self.sim.pick(place), ttl_us)

    @rule(place=PLACES, amount=st.none() | AMOUNTS)
    def refund(self, place: int, amount: int | None) -> None:
        """Refund some hold."""
        self.sim.refund(self.sim.pick(place), amount)

    @rule(amount=st.integers(1, 9_000), kind=st.sampled_from(("paid", "promo")), lasts_us=st.none() | TTLS)
    def top_up(self, amount: int, kind: str, lasts_us: int | None) -> None:
        """Top up."""
        self.sim.top_up(amount, kind, lasts_us)

    @rule(
        limit=st.none() | st.integers(0, 9_000), scope=st.sampled_from(("tenant", "key:a", "task:b")),
        window=st.sampled_from(("hour", "day", "week", "month")),
    )  # fmt: skip
    def set_limit(self, limit: int | None, scope: str, window: str) -> None:
        """Set a budget."""
        self.sim.set_limit(limit, scope, window)

    @rule(zone=st.sampled_from(("Europe/Berlin", "Asia/Tokyo", "Pacific/Apia", "America/Havana")))
    def move(self, zone: str) -> None:
        """Change the time zone."""
        self.sim.move(zone)

    @rule(place=PLACES)
    def repeat(self, place: int) -> None:
        """Ask again what was asked before."""
        self.sim.repeat(place)

    @rule(
        amount_us=st.sampled_from((1, simulation.HOUR_US, 13 * simulation.HOUR_US, 30 * simulation.HOUR_US))
    )
    def pass_time(self, amount_us: int) -> None:
        """Let time pass."""
        self.sim.pass_time(amount_us)

    @rule()
    def sweep(self) -> None:
        """Sweep."""
        self.sim.sweep()

    def teardown(self) -> None:
        """The chain and the running balance are whole."""
        if hasattr(self, "sim"):
            self.sim.audit_chain()


def test_any_history_keeps_the_books() -> None:
    """
    Whatever is asked in whatever order, money is conserved, no overspend is admitted, nothing that fits is
    refused, and a repetition changes nothing.
    """
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=150,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("seed", range(60))
def test_seeded_history_keeps_the_books(seed: int) -> None:
    """
    Long seeded histories keep every invariant (to run one again: `simulation.run(SEED)`).
    """
    simulation.run(seed)


FAULTS = (
    ("admission ignores holds", ledger.budget.Meter, "fits", "+ held +", "+ 0 * held +"),
    ("admission ignores the amount", ledger.budget.Meter, "fits", "+ amount <=", "<="),
    ("limit off by one", ledger.budget.Meter, "fits", "<= self.limit", "< self.limit"),
    ("lot forfeited under holds", ledger.postings, "forfeit_due", "account.wallet - account.held",
     "lot.remaining"),
    ("overage takes money held by others", ledger.holds, "_book_charge", "account.wallet - account.held",
     "account.wallet"),
    ("a hold settles twice", ledger.holds, "settle", "hold.state == SETTLED", "hold.state == 99"),
    ("settled hold stays held", ledger.holds, "settle", "if hold.state == OPEN", "if hold.state == 99"),
    ("late settlement charges again", ledger.holds, "_book_charge", "charge - hold.captured", "charge"),
    ("expiry releases", ledger.holds, "_capture", "window.spent += part.amount", "window.spent += 0"),
    ("release of a capture keeps the day spent", ledger.holds, "_uncapture", "-= part.amount", "-= 0"),
    ("refund above the charge", ledger.holds, "refund", "amount > left or amount == 0", "amount == 0"),
    ("refund of yesterday raises no day", ledger.holds, "_refund_windows", "now_us < window.ends_at", "True"),
    ("debt not booked", ledger.holds, "_book_short", "account_of(books).debt += short", "pass"),
    ("debt admits", ledger.admission, "_in_debt", "account.debt == 0", "True"),
    ("top-up forgets debt", ledger.postings, "_repay", "account.debt -= repaid", "pass"),
    ("last offer first", ledger.admission, "select", "return index", "return len(offers) - 1"),
    ("busy called exhausted", ledger.admission, "select", "cheapest.amount(meter), 0)",
     "cheapest.amount(meter), meter.held)"),
    ("charge rounded down", ledger.holds, "settle", "scale_ceil(op.cost_nanos, hold.multiplier_ppm)",
     "op.cost_nanos * hold.multiplier_ppm // 1_000_000"),
    ("settled on the wrong day", ledger.holds, "_count_settled", "window.spent += truth - counted",
     "window.spent += truth"),
    ("expired holds stay open", ledger.holds, "expire_due", "hold.expires_at <= now_us",
     "hold.expires_at < 0"),
    ("repetition acts again", ledger.rules, "_known", "if row is None or", "if True or"),
    ("key with another body accepted", ledger.rules, "_known", "row.req_hash != body", "False"),
    ("transfer skips a number", ledger.postings, "post", "account.seq += 1", "account.seq += 2"),
    ("zone change overlaps", ledger.accounts, "_move_to_zone", "bounds_from(kind, zone, current.ends_at)",
     "bounds_from(kind, zone, current.starts_at)"),
)  # fmt: skip


def _plant(monkeypatch: pytest.MonkeyPatch, home: Any, name: str, old: str, new: str) -> None:
    """Replace a piece of a function's text, wherever the function is used."""
    original = getattr(home, name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(old) >= 1, "the fault does not fit the code any more"
    scope = sys.modules[original.__module__].__dict__
    local: dict[str, Any] = {}
    exec(source.replace(old, new), scope, local)  # planted on purpose
    monkeypatch.setattr(home, name, local[name])
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("ledger.") and getattr(module, name, None) is original:
            monkeypatch.setattr(module, name, local[name])
    for kind, found in list(ledger.rules._RULES.items()):
        if found is original:
            monkeypatch.setitem(ledger.rules._RULES, kind, local[name])


def run_many(seeds: int) -> None:
    """Run many seeded histories."""
    for seed in range(seeds):
        simulation.run(seed, 120)


@pytest.mark.parametrize(
    ("home", "name", "old", "new"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_planted_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, home: Any, name: str, old: str, new: str
) -> None:
    """
    A fault in the rules makes some seeded history fail: the auditor is not blind.
    """
    _plant(monkeypatch, home, name, old, new)
    with pytest.raises((AssertionError, KeyError)):
        run_many(150)
