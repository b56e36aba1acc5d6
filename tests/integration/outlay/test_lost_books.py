"""
Books whose SQLite file is taken away while they are open: no call starts, and calls under way are not lost.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import outlay
from outlay.admin.books import verify
from outlay.calls import CallRequest, Completed, Done
from outlay.errors import BooksUnavailable

BODY = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
USAGE = {"input_tokens": 100_000, "output_tokens": 0}  # 0.01 USD


@contextmanager
def taken_away(file: Path) -> Iterator[None]:
    """Move a database and its companions, and put them back."""
    away = [(one, one.with_name(f"away-{one.name}")) for one in file.parent.glob(f"{file.name}*")]
    for here, there in away:
        here.rename(there)
    yield
    assert not file.exists(), "new, empty books were made in its place"
    for here, there in away:
        there.rename(here)


def test_calls_wait_for_books_that_are_taken_away(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An answer is not withheld, its cost waits on disk, no new call starts; back in place, the books go on.
    """
    monkeypatch.setenv("OUTLAY_SPOOL", str(tmp_path / "spool"))
    with outlay.open(sqlite_url) as books:
        books.create_tenant("acme", credit="10")
        call = books.calls.start(CallRequest("acme", BODY, surface="python"))
        with taken_away(Path(sqlite_url.removeprefix("sqlite:///"))):
            began = time.monotonic()
            assert isinstance(call.resume(Completed("claude-haiku-5-5", USAGE)), Done)
            for refused in (
                lambda: books.hold("acme", BODY),
                lambda: books.top_up("acme", "1", idempotency_key="once"),
                lambda: books.halt(reason="x"),
            ):
                with pytest.raises(BooksUnavailable):
                    refused()
            assert time.monotonic() - began < 5
            assert list((tmp_path / "spool").iterdir()) != []
        until = time.monotonic() + 30
        while books.balance("acme")["held_usd"] != "0.00" and time.monotonic() < until:
            time.sleep(0.05)
        books.top_up("acme", "1", idempotency_key="once")
        assert books.balance("acme")["credit_usd"] == "10.99"
        assert verify(books.app)["ok"]
