"""
Books in a process that forks (a server that loads before it forks its workers, multiprocessing): they stay
its own; a child reads, is told to open its own for everything else, and harms nothing when it ends.
"""

import subprocess
import sys
from pathlib import Path

import pytest

import outlay
from outlay.admin.books import verify

CHILD = """
import os, sys, time
import outlay
from outlay.calls import CallRequest, Completed, NotSent
from outlay.errors import BooksUnavailable

url, spool = sys.argv[1], sys.argv[2]
os.environ["OUTLAY_SPOOL"] = spool
OFFERS = [{"name": "gpu", "cost_usd": "1"}]

def told(work):
    try:
        work()
    except BooksUnavailable as error:
        assert "is a fork of the one that opened" in str(error), error
        return
    raise AssertionError("a fork wrote with its parent's books")

BODY = {"model": "claude-haiku-5-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}

books = outlay.open(url)
books.create_tenant("acme", credit="10")
call = books.calls.start(CallRequest("acme", BODY, surface="python"))
with books.hold("acme", offers=OFFERS) as hold:
    for number in range(3):
        child = os.fork()
        if child == 0:
            before = books.balance("acme")["available_usd"]
            told(lambda: books.hold("acme", offers=OFFERS))
            told(lambda: books.top_up("acme", "1"))
            told(lambda: hold.settle(cost_usd="0.5"))
            call.resume(NotSent("torn down in the child"))
            books.close()
            with outlay.open(url) as own:
                mine = own.hold("acme", offers=OFFERS)
                mine.settle(cost_usd="0.25")
                assert own.balance("acme")["available_usd"] != before
            sys.exit(0)  # as a worker ends: everything that was inherited is torn down
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        books.top_up("acme", "0.01")  # the parent goes on beside each
    hold.settle(cost_usd="0.5")
assert books.balance("acme")["held_usd"] != "0.00", "a child closed its parent's call"
call.resume(Completed("claude-haiku-5-5", {"input_tokens": 100_000, "output_tokens": 0}))  # 0.01 USD
print(books.balance("acme")["credit_usd"])
books.close()
"""


@pytest.mark.filterwarnings("ignore")
def test_a_fork_leaves_its_parents_books_alone(database_url: str, tmp_path: Path) -> None:
    """Three workers, each with books of its own; the parent settles afterwards, and the books add up."""
    from outlay import schema

    schema.upgrade(database_url)
    words = [sys.executable, "-c", CHILD, database_url, str(tmp_path / "spool")]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    # 10 credits and 3 x 0.01, less 3 x 0.25 of the children, and 0.50 and 0.01 of the parent
    assert ran.stdout == "8.77\n"
    with outlay.open(database_url) as books:
        assert verify(books.app)["ok"]
