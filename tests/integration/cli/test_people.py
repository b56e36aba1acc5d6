"""
What people see: tables without surprises, texts of others without power over the terminal, edits that keep
a file's comments.
"""

import csv
import io
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import outlay as package
from outlay.cli.output import safe, to_csv
from outlay.cli.policy_file import with_route
from outlay.errors import Rejected
from router.policy import default_policy_text

Outlay = Callable[..., Any]


@pytest.mark.parametrize(
    "words",
    [
        ["balance", "acme"], ["budget", "list", "acme"], ["tenant", "list"], ["tenant", "show", "acme"],
        ["statement", "acme"], ["verify"],
        ["doctor"], ["key", "list"], ["breaker", "status"], ["policy", "history"], ["version"], ["replay"],
        ["explain", "--list"], ["explain", "DECISION"], ["policy", "show"], ["db", "current"],
        ["db", "check"], ["calibration"], ["classifier", "list"], ["route", "list"],
        ["route", "show", "crm/mail", "--role", "x"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_answers_for_people_are_text(words: list[str], outlay: Outlay, decision: str) -> None:
    """
    Every reading command says something on standard output, nothing on standard error, and no JSON.
    """
    ran = outlay(*(decision if word == "DECISION" else word for word in words))
    assert ran.status == 0
    assert ran.err == ""
    assert ran.out.strip()
    assert not ran.out.startswith("{")
    assert "None" not in ran.out


def test_story_of_a_decision_names_models_money_and_offers(outlay: Outlay, decision: str) -> None:
    """
    Asked and served, what it cost, each offer with its bound.
    """
    out = outlay("explain", decision).out
    for word in ("asked.model", "served.model", "claude-haiku-5-5", "settlement.cost_usd", "cost bound USD"):
        assert word in out, word


def test_the_answer_says_what_is_owed_and_when_credit_comes(outlay: Outlay) -> None:
    """
    A reversal that makes debt names the commands that settle it; scheduled credit is told with its date.
    """
    later = outlay("topup", "acme", "5", "--effective", "2090-01-01").out
    assert "5 USD is scheduled: it is credit from 2090-01-01" in later
    assert "scheduled" not in outlay("topup", "acme", "5").out
    lot = outlay("topup", "acme", "3", "--kind", "promo", "--json").data["transfer"]
    outlay("adjust", "acme", "3", "--take", "--reason", "spent")
    said = outlay("lot", "reverse", lot, "--reason", "mistake").out
    assert 'outlay adjust acme 3.00 --take --reason "settle' in said
    assert 'outlay adjust acme 3.00 --reason "settle' in said


def test_text_of_others_cannot_write_to_the_terminal(outlay: Outlay) -> None:
    """
    A reason with escape codes, markup and line breaks is shown harmless; JSON keeps it as it was.
    """
    evil = "\x1b[2J[bold]x[/bold]\nsecond \u202e"
    outlay("topup", "acme", "1", "--reason", evil)
    out = outlay("statement", "acme").out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\x1b[2J[bold]x[/bold]\\nsecond" in out
    assert outlay("statement", "acme", "--json").data["lines"][-1]["reason"] == evil
    told = outlay("balance", "a\x1b[31mb").err
    assert "\x1b" not in told


def test_values_read_well() -> None:
    """
    Nothing is a dash, truth is a word, what is inside is spelled out.
    """
    assert safe(None) == "-"
    assert safe([True, {"a": 1}]) == "yes, a=1"
    assert safe({}) == "-"


def test_csv_disarms_formulas_and_keeps_money() -> None:
    """
    A negative amount is a number, everything else that begins like a formula is text.
    """
    rows = [{"a": "-5.00", "b": "-5+1"}, {"a": None, "b": "@x"}]
    assert to_csv(("a", "b"), rows) == "a,b\n-5.00,'-5+1\n,'@x\n"


def test_route_is_set_with_the_comments_kept(outlay: Outlay, tmp_path: Path) -> None:
    """
    The version that `route set` applies differs from the one before in this one task.
    """
    before = outlay("policy", "show").out
    done = outlay("route", "set", "crm/*", "small", "--json").data
    assert (done["version"], done["task"], done["tier"]) == (1, "crm/*", "small")
    after = outlay("policy", "show").out
    assert [line for line in before.splitlines() if "#" in line] == [
        line for line in after.splitlines() if "#" in line
    ]
    wanted = tomllib.loads(before)
    wanted["routing"]["tasks"]["crm/*"] = {"tier": "small"}
    assert tomllib.loads(after) == wanted


def test_route_of_a_tenant_leaves_its_budget_alone(outlay: Outlay, tmp_path: Path) -> None:
    """
    The tenant's first own policy is a copy without `[budget]`, which would have set its day budget.
    """
    file = tmp_path / "policy.toml"
    file.write_text(default_policy_text().replace("# daily_usd", "daily_usd"), encoding="utf-8")
    assert outlay("policy", "apply", str(file)).status == 0
    done = outlay("route", "set", "crm/*", "small", "--tenant", "acme", "--json").data
    assert "copy" in done["warnings"][-1]
    assert "budget" not in tomllib.loads(outlay("policy", "show", "--tenant", "acme").out)
    found = outlay("tenant", "show", "acme", "--json").data
    assert (found["day"]["limit_usd"], found["timezone"]) == ("5.00", "Europe/Berlin")
    assert found["policy"] == {"tenant": "acme", "version": 1}
    again = outlay("route", "set", "crm/*", "large", "--tenant", "acme", "--json").data
    assert (again["version"], again["warnings"]) == (2, done["warnings"][:-1])


def test_routes_are_listed_beside_the_traffic(outlay: Outlay) -> None:
    """
    Each entry has its calls, and calls without an entry are named; a route that is set serves what it says.
    """
    outlay("route", "set", "crm/*", "small")
    found = outlay("route", "list", "--json").data
    assert found["routes"] == [{"name": "crm/*", "tier": "small", "calls": 0}]
    assert found["unrouted"] == [{"task": None, "calls": 1, "models": {"claude-haiku-5-5": 1}}]
    assert (found["classifier"], found["default_tier"], found["version"]) == ("table", "medium", 1)
    shown = outlay("route", "show", "crm/mail", "--json").data
    assert (shown["entry"]["name"], shown["served"]["tier"]) == ("crm/*", "small")
    assert [reason["code"] for reason in shown["reasons"]] == ["task_route"]
    other = outlay("route", "show", "news", "--json").data
    assert (other["entry"], other["served"]["model"]) == (None, "claude-sonnet-5-5")
    assert [(step["below"], step.get("tier"), step.get("refused")) for step in other["steps"]] == [
        (0.5, "small", None), (0.2, "small", None), (0.05, None, "outlay_priority_refused"),
    ]  # fmt: skip
    people = outlay("route", "show", "crm/mail").out
    assert "claude-haiku-5-5" in people


ENTRY = {"tier": "small"}
LAYOUTS = {
    "no routing": "",
    "no tasks": '[routing]\ndefault_tier = "large" # note\n',
    "empty table": "[routing.tasks] # note\n\n[enforcement]\n",
    "inline": 'routing = { default_tier = "x", tasks = { "crm/*" = { tier = "y", floor = "x" } } }\n',
    "inline entry": '[routing.tasks]\n"crm/*" = { tier = "large", floor = "small" } # note\n',
    "table entry": '[routing.tasks."crm/*"]\n# note\ntier = "large"\npriority = "high"\n',
    "dotted": 'routing.tasks."crm/*".tier = "large"\n',
    "apart": '[routing]\ndefault_tier = "x"\n[budget]\n[routing.tasks]\na = { tier = "y" }\n',
    "windows": '[routing]\r\ndefault_tier = "large"\r\n',
}


@pytest.mark.parametrize("layout", LAYOUTS, ids=list(LAYOUTS))
def test_route_is_set_in_every_layout(layout: str) -> None:
    """
    Wherever the table of tasks stands and however it is written, only the tier of the task changes.
    """
    text = LAYOUTS[layout]
    wanted = tomllib.loads(text)
    entry = wanted.setdefault("routing", {}).setdefault("tasks", {}).setdefault("crm/*", {})
    entry["tier"] = "small"
    made = with_route(text, "crm/*", "small")
    assert tomllib.loads(made) == wanted
    assert made.count("# note") == text.count("# note")


def test_edit_that_would_change_more_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    What comes out of the editor is compared with what was wanted; another result is never applied.
    """
    import tomlkit

    real = tomlkit.parse
    monkeypatch.setattr(tomlkit, "parse", lambda text: real(text + "\nstray = 1\n"))
    with pytest.raises(Rejected) as caught:
        with_route("", "crm/*", "small")
    assert caught.value.code == "policy_not_editable"


def test_gateway_warns_where_other_machines_can_reach_it(
    outlay: Outlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    TLS is the reverse proxy's job, which is said once; on this machine alone nothing is said.
    """
    from outlay.cli import servers

    served: list[tuple[object, ...]] = []
    monkeypatch.setattr(servers, "_serve", lambda *words, **_: served.append(words))
    assert "reverse proxy with TLS" in outlay("gateway", "--host", "0.0.0.0", "--port", "49151").err
    assert outlay("gateway", "--port", "49151", "--workers", "2", "--log-level", "error").err == ""
    assert served == [("0.0.0.0", 49151, 1, "info"), ("127.0.0.1", 49151, 2, "error")]


def test_user_without_a_name_is_recorded_by_number(outlay: Outlay, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    In a container the user may have no name; the change is recorded all the same.
    """
    import getpass
    import os

    def nameless() -> str:
        raise OSError("no such user")

    monkeypatch.setattr(getpass, "getuser", nameless)
    outlay("topup", "acme", "1")
    assert outlay("statement", "acme", "--json").data["lines"][-1]["actor"] == f"uid-{os.getuid()}"


def test_a_used_key_is_told_in_the_words_of_who_used_it(outlay: Outlay) -> None:
    """
    People read what the key was used for; the ledger's own name of it is for programs.
    """
    outlay("topup", "acme", "5", "--idempotency-key", "inv-9", "--actor", "ana")
    ran = outlay("topup", "acme", "6", "--idempotency-key", "inv-9")
    assert (ran.status, ran.out) == (1, "")
    assert "booked already: a paid top-up of 5.00 USD, on 20" in ran.err
    assert ", by ana. " in ran.err
    assert "under another key it is booked as well" in ran.err
    assert "use another key" not in ran.err
    assert "TopUp" not in ran.err
    again = outlay("topup", "acme", "6", "--idempotency-key", "inv-9", "--json").error["details"]
    assert (again["made"], again["amount_usd"], again["used_by"]) == ("TopUp", "5.00", "ana")


def test_what_the_message_says_is_not_said_again_as_the_fix(outlay: Outlay) -> None:
    """
    For people once; for scripts the fix keeps its field.
    """
    assert outlay("balance", "zzz").err.lower().count("list them with: outlay tenant list") == 1
    assert outlay("balance", "zzz", "--json").error["fix"] == "list them with: outlay tenant list"


def test_budgets_are_listed_as_they_are_set(outlay: Outlay) -> None:
    """
    One line each: no limit by its word, a raise with its end; for scripts the fields with money as text.
    """
    outlay("budget", "set", "acme", "none", "--window", "month")
    outlay("budget", "raise", "acme", "9", "--until", "2090-01-31")
    day, month = [
        line.split() for line in outlay("budget", "list", "acme").out.splitlines() if "tenant " in line
    ]
    assert day[:4] == ["tenant", "day", "9.00", "charge"]
    assert day[7].startswith("2090-01-31T00:00:00")
    assert month[:4] == ["tenant", "month", "none", "charge"]
    found = outlay("budget", "list", "acme", "--json").data
    assert [row["window"] for row in found["budgets"]] == ["day", "month"]
    assert found["budgets"][0]["standing_usd"] == "5.00"
    assert outlay("budget", "list", "nobody").status == 1


def test_what_is_held_for_a_call_and_what_others_hold_are_told_apart(outlay: Outlay, decision: str) -> None:
    """
    People read two names; scripts keep `held_usd` in both places.
    """
    served = outlay("explain", decision).out
    assert "\nheld_for_call_usd " in served
    assert "\nheld_usd " not in served
    assert "held_usd" in outlay("explain", decision, "--json").data
    refused = _refused_over_credit()
    told = outlay("explain", refused).out
    assert "held_in_flight_usd=0.00" in told
    assert " held_usd=" not in told
    assert outlay("explain", refused, "--json").data["reasons"][-1]["numbers"]["held_usd"] == "0.00"


def _refused_over_credit() -> str:
    """Ask for more than there is and return the id of that decision."""
    with package.open() as books, pytest.raises(package.CallRefused) as caught:
        books.hold("acme", offers=[{"name": "huge", "cost_usd": "900"}])
    return caught.value.refused.decision_id


def test_the_answer_and_the_explanation_say_how_a_wrong_cost_is_corrected(
    outlay: Outlay, decision: str
) -> None:
    """
    A typo is refused until it is confirmed; then the answer and `explain` name the command, and it works.
    """
    typo = outlay("settle", decision, "5.5", "--reason", "bill")
    assert (typo.status, typo.out) == (1, "")
    assert "more than 10 times what this call could cost at most" in typo.err
    assert "--yes" in typo.err
    wrong = outlay("settle", decision, "5.5", "--reason", "bill", "--yes")
    command = f"outlay settle {decision} USD --reason TEXT"
    assert command in wrong.out
    assert command in outlay("explain", decision).out
    assert "outlay settle" not in outlay("explain", decision, "--json").out
    done = outlay("settle", decision, "0.0005", "--reason", "bill", "--json").data
    assert (done["cost_before_usd"], done["credit_usd"], done["debt_usd"]) == ("5.50", "19.9995", "0.00")
    assert outlay("verify").status == 0


def test_a_correction_says_which_refund_it_uses_up(outlay: Outlay, decision: str) -> None:
    """A typo that is taken back takes a refund with it: the answer says so, and how to give it again."""
    outlay("refund", decision, "--amount", "0.00002", "--reason", "good will")
    typo = outlay("settle", decision, "0.0005", "--reason", "typo")
    assert "good will" not in typo.out
    undone = outlay("settle", decision, "0.00006", "--reason", "typo")
    again = f"outlay refund {decision} --amount 0.00002 --reason TEXT"
    assert again in undone.out
    assert outlay("refund", decision, "--amount", "0.00002", "--reason", "good will").status == 0


def test_debt_legs_of_a_statement_say_what_moved(outlay: Outlay) -> None:
    """
    Text and CSV have the amount of each leg, what it did to the debt, and the debt after it; a statement
    without debt has no column for it.
    """
    plain = outlay("statement", "acme").out
    assert "amount USD" in plain
    assert "debt" not in plain
    refused = outlay("adjust", "acme", "30", "--take", "--reason", "owed")
    assert refused.status == 1
    assert "10.00006 USD of debt" in refused.err
    assert "--yes" in refused.err
    outlay("adjust", "acme", "30", "--take", "--yes", "--reason", "owed")
    shown = outlay("statement", "acme").out
    leg = next(line for line in shown.splitlines() if "10.00" in line)
    assert leg.split()[2:6] == ["10.00006", "0.00", "0.00", "10.00006"]
    assert "debt change USD" in shown
    assert "closing_debt_usd  10.00006" in shown
    rows = list(csv.DictReader(io.StringIO(outlay("statement", "acme", "--csv").out)))
    assert (rows[-1]["amount_usd"], rows[-1]["debt_change_usd"], rows[-1]["debt_usd"]) == ("10.00006",) * 3
    assert list(rows[-1])[-2:] == ["debt_change_usd", "debt_usd"]


def test_a_chargeback_after_an_adjustment_says_that_it_may_be_the_same_money(outlay: Outlay) -> None:
    """
    Nothing was spent: the text says who took it, names the command that gives it back, and offers no credit
    that there is not; that command repays the debt.
    """
    outlay("adjust", "acme", "15", "--take", "--reason", "bank calls")
    said = outlay("lot", "chargeback", "acme-1", "--reason", "bank").out
    assert "where 15.00 USD was\ntaken by hand" in said
    assert "was spent" not in said
    assert "from that" not in said
    assert "outlay tenant set acme --active" in said
    assert re.search(r"\nfrozen +yes\n", outlay("balance", "acme").out)
    command = next(line for line in said.splitlines() if line.startswith("  outlay adjust")).split('"')
    assert command[0].split()[1:4] == ["adjust", "acme", "15.00"]
    done = outlay("adjust", "acme", "15.00", "--reason", command[1], "--json").data
    assert (done["repaid_usd"], done["debt_usd"]) == ("15.00", "0.00006")
    assert "acme is frozen: its calls are refused until" in outlay("topup", "acme", "1").out
    outlay("tenant", "set", "acme", "--active")
    assert "frozen" not in outlay("topup", "acme", "1").out


def test_debt_is_settled_from_other_credit_only_as_far_as_there_is_some(outlay: Outlay) -> None:
    """
    With 1 USD of other credit and 3 USD owed, the commands that are named move 1 USD.
    """
    lot = outlay("topup", "acme", "3", "--kind", "promo", "--json").data["transfer"]
    outlay("adjust", "acme", "22", "--take", "--reason", "spent")
    said = outlay("lot", "reverse", lot, "--reason", "mistake").out
    assert "outlay adjust acme 0.99994 --take" in said
    assert "frozen. To" not in said


def test_the_list_of_budgets_says_when_a_new_zone_holds(outlay: Outlay) -> None:
    """
    People read which zone's window runs, until when, and which one comes then.
    """
    assert ", then" not in outlay("budget", "list", "acme").out
    outlay("tenant", "set", "acme", "--timezone", "America/New_York")
    said = outlay("budget", "list", "acme").out
    assert "Europe/Berlin, then America/New_York" in said
    assert re.search(r"T00:00:00\+0[12]:00", said)
    assert "America/New_York holds from resets at on." in said


def test_a_fix_is_never_one_that_does_not_work(outlay: Outlay, decision: str) -> None:
    """
    Where nothing is left nobody is told to take what is left; a negative adjustment is told how to take.
    """
    assert "--take" in outlay("adjust", "acme", "-5", "--reason", "x").err
    assert "--take" not in outlay("topup", "acme", "-5").err
    for words in (("refund", decision), ("lot", "reverse", "acme-1", "--reason", "x")):
        assert outlay(*words).status == 0
        again = outlay(*words)
        assert (again.status, again.out) == (1, "")
        assert "nothing is left to do" in again.err
        assert "what is left" not in again.err


@pytest.mark.parametrize("words", [("statement", "acme"), ("tenant", "history", "acme")])
def test_an_answer_has_one_form(words: tuple[str, ...], outlay: Outlay) -> None:
    """CSV and JSON at once are refused by both names, where JSON came and the CSV was missed."""
    ran = outlay(*words, "--csv", "--json")
    assert (ran.status, ran.out) == (2, "")
    assert ran.error["message"] == "--csv and --json are two forms of one answer"


def test_a_route_that_is_so_already_makes_no_version(outlay: Outlay) -> None:
    """Nothing is applied, and the answer says so and names the version that stays."""
    made = outlay("route", "set", "crm/*", "small", "--json").data
    assert (made["changed"], made["version"]) == (True, 1)
    assert outlay("route", "set", "crm/*", "small", "--json").data == {**made, "changed": False}
    said = outlay("route", "set", "crm/*", "small").out
    assert said == "Tier small serves crm/* already: version 1 stays in force for everybody.\n"
    assert len(outlay("policy", "history", "--json").data["versions"]) == 1
    own = outlay("route", "set", "crm/*", "small", "--tenant", "acme", "--json").data
    assert own["changed"] is True  # a copy of its own is a change
    assert outlay("route", "set", "crm/*", "large", "--json").data["version"] == 2


@pytest.mark.parametrize(
    "words",
    [
        ("topup", "acme", "{}"), ("adjust", "acme", "{}", "--reason", "x"),
        ("tenant", "create", "new", "--credit", "{}"),
    ],
)  # fmt: skip
def test_a_negative_amount_is_told_in_the_same_words_everywhere(
    words: tuple[str, ...], outlay: Outlay
) -> None:
    """Whether the parser took it for an option or the field's own check read it."""
    error = outlay(*(word.format("-5") for word in words), "--json").error
    assert (error["message"], error["value"]) == ("not an amount in USD", "-5")
    assert error["fix"].startswith("An amount is never negative")


def test_a_new_budget_says_what_it_does_not_count(outlay: Outlay) -> None:
    """
    One that is set within its window says so in a sentence, and in the list; the day of the account does not.
    """
    assert "counts_from" not in outlay("budget", "list", "acme").out
    said = outlay("budget", "set", "acme", "2", "--window", "month").out
    assert re.search(r"\nIt counts from \S+ on: what was held before in this month is not in it\.\n", said)
    assert "It counts from" not in outlay("budget", "set", "acme", "5").out
    assert "counts from" in outlay("budget", "list", "acme").out


def test_no_limit_is_told_by_the_word_that_sets_it(outlay: Outlay) -> None:
    """
    People read "none", before and after; scripts get null.
    """
    assert re.search(
        r"limit_usd +none\nlimit_before_usd +5\.00\n", outlay("budget", "set", "acme", "none").out
    )
    assert re.search(r"limit_usd +0\.00\nlimit_before_usd +none\n", outlay("budget", "set", "acme", "0").out)
    assert outlay("budget", "set", "acme", "none", "--json").data["limit_usd"] is None
