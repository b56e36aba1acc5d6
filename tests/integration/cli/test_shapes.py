"""
The shapes that scripts rely on: fields, texts of money, exit statuses.
"""

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

Outlay = Callable[..., Any]
MONEY = re.compile(r"-?[0-9]+\.[0-9]{2,9}")


def _money_is_text(value: Any, name: str = "") -> None:
    """Every field of money, at any depth, is decimal text or nothing."""
    if isinstance(value, dict):
        for inner, item in value.items():
            _money_is_text(item, inner)
    elif isinstance(value, list):
        for item in value:
            _money_is_text(item, name)
    elif name.endswith("_usd"):
        assert value is None or MONEY.fullmatch(value), (name, value)


def test_tenant_create_gives_a_key_and_the_terms(outlay: Outlay) -> None:
    """
    The example of the reference, to the letter.
    """
    words = ["--credit", "20", "--daily-budget", "5", "--timezone", "Europe/Berlin", "--json"]
    made = outlay("tenant", "create", "beta", *words).data
    assert made["key"].startswith("olk_")
    fixed = ("tenant", "credit_usd", "daily_budget_usd", "timezone")
    assert {name: made[name] for name in fixed} == {
        "tenant": "beta", "credit_usd": "20.00", "daily_budget_usd": "5.00", "timezone": "Europe/Berlin",
    }  # fmt: skip


def test_topup_is_booked_once_per_key(outlay: Outlay) -> None:
    """
    The same idempotency key answers the same transfer and books nothing more.
    """
    words = ("topup", "acme", "10", "--idempotency-key", "inv-7", "--json")
    first, second = outlay(*words).data, outlay(*words).data
    assert first["replayed"] is False
    assert second["replayed"] is True
    assert first["transfer"] == second["transfer"]
    assert MONEY.fullmatch(first["credit_usd"])
    assert (
        outlay("topup", "acme", "11", "--idempotency-key", "inv-7", "--json").error["code"] == "key_conflict"
    )


def test_balance_has_credit_and_day(outlay: Outlay) -> None:
    """
    The fields of a balance, money as text, the day's end in the tenant's zone.
    """
    found = outlay("balance", "acme", "--json").data
    for name in ("credit_usd", "held_usd", "available_usd", "debt_usd"):
        assert MONEY.fullmatch(found[name]), name
    day = found["day"]
    assert set(day) >= {"limit_usd", "spent_usd", "held_usd", "overage_usd", "remaining_ratio", "resets_at"}
    assert day["limit_usd"] == "5.00"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT00:00:00\+0[12]:00", day["resets_at"])


def test_balance_of_an_observed_tenant_says_what_is_booked(outlay: Outlay, tmp_path: Path) -> None:
    """
    More may be spent than the limit, and less be charged than is spent: for people the reason stands below.
    """
    told = "what credit does not cover is absorbed"
    assert outlay("balance", "acme", "--json").data["enforcement"] == "enforce"
    assert told not in outlay("balance", "acme").out
    file = tmp_path / "policy.toml"
    file.write_text(outlay("policy", "show").out.replace('"enforce"', '"observe"'), encoding="utf-8")
    outlay("policy", "apply", str(file))
    assert outlay("balance", "acme", "--json").data["enforcement"] == "observe"
    assert told in outlay("balance", "acme").out


def test_policy_apply_counts_versions(outlay: Outlay, tmp_path: Path) -> None:
    """
    The first version is 1, for everybody; a tenant's own counts from 1 as well.
    """
    file = tmp_path / "policy.toml"
    file.write_text(outlay("policy", "show").out, encoding="utf-8")
    applied = [outlay("policy", "apply", str(file), "--json").data for _ in range(2)]
    assert [(done["version"], done["tenant"]) for done in applied] == [(1, None), (2, None)]
    own = outlay("policy", "apply", str(file), "--tenant", "acme", "--json").data
    assert (own["version"], own["tenant"]) == (1, "acme")
    listed = outlay("policy", "history", "--json").data["versions"]
    assert [row["version"] for row in listed] == [2, 1]


def test_policy_can_come_through_a_pipe(outlay: Outlay) -> None:
    """
    A dash is standard input, with or without the mark that some editors put first.
    """
    text = outlay("policy", "show").out
    assert outlay("policy", "validate", "-", typed="\ufeff" + text).status == 0
    assert outlay("policy", "apply", "-", "--json", typed=text).data["version"] == 1


