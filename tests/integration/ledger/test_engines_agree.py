"""
The same operations leave the same rows in memory, on SQLite and on PostgreSQL, one by one and in batches.

What the model does is audited on the way (`ledger_world`), so agreement with it is correctness.
"""

import os
from collections.abc import Callable
from typing import Any

import ledger_world
import pytest
from ledger_world import rows_of_model, stored_rows
from sqlalchemy import Engine

from ledger import Ledger, kept, reading
from ledger.store_memory import ROW_TYPES, MemoryLedger
from ledger.types import Held, OpenAccount, Operation, Result
from ledger.verify import verify

LONG = "OUTLAY_TEST_LONG" in os.environ
SEEDS = range(60 if LONG else 4)


@pytest.fixture(params=["whole", "by scope"])
def loading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants are loaded whole, or only the budgets that their operations need, as of those with many."""
    if request.param == "by scope":
        monkeypatch.setattr(kept, "WHOLE_MAX", 0)


def rows_of(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the ledger's tables, sorted."""
    with reading(engine) as connection:
        return {name: stored_rows(connection, name) for name in ROW_TYPES}


def plain(answer: Result) -> object:
    """Return an answer without the gauges, which a repetition shows as of now."""
    return (answer.hold_id, answer.amount_nanos, answer.state) if isinstance(answer, Held) else answer


def same_rows(engine: Engine, model: MemoryLedger) -> None:
    """Compare table by table, and verify."""
    found = rows_of(engine)
    for name, rows in rows_of_model(model).items():
        assert found[name] == rows, name
    with reading(engine) as connection:
        assert verify(connection).problems == ()


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("seed", SEEDS)
def test_one_by_one_gives_the_rows_of_the_model(engine: Engine, ledger: Ledger, seed: int) -> None:
    """
    A seeded script, sent one operation at a time, gets the model's answers and leaves the model's rows.
    """
    script = ledger_world.run(seed, 150).script
    model = MemoryLedger()
    for op in script:
        assert ledger.do(op) == model.do(op)
    same_rows(engine, model)


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("seed", SEEDS)
def test_batches_of_many_tenants_give_the_rows_of_the_model(
    engine: Engine, open_ledger: Callable[..., Ledger], seed: int
) -> None:
    """
    Scripts of several tenants, interleaved and committed in groups by several ledgers in turn, leave the same
    rows as each script alone.
    """
    scripts = [ledger_world.run(100 + seed * 3 + n, 120, (f"a{n}", f"b{n}")).script for n in range(3)]
    model = MemoryLedger()
    ops = [op for turn in zip(*scripts, strict=False) for op in turn]
    wanted = [model.do(op) for op in ops]
    half = len(ops) // 2
    answers = []
    for part in (ops[:half], ops[half:]):
        one = open_ledger()
        answers.extend([future.result() for future in [one.submit(op) for op in part]])
    assert [plain(answer) for answer in answers] == [plain(answer) for answer in wanted]
    same_rows(engine, model)


def test_a_script_cut_in_pieces_by_restarts_goes_on(
    engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    Nothing that matters lives in the process: a ledger opened in the middle of a script carries it on.
    """
    script: list[Operation] = ledger_world.run(7, 60).script
    model = MemoryLedger()
    for place, op in enumerate(script):
        if place % 20 == 0:
            current = open_ledger()
        assert plain(current.do(op)) == plain(model.do(op))
        if place % 20 == 19:
            current.close()
    same_rows(engine, model)


def test_opening_a_tenant_twice_at_once_opens_it_once(open_ledger: Callable[..., Ledger]) -> None:
    """
    Two processes that open the same tenant at the same instant: one opens it, the other is told so.
    """
    one, two = open_ledger(), open_ledger()
    for turn in range(8):
        asked = [OpenAccount(f"t{turn}", key, 1, "UTC", 5, None) for key in ("a", "b")]
        both = [one.submit(asked[0]), two.submit(asked[1])]
        kinds = sorted(type(future.result(30)).__name__ for future in both)
        assert kinds == ["AccountOpened", "Refused"]
