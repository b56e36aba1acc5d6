"""
A gateway whose clock leaps ahead: nobody's money moves, callers and operators are told why, and it recovers.
"""

import json
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from rig import COST, MESSAGE, Provider, plain, rig_on

import outlay.clock
from gateway import house
from ledger import reads
from ledger.types import Offer, OpenAccount, Reserve, TopUp
from outlay.admin.lots import seal
from outlay.errors import ClockAhead
from outlay.settings import Settings
from outlay.wiring import open_app

DAY_US = 86_400_000_000
USD = 1_000_000_000


class Clock:
    """The clock of this machine, which can be set."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def time_ns(self) -> int:
        """What time.time_ns would say."""
        return time.time_ns() + self.ahead_us * 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Set the clock of the shell."""
    made = Clock()
    monkeypatch.setattr(outlay.clock, "time", SimpleNamespace(time_ns=made.time_ns))
    return made


@pytest.fixture
def neighbour(books_url: str) -> Iterator[Any]:
    """Another process on the same books: one call in flight, and credit that ends within the day."""
    app = open_app(Settings(database_url=books_url))
    at = outlay.clock.now_us()
    app.ledger.do(OpenAccount("bolt", "open", at, "UTC", 5 * USD, None))
    app.ledger.do(TopUp("bolt", "promo", at, amount_nanos=7 * USD, kind="promo", expires_us=at + DAY_US // 2))
    app.ledger.do(Reserve("bolt", "call", at, "bolt-1", (Offer(USD, USD, "{}"),), 900_000_000))
    yield app
    app.close()


def code(body: bytes) -> str:
    """The error code of an answer."""
    return str(json.loads(body)["error"]["details"]["error_code"])


def test_a_leap_burns_nobodys_money(
    serving: Any, scripted: Provider, books_url: str, neighbour: Any, clock: Clock, http: Any,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """
    While the clock is a day ahead a call in flight is settled at its cost, new ones are told
    `outlay_clock_ahead` and may try again elsewhere, the gateway is not ready, its log says why, its sweeps
    touch nothing; then all goes on.
    """
    monkeypatch.setattr(house, "SWEEP_S", 0.05)
    scripted.pieces = [1.0, plain(MESSAGE)]
    answers: list[int] = []
    with rig_on(serving, scripted, books_url) as rig:
        url, app = rig.running.url, rig.app
        thread = threading.Thread(target=lambda: answers.append(rig.call()[0]))
        thread.start()
        while not scripted.requests:
            time.sleep(0.01)
        clock.ahead_us = DAY_US
        status, body, headers = rig.call()
        assert (status, code(body), headers["x-should-retry"]) == (503, "outlay_clock_ahead", "true")
        assert b"set the clock" in body
        ready, told, _ = http("GET", f"{url}/readyz")
        assert (ready, told["error"]["details"]["error_code"]) == (503, "outlay_clock_ahead")
        assert http("GET", f"{url}/healthz")[0] == 200
        with pytest.raises(ClockAhead):
            seal(app)
        thread.join()
        time.sleep(0.3)  # a few sweeps
        assert answers == [200]
        assert len(scripted.requests) == 1
        clock.ahead_us = 0
        assert rig.balance["day"]["spent_usd"] == COST
        assert rig.balance["held_usd"] == "0.00"
        with app.reading() as conn:
            hold, account = reads.hold(conn, "bolt-1"), reads.account(conn, "bolt")
        assert hold is not None
        assert account is not None
        assert (hold.state, account.credit_nanos, account.held_nanos) == ("open", 12 * USD, USD)
        assert http("GET", f"{url}/readyz")[0] == 200
        scripted.pieces = [plain(MESSAGE)]
        assert rig.call()[0] == 200
    said = {record.getMessage() for record in caplog.records if record.levelname == "ERROR"}
    assert said
    assert all("the books are not cared for: the clock of this process says" in line for line in said)
    caplog.clear()


def test_an_order_of_an_operator_is_refused_by_its_clock(
    serving: Any,
    scripted: Provider,
    books_url: str,
    clock: Clock,
    http: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """
    A top-up by the control plane says the same code; with the same key it is made once the clock is right.
    """
    settings = Settings(database_url=books_url, upstream_url=scripted.url, admin_key="admin-secret")
    with serving(settings) as running:
        made = http("POST", f"{running.url}/outlay/v1/tenants", json={"tenant": "acme", "credit": "5"})
        assert made[0] in (200, 201), made
        order = {"json": {"amount": "1", "idempotency_key": "inv-1"}}
        place = f"{running.url}/outlay/v1/tenants/acme/top-ups"
        clock.ahead_us = DAY_US
        status, body, _ = http("POST", place, **order)
        assert (status, body["error"]["details"]["error_code"]) == (503, "outlay_clock_ahead")
        clock.ahead_us = 0
        status, body, _ = http("POST", place, **order)
        assert status in (200, 201)
        assert body["credit_usd"] == "6.00"
    said = {record.getMessage() for record in caplog.records if record.levelname == "ERROR"}
    assert all(line.startswith("the books are not cared for") for line in said)
    caplog.clear()
