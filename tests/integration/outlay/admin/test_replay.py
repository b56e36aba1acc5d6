"""
Replay: stored decisions are made again under the policy and at the prices of their time, archived ones too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from outlay.admin import archive as archives
from outlay.admin import policies
from outlay.admin.replay import replay
from outlay.calls import CallRequest, Failed
from outlay.client import Calls
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected
from outlay.fields import instant_text
from outlay.prices_sql import keep_prices, stored_prices
from outlay.wiring import App
from pricing.load import load_prices
from pricing.stored import digest
from router.types import Hints
from router.types import Offer as Brought

MakeCall = Callable[..., str]
Tamper = Callable[[str], None]
DEARER = """[models."claude-opus-5-5"]
input_usd_per_mtok = "9"
output_usd_per_mtok = "45"
cache_read_usd_per_mtok = "0.9"
cache_write_5m_usd_per_mtok = "11"
cache_write_1h_usd_per_mtok = "18"
"""


def test_stored_decisions_come_out_alike(app: App, acme: dict[str, Any], make_call: MakeCall) -> None:
    """
    Every routed decision is made again to the same offers, under the policy version of its time.
    """
    make_call()
    make_call(outcome=Failed(500))
    policies.apply_policy(
        app, '[tiers.only]\nmodels = ["claude-haiku-5-5"]\n[routing]\ndefault_tier = "only"\n', actor="t"
    )
    make_call()  # not a model of this policy any more: refused by the router
    told = replay(app)
    assert (told["checked"], told["same"], told["different"]) == (3, 3, []), told
    assert replay(app, limit=1)["checked"] == 1
    assert replay(app, tenant="acme")["checked"] == 3
    with pytest.raises(BadInput, match="limit"):
        replay(app, limit=0)
    with pytest.raises(Rejected):
        replay(app, tenant="acne")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE outlay_decision SET prices = 'gone'", "prices gone are missing"),
        ("UPDATE outlay_decision SET reasons = '[]'", "other reasons"),
        ("UPDATE outlay_decision SET counterfactual = NULL", "road not taken"),
        ("UPDATE outlay_decision SET ratio = 0.5", "share"),
        (
            "UPDATE outlay_decision SET offers = replace(offers, ':1000', ':999')",
            "other offers",
        ),
        ("UPDATE outlay_decision SET offers = '[]'", "other offers"),
        ("UPDATE outlay_decision SET level = 3", "level"),
        ("UPDATE outlay_decision SET policy_version = 7", "missing"),
        ("UPDATE outlay_decision SET inputs = '{\"a\": 1}'", "not a stored Inputs"),
        (
            "UPDATE outlay_decision SET inputs = replace(inputs, 'claude-opus-5-5', 'claude-haiku-5-5')",
            "other offers",
        ),
    ],
)
def test_a_decision_that_comes_out_otherwise_is_told(
    app: App, acme: dict[str, Any], make_call: MakeCall, tamper: Tamper, change: str, why: str
) -> None:
    """
    A record that does not follow from its inputs is found, with what was stored and what comes out.
    """
    decision_id = make_call()
    tamper(change)
    told = replay(app)
    assert (told["checked"], told["same"]) == (1, 0)
    assert told["different"][0]["id"] == decision_id
    assert why in told["different"][0]["why"]


def test_a_change_of_prices_changes_no_old_decision(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """
    Decisions before and after a change of prices come out alike, each at its own prices.
    """
    make_call()
    packaged, dearer = app.prices, load_prices(DEARER)
    app.__dict__["prices"] = dearer
    other = Calls(app)
    call = other.start(
        CallRequest(
            "acme",
            {"model": "claude-opus-5-5", "max_tokens": 50, "messages": [{"role": "user", "content": "x"}]},
        )
    )
    call.resume(Failed(500))
    other.close()
    told = replay(app)
    assert (told["checked"], told["same"], told["todays_prices"]) == (2, 2, 0), told
    assert told["prices"] == {packaged.version: 1, dearer.version: 1}


def test_decisions_of_which_no_prices_were_kept_are_said_to_be_compared_at_todays(
    app: App, acme: dict[str, Any], make_call: MakeCall, tamper: Tamper
) -> None:
    """
    What was recorded before prices were kept replays at today's, and is counted as such; dearer ones show.
    """
    make_call()
    tamper("UPDATE outlay_decision SET prices = ''")
    told = replay(app)
    assert (told["same"], told["todays_prices"], told["prices"]) == (1, 1, {})
    app.__dict__["prices"] = load_prices(DEARER)
    assert replay(app)["different"][0]["why"] == "other offers"


def test_what_the_router_never_decided_is_counted_apart(
    app: App, acme: dict[str, Any], make_call: MakeCall
) -> None:
    """
    A call with offers of its caller's own and one refused before the choice are neither same nor different.
    """
    make_call()
    make_call(offers=(Brought("claude-opus-5-5", None, None, 100, 1_000, 500),))
    make_call(hints=Hints(priority="urgent"))
    told = replay(app)
    assert (told["checked"], told["not_routed"], told["own_offers"], told["refused_before"]) == (1, 2, 1, 1)


def test_archived_decisions_are_made_again_from_their_file(
    app: App, acme: dict[str, Any], make_call: MakeCall, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    Decisions that left the database replay from the archive, with the policies and prices that stayed.
    """
    for _ in range(3):
        make_call()
    at = now_us()
    monkeypatch.setattr(archives, "now_us", lambda: at + 400 * 86_400_000_000)
    file = str(tmp_path / "old.jsonl")
    archives.archive(app, str(instant_text(at + 2 * 86_400_000_000)), file)
    assert replay(app)["checked"] == 0
    told = replay(app, archive=file)
    assert (told["checked"], told["same"]) == (3, 3)
    assert replay(app, archive=file, limit=2)["checked"] == 2
    assert replay(app, archive=file, tenant="acme")["checked"] == 3
    (tmp_path / "other").write_text("no archive")
    for path in (str(tmp_path / "other"), str(tmp_path / "missing")):
        with pytest.raises(BadInput, match="archive"):
            replay(app, archive=path)


def test_differences_are_counted_beyond_those_that_are_shown(
    app: App, acme: dict[str, Any], make_call: MakeCall, tamper: Tamper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The list of differences is bounded, their number is not; the log is read in pages without losing a row.
    """
    monkeypatch.setattr("outlay.admin.log_pages.PAGE", 2)
    for _ in range(5):
        make_call()
    tamper("UPDATE outlay_decision SET level = 3")
    seen: list[int] = []
    told = replay(app, shown=2, progress=seen.append)
    assert (told["checked"], told["same"], told["differing"], len(told["different"])) == (5, 0, 5, 2)
    assert seen == [2, 4, 5]


def test_prices_are_kept_once_and_never_changed(app: App, tamper: Tamper) -> None:
    """
    The same table is kept under one digest however often it is told; it reads back equal and is append-only.
    """
    dearer = load_prices(DEARER)
    assert keep_prices(app.engine, dearer, 1) == keep_prices(app.engine, dearer, 2) == digest(dearer)
    with app.reading() as connection:
        assert stored_prices(connection, digest(dearer)) == dearer
        assert stored_prices(connection, "gone") is None
    for change in ("DELETE FROM outlay_prices", "UPDATE outlay_prices SET text = ''"):
        with pytest.raises(Exception, match="append-only"):
            tamper(change)