def test_halt_and_resume_name_their_scope(outlay: Outlay) -> None:
    """
    Scripts halt and resume without being asked; a tenant's halt is its own.
    """
    halted = outlay("halt", "--reason", "runaway", "--json").data
    assert (halted["halted"], halted["scope"], halted["changed"]) == (True, "global", True)
    assert outlay("halt", "--reason", "again", "--json").data["changed"] is False
    assert outlay("resume", "--json").data["halted"] is False
    own = outlay("halt", "--tenant", "acme", "--reason", "runaway", "--json").data
    assert (own["tenant"], own["scope"]) == ("acme", "tenant:acme")


def test_explain_tells_the_decision_as_stored(outlay: Outlay, decision: str) -> None:
    """
    Asked, served, reasons, offers, hold, settlement, policy version.
    """
    found = outlay("explain", decision, "--json").data
    wanted = {"asked", "served", "reasons", "offers", "hold", "settlement", "policy_version"}
    assert set(found) >= wanted
    assert found["asked"]["model"] == found["served"]["model"] == "claude-haiku-5-5"
    assert found["settlement"]["cost_usd"] == found["cost_usd"]
    assert isinstance(found["reasons"], list)
    assert found["offers"]
    assert outlay("explain", "--list", "--json").data["decisions"][0]["id"] == decision


def test_verify_answers_for_the_books(outlay: Outlay) -> None:
    """
    ok, checks, tenants, transfers; and replay finds every decision the same.
    """
    found = outlay("verify", "--json").data
    assert found["ok"] is True
    assert found["tenants"] == 1
    assert found["transfers"] >= 2
    assert all(found["checks"].values())
    replayed = outlay("replay", "--json").data
    assert (replayed["checked"], replayed["same"], replayed["different"]) == (1, 1, [])


def test_verify_fails_for_books_that_were_changed(outlay: Outlay, books: Path) -> None:
    """
    A balance that somebody edited by hand makes verify exit with 1.
    """
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(books)) as connection:
        connection.execute("UPDATE ledger_account SET wallet = wallet + 1")
        connection.commit()
    ran = outlay("verify", "--json")
    assert ran.status == 1
    assert ran.data["ok"] is False
    assert outlay("verify").status == 1


def test_refund_gives_a_charge_back_once(outlay: Outlay, decision: str) -> None:
    """
    The whole charge by default; a second refund is refused with what is left.
    """
    cost = outlay("explain", decision, "--json").data["cost_usd"]
    done = outlay("refund", decision, "--reason", "wrong answer", "--json").data
    assert done["amount_usd"] == cost
    ran = outlay("refund", decision, "--amount", "0.01", "--json")
    assert ran.status == 1
    assert ran.error["code"] == "refund_exceeds_charge"


def test_every_change_is_recorded_with_its_actor(outlay: Outlay) -> None:
    """
    `--actor` names who did it; without it that is the system's user.
    """
    import getpass

    outlay("topup", "acme", "1", "--actor", "finance")
    outlay("topup", "acme", "2")
    lines = outlay("statement", "acme", "--json").data["lines"]
    assert [line["actor"] for line in lines][-2:] == ["finance", getpass.getuser()]


def test_statement_adds_up_and_comes_as_csv(outlay: Outlay) -> None:
    """
    Opening plus every change is closing; the CSV has the same lines, formulas disarmed, money untouched.
    """
    outlay("topup", "acme", "1.5", "--reason", "=1+1")
    found = outlay("statement", "acme", "--json").data
    changes = sum(Decimal(line["change_usd"]) for line in found["lines"])
    assert Decimal(found["opening_usd"]) + changes == Decimal(found["closing_usd"])
    rows = list(csv.DictReader(io.StringIO(outlay("statement", "acme", "--csv").out)))
    assert [row["change_usd"] for row in rows] == [line["change_usd"] for line in found["lines"]]
    assert rows[-1]["reason"] == "'=1+1"
    assert any(row["change_usd"].startswith("-") for row in rows), "what the call cost is negative, as it is"
    empty = outlay("statement", "acme", "--from", "1990-01-01", "--to", "1990-01-02", "--csv").out
    assert empty.startswith("transfer,at,kind,")
    assert len(empty.splitlines()) == 1


def test_history_says_who_changed_what_and_comes_as_csv(outlay: Outlay) -> None:
    """
    JSON, CSV and the table have the same changes, with actor and reason; formulas are disarmed.
    """
    outlay("budget", "set", "acme", "3", "--reason", "=1+1", "--actor", "ann")
    outlay("tenant", "set", "acme", "--frozen", "--reason", "unpaid", "--actor", "ben")
    changes = outlay("tenant", "history", "acme", "--json").data["changes"]
    frozen = changes[-1]
    assert [frozen[name] for name in ("actor", "subject", "setting", "from", "to", "reason")] == [
        "ben", "account", "frozen", False, True, "unpaid",
    ]  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(outlay("tenant", "history", "acme", "--csv").out)))
    assert [row["setting"] for row in rows] == [change["setting"] for change in changes]
    (lowered,) = [row for row in rows if row["actor"] == "ann"]
    assert (lowered["from"], lowered["to"], lowered["reason"]) == ("5.00", "3.00", "'=1+1")
    shown = outlay("tenant", "history", "acme", "--of", "account", "--limit", "1").out
    assert "unpaid" in shown
    assert "ann" not in shown


