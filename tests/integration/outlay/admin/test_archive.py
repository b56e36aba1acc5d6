"""
What is archived leaves the database whole, is in the file, and the books still prove themselves.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from ledger.errors import OperationFailed
from ledger.types import (
    Held,
    Offer,
    Reason,
    Refund,
    Refused,
    Release,
    Renew,
    Reserve,
    Settle,
    settle_key,
)
from outlay.admin import archive as archives
from outlay.admin import books, money, statements
from outlay.admin.captured import settle
from outlay.calls import Completed
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.fields import instant_text
from outlay.tables import decision
from outlay.wiring import App

MakeCall = Callable[..., str]
DAY_US = 86_400 * 1_000_000


def count(app: App, table: str) -> int:
    """Count the rows of a table."""
    with app.reading() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.fixture
def ripe(app: App, acme: dict[str, Any], make_call: MakeCall, monkeypatch: pytest.MonkeyPatch) -> App:
    """Calls of every end, looked at a year later: served, released, refunded, captured, still open."""
    usage = {"input_tokens": 100, "output_tokens": 50}
    served = [make_call(outcome=Completed("claude-haiku-5-5", usage)) for _ in range(3)]
    at = now_us()
    app.ledger.do(Refund("acme", "back", at, served[0]))
    app.ledger.do(Reserve("acme", "k1", at, "free", (Offer(5, 5),)))
    app.ledger.do(Release("acme", "k2", at, "free"))
    app.ledger.do(Reserve("acme", "k3", at, "lost", (Offer(5, 5),), ttl_us=1))
    app.ledger.sweep(at + 9)
    app.ledger.do(Reserve("acme", "k4", at, "open", (Offer(5, 5),), ttl_us=30 * DAY_US))
    monkeypatch.setattr(archives, "now_us", lambda: at + 400 * DAY_US)
    return app


def tomorrow() -> str:
    """An instant after every call and window of the test."""
    return str(instant_text(now_us() + 2 * DAY_US))


def test_archived_rows_are_in_the_file_and_the_books_still_verify(ripe: App, tmp_path: Path) -> None:
    """
    Settled and released holds go with their decisions and keys; a capture and an open hold stay.
    """
    balance, statement = money.balance(ripe, "acme"), statements.statement(ripe, "acme")
    decisions = count(ripe, "outlay_decision")
    file = tmp_path / "old.jsonl"
    done = archives.archive(ripe, tomorrow(), str(file))
    assert (done["holds"], count(ripe, "ledger_hold")) == (4, 2)
    assert done["decisions"] == decisions - count(ripe, "outlay_decision") >= 3
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sum(line["table"] == "ledger_hold" for line in lines) == 4
    assert {line["row"]["key"] for line in lines if line["table"] == "ledger_op"} >= {"k2"}
    assert file.stat().st_mode & 0o077 == 0
    found = books.verify(ripe)
    assert found["problems"] == []
    assert money.balance(ripe, "acme") == balance
    assert statements.statement(ripe, "acme") == statement
    assert archives.archive(ripe, tomorrow(), str(tmp_path / "again"))["holds"] == 0


def test_the_log_is_append_only_again(ripe: App, tmp_path: Path) -> None:
    """
    The guard that was taken away for the archive is back.
    """
    archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    with pytest.raises(Exception, match="append-only"), ripe.engine.begin() as connection:
        connection.execute(text("DELETE FROM ledger_archive"))
    row: dict[str, object] = {
        c.name: "" if str(c.type) == "TEXT" else 0 for c in decision.columns if not c.nullable
    }
    with ripe.engine.begin() as connection:
        connection.execute(insert(decision).values({**row, "stream": False, "id": "new"}))
    with pytest.raises(Exception, match="append-only"), ripe.engine.begin() as connection:
        connection.execute(text("DELETE FROM outlay_decision"))


def test_a_forged_sum_of_the_archive_is_found(ripe: App, tmp_path: Path) -> None:
    """
    A hold deleted by hand, without the archive, is missed by name.
    """
    archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    with ripe.engine.begin() as connection:
        connection.execute(text("UPDATE ledger_archived_window SET spent = spent + 1"))
        connection.execute(text("DELETE FROM ledger_hold WHERE id = 'lost'"))
    found = books.verify(ripe)
    assert not found["checks"]["holds"]
    assert not found["checks"]["windows"]


def test_a_disk_that_is_full_loses_nothing(
    ripe: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Rows whose lines could not be written stay in the books.
    """

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.os, "fsync", full)
    before = count(ripe, "ledger_hold"), count(ripe, "outlay_decision")
    with pytest.raises(Rejected, match="No space"):
        archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    assert (count(ripe, "ledger_hold"), count(ripe, "outlay_decision")) == before
    assert books.verify(ripe)["ok"]


