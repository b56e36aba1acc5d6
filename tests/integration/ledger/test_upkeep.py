"""
The upkeep of the books amid their work: days are sealed and old rows archived while calls go on.
"""

import json
import random
from collections.abc import Sequence

import ledger_world
import pytest
from sqlalchemy import Engine

from ledger import Ledger, reading
from ledger.archive import Line, take_holds, take_ops
from ledger.seals import check_export, export, make_seals
from ledger.verify import verify

TENANTS = ("acme", "bolt")
HOUR_US = 3_600_000_000
EVERY = 12  # operations between two rounds of upkeep, on average


class Upkeep:
    """What an operator's daily jobs do, at instants of the script."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.exports: list[str] = []
        self.archived: list[Line] = []
        self.forgotten: set[str | None] = set()
        self.steps = 0

    def keep(self, lines: Sequence[Line]) -> None:
        """Take archived rows, as a file would."""
        self.archived.extend(json.loads(json.dumps(lines)))
        for line in lines:
            self.forgotten.add(line["row"].get("op_key", line["row"].get("key")))

    def seal(self, now_us: int) -> None:
        """Seal ended days and keep a copy of the seals."""
        make_seals(self.engine, now_us)
        with reading(self.engine) as connection:
            self.exports.append(export(connection, "an instant"))

    def archive(self, now_us: int, age_us: int) -> None:
        """Take what is old enough out of the books."""
        for tenant in TENANTS:
            self.steps += 1
            before, step = now_us - age_us, f"step-{self.steps}"
            with self.engine.begin() as connection:
                take_holds(connection, tenant, before, step=step, now_us=now_us, most=5, keep=self.keep)
                take_ops(connection, tenant, before, most=7, keep=self.keep)

    def prove(self) -> None:
        """See that the books still add up, and are those of which copies of the seals were kept."""
        with reading(self.engine) as connection:
            assert verify(connection).problems == ()
            for text in self.exports:
                assert list(check_export(connection, text)) == []


@pytest.mark.parametrize("seed", range(3))
def test_seals_and_archive_amid_work_leave_the_books_whole(engine: Engine, seed: int) -> None:
    """
    Wherever in a history days are sealed and old rows taken out, every invariant and every seal still holds.
    """
    rng, upkeep = random.Random(seed), Upkeep(engine)
    with Ledger(engine) as ledger:
        for op in ledger_world.run(seed, 200, TENANTS).script:
            if op.key in upkeep.forgotten:
                continue  # archived: nobody may repeat an order that is older than what is kept
            ledger.do(op)
            if rng.randrange(EVERY) == 0:
                upkeep.archive(op.now_us, rng.choice((0, HOUR_US, 24 * HOUR_US)))
            if rng.randrange(2 * EVERY) == 0:
                upkeep.seal(op.now_us)
                upkeep.prove()
    upkeep.prove()
    taken = {line["table"] for line in upkeep.archived}
    assert {"ledger_hold", "ledger_op"} <= taken, "the history archived nothing and proves nothing"
    assert any(json.loads(text)["seals"] for text in upkeep.exports), "no day was sealed"