def test_budget_is_set_and_raised_for_a_while(outlay: Outlay) -> None:
    """
    "none" is no limit, "0" is a limit; a raise needs an end and must be higher.
    """
    assert outlay("budget", "set", "acme", "0", "--json").data["limit_usd"] == "0.00"
    assert outlay("budget", "set", "acme", "5", "--json").data["limit_usd"] == "5.00"
    raised = outlay("budget", "raise", "acme", "8", "--until", "2999-01-01", "--json").data
    assert raised["limit_usd"] == "8.00"
    assert raised["until"].startswith("2999-01-01T00:00:00")
    assert outlay("budget", "raise", "acme", "4", "--until", "2999-01-01", "--json").status == 2
    assert outlay("budget", "set", "acme", "none", "--json").data["limit_usd"] is None


def test_tenant_is_listed_shown_and_changed(outlay: Outlay) -> None:
    """
    Settings that are not named stay as they are.
    """
    changed = outlay("tenant", "set", "acme", "--frozen", "--multiplier", "1.25", "--json").data
    assert (changed["frozen"], changed["multiplier"], changed["timezone"]) == (True, "1.25", "Europe/Berlin")
    assert outlay("tenant", "show", "acme", "--json").data["frozen"] is True
    assert [row["tenant"] for row in outlay("tenant", "list", "--json").data["tenants"]] == ["acme"]
    assert outlay("tenant", "set", "acme", "--active", "--json").data["frozen"] is False


def test_key_is_made_listed_without_secret_and_revoked(outlay: Outlay) -> None:
    """
    The secret is in one answer and nowhere else.
    """
    made = outlay("key", "create", "--tenant", "acme", "--name", "build", "--json").data
    operator = outlay("key", "create", "--role", "operator", "--json").data
    assert operator["tenant"] is None
    listed = outlay("key", "list", "--json").out
    assert made["id"] in listed
    assert made["key"] not in listed
    assert outlay("key", "revoke", made["id"], "--json").status == 0


def test_breaker_reset_says_what_changed(outlay: Outlay) -> None:
    """
    Resetting a breaker that is closed changes nothing and says so.
    """
    done = outlay("breaker", "reset", "tenant:acme", "--reason", "looked at it", "--json").data
    assert (done["scope"], done["state"]) == ("tenant:acme", "closed")
    assert set(outlay("breaker", "status", "--json").data) == {"switches", "breakers", "events"}


def test_policy_rolls_back_and_has_a_schema(outlay: Outlay) -> None:
    """
    Going back is a new version; the schema is JSON for people as well.
    """
    outlay("route", "set", "crm/*", "small")
    done = outlay("policy", "rollback", "0", "--json").data
    assert (done["version"], done["restored"]) == (2, 0)
    assert json.loads(outlay("policy", "schema").out)["title"] == "Outlay policy"


def test_money_is_text_in_every_answer(outlay: Outlay, decision: str) -> None:
    """
    No answer has a number where money stands.
    """
    for words in (
        ("tenant", "create", "m", "--credit", "0.000000001"),
        ("tenant", "list"),
        ("tenant", "show", "acme"),
        ("balance", "acme"),
        ("statement", "acme"),
        ("explain", decision),
        ("explain", "--list"),
        ("refund", decision),
        ("budget", "set", "acme", "7"),
        ("breaker", "status"),
    ):
        ran = outlay(*words, "--json")
        assert ran.status == 0, ran.err
        _money_is_text(ran.data)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_database_is_made_and_looked_at(options: tuple[str, ...], outlay: Outlay, tmp_path: Path) -> None:
    """
    Looking makes no file and check fails without one; upgrade makes it, twice does no harm.
    """
    path = tmp_path / "new.db"
    where = ("--database-url", f"sqlite:///{path}", *options)
    assert outlay("db", "current", *where).status == 0
    assert outlay("db", "check", *where).status == 1
    assert outlay("doctor", *where).status == 0
    assert not path.exists()
    assert [outlay("db", "upgrade", *where).status for _ in range(2)] == [0, 0]
    assert outlay("db", "check", *where).status == 0


