"""
Classifiers through the gateway: the small model's question and the call itself, over real HTTP.
"""

import json
import threading
import time
from contextlib import suppress
from typing import Any

import aiohttp
import pytest
from rig import DELTA, FINAL, MESSAGE, START, STOP, STREAM_HEAD, Provider, Rig, plain, rig_on

from gateway import house
from ledger import StoreUnavailable
from ledger.types import Reserve
from outlay.admin.classifiers import classifiers, train_on_scores
from outlay.admin.decisions import explain, list_decisions
from outlay.admin.policies import apply_policy
from outlay.settings import Settings
from outlay.wiring import open_app

POLICY = """
[tiers.large]
models = ["claude-opus-5-5"]
[tiers.small]
models = ["claude-haiku-5-5"]
[routing]
default_tier = "large"
classifier = "{kind}"
[routing.calibration]
required = []
[routing.llm]
timeout_ms = 500
[routing.fallback]
attempts = 1
"""
SMALL = {**MESSAGE, "model": "claude-haiku-5-5", "content": [{"type": "text", "text": "small"}]}


def apply(rig: Rig, kind: str) -> None:
    """Put the classifier in force."""
    apply_policy(rig.app, POLICY.format(kind=kind), actor="test")


def sent(scripted: Provider) -> list[Any]:
    """Bodies that reached the provider."""
    return [json.loads(raw.partition(b"\r\n\r\n")[2]) for raw in scripted.requests]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_question_goes_out_first_and_its_cost_is_in_the_books(
    rig: Rig, scripted: Provider, stream: bool
) -> None:
    """Two calls of the provider, two decisions that name each other, one answer to the client."""
    apply(rig, "llm")
    scripted.pieces = [plain(SMALL)]
    status, raw, headers = rig.call(model="outlay/auto", stream=stream)
    assert (status, json.loads(raw)["content"]) == (200, SMALL["content"])
    assert headers["outlay-model-served"] == "claude-haiku-5-5"
    question, call = sent(scripted)
    assert (question["max_tokens"], question["model"]) == (16, "claude-haiku-5-5")
    assert "stream" not in question
    assert call["messages"] == [{"role": "user", "content": "hi"}]
    rig.wait()
    rows = {row["id"]: row for row in list_decisions(rig.app, tenant="acme")["decisions"]}
    shown = explain(rig.app, headers["outlay-decision-id"])
    numbers = next(r["numbers"] for r in shown["reasons"] if "decision" in r["numbers"])
    assert {headers["outlay-decision-id"], numbers["decision"]} == set(rows)
    assert numbers["cost_usd"] == rows[numbers["decision"]]["cost_usd"]
    assert headers["outlay-reason"] == ",".join(reason["code"] for reason in shown["reasons"])


def test_a_slow_small_model_does_not_hold_a_call_up(rig: Rig, scripted: Provider) -> None:
    """After its patience the call goes to the larger tier; the question stays held, as it may be billed."""
    apply(rig, "llm")
    scripted.pieces = [1.5, plain(SMALL)]
    status, _, headers = rig.call(model="outlay/auto")
    assert (status, headers["outlay-model-served"]) == (200, "claude-opus-5-5")
    shown = explain(rig.app, headers["outlay-decision-id"])
    assert any("its call ended uncertain" in reason["text"] for reason in shown["reasons"])


def test_a_failing_small_model_does_not_fail_a_call(rig: Rig, scripted: Provider) -> None:
    """The provider's error is the question's; what the client hears is of its own call."""
    apply(rig, "llm")
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    scripted.pieces = [plain(error, "529 Overloaded")]
    status, _, headers = rig.call(model="outlay/auto")
    assert (status, headers["outlay-model-served"]) == (529, "claude-opus-5-5")
    assert len(scripted.requests) == 2


def test_without_a_trained_classifier_the_larger_tier_serves(rig: Rig, scripted: Provider) -> None:
    """`learned` before the first training changes nothing, and says so."""
    apply(rig, "learned")
    scripted.pieces = [plain(MESSAGE)]
    _, _, headers = rig.call(model="outlay/auto")
    assert headers["outlay-model-served"] == "claude-opus-5-5"
    shown = explain(rig.app, headers["outlay-decision-id"])
    assert any("no classifier has been trained" in reason["text"] for reason in shown["reasons"])
    assert classifiers(rig.app) == {"classifiers": []}
    with pytest.raises(Exception, match="each needs 10"):
        train_on_scores(rig.app, "acme", actor="test")


def test_a_gateway_that_stops_amid_the_question_gives_the_call_back(
    serving: Any, scripted: Provider, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question may be billed and stays held; the call behind it was never sent, and holds nothing."""
    monkeypatch.setattr(house, "PATIENCE_S", 0.1)
    scripted.pieces = [2.0, plain(SMALL)]
    with rig_on(serving, scripted, sqlite_url) as rig:
        apply_policy(rig.app, POLICY.format(kind="llm").replace("500", "30000"), actor="test")
        thread = threading.Thread(target=leave_unanswered, args=(rig,))
        thread.start()
        time.sleep(0.4)
        rig.running.server.config.timeout_graceful_shutdown = 1
    thread.join()
    app = open_app(Settings(database_url=sqlite_url))
    told = [explain(app, row["id"]) for row in list_decisions(app, tenant="acme")["decisions"]]
    app.close()
    states = {one["strategy"]: one["hold"]["state"] for one in told}
    assert states == {"classifier": "open", None: "released"}


def test_books_lost_after_the_question_leave_the_call_to_be_tried_again(
    rig: Rig, scripted: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the call itself was sent: the client hears that it may send it again, and so it may."""
    apply(rig, "llm")
    scripted.pieces = [plain(SMALL)]
    ledger = rig.app.ledger
    submit = ledger.submit

    def failing(op: Any, attach: Any = ()) -> Any:
        if isinstance(op, Reserve) and scripted.requests:
            raise StoreUnavailable("gone")
        return submit(op, attach)

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "submit", failing)
        status, raw, headers = rig.call(model="outlay/auto")
    assert (status, headers["x-should-retry"], headers["retry-after"]) == (503, "true", "1")
    assert json.loads(raw)["error"]["details"]["error_code"] == "outlay_books_unavailable"
    assert len(scripted.requests) == 1
    status, _, headers = rig.call(model="outlay/auto")
    assert (status, headers["outlay-model-served"]) == (200, "claude-haiku-5-5")
    assert len(scripted.requests) == 2  # the answer to the question was kept


def leave_unanswered(rig: Rig) -> None:
    """Make a call that the gateway's end cuts off."""
    with suppress(aiohttp.ClientError):
        rig.call(model="outlay/auto")


def test_a_question_that_is_answered_with_a_stream_is_not_passed_on(rig: Rig, scripted: Provider) -> None:
    """Whatever the provider makes of the question, the client gets the one answer to its own call."""
    apply(rig, "llm")
    scripted.pieces = [STREAM_HEAD + START + DELTA + FINAL + STOP]
    status, raw, headers = rig.call(model="outlay/auto", stream=True)
    assert (status, raw.count(b"message_start")) == (200, 2)  # the event's name and its type
    assert len(scripted.requests) == 2
    assert headers["outlay-model-served"] == "claude-opus-5-5"
