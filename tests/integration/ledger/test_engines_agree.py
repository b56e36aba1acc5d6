"""
The same operations leave the same rows in memory, on SQLite and on PostgreSQL, one by one and in batches.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Engine, text

from ledger import Ledger, reading
from ledger.store_memory import ROW_TYPES, MemoryLedger
from ledger.types import Held, OpenAccount, Result
from ledger.verify import verify


def rows_of(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of the ledger's tables, sorted."""
    with reading(engine) as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))), key=repr)
            for name in ROW_TYPES
        }


def plain(answer: Result) -> object:
    """Return an answer without the gauges, which a repetition shows as of now."""
    return (answer.hold_id, answer.amount_nanos, answer.state) if isinstance(answer, Held) else answer


@pytest.mark.parametrize("seed", range(3))
def test_one_by_one_gives_the_rows_of_the_model(
    simulation: ModuleType, engine: Engine, ledger: Ledger, seed: int
) -> None:
    """
    A seeded script, sent one operation at a time, gets the model's answers and leaves the model's rows.
    """
    model = simulation.run(seed, 80)
    replay = MemoryLedger()
    for op in model.script:
        assert ledger.do(op) == replay.do(op)
    wanted = {name: replay.rows(name) for name in ROW_TYPES}
    assert rows_of(engine) == wanted
    with reading(engine) as connection:
        assert verify(connection).problems == ()


def test_batches_of_many_tenants_give_the_rows_of_the_model(
    simulation: ModuleType, engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    Scripts of several tenants, interleaved and committed in groups by several ledgers in turn, leave the same
    rows as each script alone.
    """
    scripts = [simulation.run(seed, 120, tenant=f"tenant-{seed}").script for seed in range(100, 105)]
    model = MemoryLedger()
    ops = [op for turn in zip(*scripts, strict=False) for op in turn]
    wanted = [model.do(op) for op in ops]
    half = len(ops) // 2
    answers = []
    for part in (ops[:half], ops[half:]):
        one = open_ledger()
        answers.extend([future.result() for future in [one.submit(op) for op in part]])
    assert [plain(answer) for answer in answers] == [plain(answer) for answer in wanted]
    assert rows_of(engine) == {name: model.rows(name) for name in ROW_TYPES}
    with reading(engine) as connection:
        found = verify(connection)
    assert found.problems == ()
    assert found.tenants == 5


def test_a_script_cut_in_two_by_a_restart_goes_on(
    simulation: ModuleType, engine: Engine, open_ledger: Callable[..., Ledger]
) -> None:
    """
    Nothing that matters lives in the process: a ledger opened in the middle of a script carries it on.
    """
    script = simulation.run(7, 60).script
    model = MemoryLedger()
    for place, op in enumerate(script):
        if place % 20 == 0:
            current = open_ledger()
        assert plain(current.do(op)) == plain(model.do(op))
        if place % 20 == 19:
            current.close()
    assert rows_of(engine) == {name: model.rows(name) for name in ROW_TYPES}


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