def test_doctor_says_once_that_there_are_no_books_yet(
    outlay: Outlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Before the first use one line says what makes them; in a folder that is not there, what is to be done.
    """
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")

    def warned(path: Path) -> list[tuple[str, str]]:
        checks = outlay("doctor", "--json", "--database-url", f"sqlite:///{path}").data["checks"]
        return [(check["name"], check["fix"]) for check in checks if check["state"] == "warning"]

    assert warned(tmp_path / "new.db") == [("database", "made by the first: outlay tenant create")]
    folder = tmp_path / "new"
    assert warned(folder / "new.db") == [("database", f"check the path, or make the folder {folder}")]


@pytest.mark.parametrize(
    "words", [["tenant", "create", "acme"], ["db", "upgrade"], ["db", "restore", "x.zip"]]
)
def test_no_folder_is_made_for_a_mistyped_path(words: list[str], outlay: Outlay, tmp_path: Path) -> None:
    """It is refused with its name and the fix, and nothing is made."""
    folder = tmp_path / "typo" / "books"
    (tmp_path / "x.zip").write_text("")
    words = [str(tmp_path / word) if word == "x.zip" else word for word in words]
    ran = outlay(*words, "--json", "--database-url", f"sqlite:///{folder}/outlay.db")
    assert ran.status == 2
    assert ran.error["message"] == f"there is no folder {folder}"
    assert ran.error["fix"] == "Make the folder first, or correct the path."
    assert not folder.parent.exists()


def test_the_users_data_folder_is_made(
    outlay: Outlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who names no books has them in a folder of Outlay's own, made by the first tenant."""
    monkeypatch.delenv("OUTLAY_DATABASE_URL", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert outlay("doctor").status == 0
    assert not (tmp_path / "data").exists()
    assert outlay("tenant", "create", "acme").status == 0
    assert (tmp_path / "data" / "outlay" / "outlay.db").is_file()


def test_doctor_names_what_is_wrong_and_its_fix(outlay: Outlay, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Every check has a name, a state, what was found and, where it matters, the fix.
    """
    found = outlay("doctor", "--json").data
    states = {check["name"]: check["state"] for check in found["checks"]}
    assert found["ok"] is True
    of_the_machine = ["packages", "time zones", "upstream key", "waiting calls"]
    assert list(states) == [*of_the_machine, "database", "schema", "policy", "budget names", "clock"]
    assert states["upstream key"] == "warning"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    ran = outlay("doctor", "--json")
    assert {check["state"] for check in ran.data["checks"]} == {"ok"}
    assert "sk-secret" not in ran.out


def test_doctor_sees_a_clock_behind_the_books(
    outlay: Outlay, books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A machine whose clock is behind the newest booking would put calls into the wrong day.
    """
    import outlay.clock as clock

    now = clock.now_us()
    monkeypatch.setattr(clock, "now_us", lambda: now - 3_600_000_000)
    ran = outlay("doctor", "--json")
    assert ran.status == 1
    assert next(check for check in ran.data["checks"] if check["state"] == "failed")["name"] == "clock"


def test_doctor_tells_what_a_clock_ends(outlay: Outlay, books: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    On one machine nothing says whether its clock is ahead; the owner is told what a start by it would end.
    """
    import outlay.clock as clock

    outlay("topup", "acme", "3", "--kind", "promo", "--expires", "2099-01-01")
    clocks = {check["name"]: check for check in outlay("doctor", "--json").data["checks"]}
    assert clocks["clock"]["state"] == "ok"
    monkeypatch.setattr(clock, "now_us", lambda: 4_070_995_200_000_000)  # 2099-01-02
    ran = outlay("doctor", "--json")
    found = next(check for check in ran.data["checks"] if check["name"] == "clock")
    assert (ran.status, found["state"]) == (0, "warning")
    assert "0 holds and 1 credit" in found["found"]
    assert "set the clock" in found["fix"]


@pytest.mark.postgres
@pytest.mark.parametrize(("hours", "told"), [(-1, "behind"), (1, "ahead of")])
def test_doctor_compares_the_clock_with_the_databases_own(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, hours: int, told: str
) -> None:
    """
    A machine whose clock is ahead captures the holds of everybody, and lets their credit expire.
    """
    import outlay.clock as clock
    from outlay.cli.doctor import check_clock
    from outlay.settings import Settings
    from outlay.wiring import open_app

    settings = Settings(database_url=postgres_url)
    open_app(settings, migrate=True).close()
    assert check_clock(settings).state == "ok"
    now = clock.now_us()
    monkeypatch.setattr(clock, "now_us", lambda: now + hours * 3_600_000_000)
    found = check_clock(settings)
    assert (found.state, told in found.found) == ("failed", True)
