"""
A disk that is full: callers are told, reading goes on, and nothing that was acknowledged is lost.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import outlay
from outlay.admin.books import verify

SCRIPT = """
import os, resource, sys, time
import outlay
from outlay.calls import CallRequest, Completed
from outlay.errors import BooksUnavailable

url, wal = sys.argv[1], sys.argv[2]
BODY = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

books = outlay.open(url)
books.app.ledger._writer._committer._patience_s = 0.5
books.create_tenant("acme", credit="10")
call = books.calls.start(CallRequest("acme", BODY, surface="python"))
resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(wal) + 50_000, hard))
answered = 0
try:
    while True:
        books.top_up("acme", "0.01", idempotency_key=f"k{answered}")
        answered += 1
except BooksUnavailable as error:
    print(error, file=sys.stderr)
assert 0 < answered < 1_000
assert books.balance("acme")["held_usd"] != "0.00"
done = call.resume(Completed("claude-haiku-5-5", {"input_tokens": 100_000, "output_tokens": 0}))
assert done.outcome == "served"  # it was billed: its answer is not withheld, its cost is booked later
try:
    for _ in range(1_000):  # where a top-up finds no room, a few of these may
        books.hold("acme", offers=[{"name": "gpu", "cost_usd": "0"}])
except BooksUnavailable:
    print("no new call", file=sys.stderr)
if sys.argv[3] == "freed":
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    until = time.monotonic() + 30
    while books.balance("acme")["held_usd"] != "0.00" and time.monotonic() < until:
        time.sleep(0.05)
    books.top_up("acme", "1", idempotency_key="freed")
print(answered, flush=True)
os._exit(0)  # a crash: nothing is put in order
"""


@pytest.mark.parametrize("end", ["freed", "crashed"])
def test_nothing_that_was_acknowledged_is_lost_on_a_full_disk(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """The disk has room again, or the process dies: every answer is in the books, the call at its cost."""
    monkeypatch.setenv("OUTLAY_SPOOL", str(tmp_path / "spool"))
    wal = sqlite_url.removeprefix("sqlite:///") + "-wal"
    words = [sys.executable, "-c", SCRIPT, sqlite_url, wal, end]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "no new call" in ran.stderr
    answered = int(ran.stdout)
    with outlay.open(sqlite_url) as books:
        for number in range(answered):
            assert books.top_up("acme", "0.01", idempotency_key=f"k{number}")["replayed"] is True
        assert verify(books.app)["ok"]
        if end == "freed":
            assert books.balance("acme")["held_usd"] == "0.00"
            # 100,000 tokens at 0.10 USD a million
            credit = 10 + answered / 100 + 1 - 0.01
            assert books.balance("acme")["credit_usd"] == f"{credit:.2f}"