def test_what_may_still_change_is_not_archived(app: App, acme: dict[str, Any], tmp_path: Path) -> None:
    """
    A date of this week, a file that is there, no date at all: nothing is written.
    """
    taken = tmp_path / "there"
    taken.write_text("mine")
    for before, path, field in (
        (tomorrow(), tmp_path / "new", "before"), ("soon", tmp_path / "new", "before"),
        ("2020-01-01", taken, "to"), ("2020-01-01", tmp_path / "no" / "folder", "to"),
    ):  # fmt: skip
        with pytest.raises(BadInput) as caught:
            archives.archive(app, before, str(path))
        assert (caught.value.field, bool(caught.value.fix)) == (field, True)
    assert taken.read_text() == "mine"
    assert not (tmp_path / "new").exists()


def test_a_settlement_after_the_archive_is_refused_by_name(ripe: App, tmp_path: Path) -> None:
    """
    The archive is final: a hold that left is not known any more, a capture that stayed is still corrected.
    """
    archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    refused = ripe.ledger.do(Settle("acme", "late", now_us(), "free", 3))
    assert getattr(refused, "reason", None) == "unknown_hold"
    assert getattr(ripe.ledger.do(Settle("acme", "late2", now_us(), "lost", 3)), "late", False) is True
    assert books.verify(ripe)["problems"] == []


def test_an_archived_hold_is_not_closed_renewed_or_refunded_again(ripe: App, tmp_path: Path) -> None:
    """
    Whatever names it is refused and books nothing, in words that say what is left to do; an operator's order
    that comes again under its key still gets its answer.
    """
    hold_id = statements.statement(ripe, "acme")["lines"][2]["hold"]
    first = money.refund(ripe, hold_id, amount="0.000001", idempotency_key="r", actor="t")
    told = settle(ripe, hold_id, "0.0001", reason="bill", idempotency_key="s", actor="t")
    archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    before, at = money.balance(ripe, "acme"), now_us()
    for op in (
        Settle("acme", settle_key(hold_id), at, hold_id, 5),
        Settle("acme", "late", at, hold_id, 5),
        Release("acme", "late", at, hold_id),
        Renew("acme", "late", at, hold_id, DAY_US),
    ):
        assert ripe.ledger.do(op) == Refused(Reason.UNKNOWN_HOLD, {"hold_id": hold_id})
    for order in (
        lambda: money.refund(ripe, hold_id, actor="t"),
        lambda: settle(ripe, hold_id, "0.0002", reason="bill", actor="t"),
    ):
        with pytest.raises(Rejected, match="is archived: what it cost stands") as caught:
            order()
        assert caught.value.code == "unknown_hold"
        assert "outlay adjust acme" in str(caught.value.details["fix"])
    again = money.refund(ripe, hold_id, amount="0.000001", idempotency_key="r", actor="t")
    assert again == {**first, "replayed": True}
    again = settle(ripe, hold_id, "0.0001", reason="bill", idempotency_key="s", actor="t")
    assert again == {**told, "replayed": True}
    assert money.balance(ripe, "acme") == before
    assert books.verify(ripe)["ok"]


def test_an_id_that_a_program_uses_again_after_the_archive_is_found(ripe: App, tmp_path: Path) -> None:
    """
    Outlay's own ids never come again. One that does is a new hold to the ledger, which no longer knows the
    first; `verify` names it.
    """
    at = now_us()
    ripe.ledger.do(Reserve("acme", "mine-1", at, "mine", (Offer(5, 5),)))
    ripe.ledger.do(Settle("acme", "s1", at, "mine", 5))
    with pytest.raises(OperationFailed):
        ripe.ledger.do(Reserve("acme", "mine-2", at, "mine", (Offer(5, 5),)))
    archives.archive(ripe, tomorrow(), str(tmp_path / "old"))
    assert books.verify(ripe)["ok"]
    assert isinstance(ripe.ledger.do(Reserve("acme", "mine-2", at, "mine", (Offer(5, 5),))), Held)
    ripe.ledger.do(Settle("acme", "s2", at, "mine", 5))
    assert any("hold mine was charged" in problem for problem in books.verify(ripe)["problems"])
