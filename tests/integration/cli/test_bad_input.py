"""
Wrong input to every command: the right exit status, the field and the fix named, nothing written.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from outlay.cli.main import build

Outlay = Callable[..., Any]
Contents = Callable[[], tuple[str, ...]]

HUGE = "99999999999999999999"
LONG = "x" * 300
T = ["--tenant", "nobody"]

# command line, exit status, field that is named, words in message or fix
CASES: list[tuple[list[str], int, str | None, str]] = [
    (["topup", "acme", "abc"], 2, "amount", "12.50"),
    (["topup", "acme", "-5"], 2, "amount", "never negative"),
    (["topup", "acme", "-12.50"], 2, "amount", "never negative"),
    (["topup", "acme", "--", "-5"], 2, "amount", "never negative"),
    (["topup", "acme", "1e3"], 2, "amount", "12.50"),
    (["topup", "acme", "0"], 2, "amount", "above 0"),
    (["topup", "acme", "0"], 2, "amount", "too little"),
    (["topup", "acme", "1,5"], 2, "amount", "12.50"),
    (["topup", "acme", "nan"], 2, "amount", "12.50"),
    (["topup", "acme", "0.0000000001"], 2, "amount", "9 decimals"),
    (["topup", "acme", HUGE], 2, "amount", "largest"),
    (["topup", "acme", "٣"], 2, "amount", "12.50"),
    (["topup", "nobody", "5"], 1, "tenant", "tenant list"),
    (["topup", "acm", "5"], 1, "tenant", 'Did you mean "acme"?'),
    (["topup", "ACME; DROP TABLE", "5"], 2, "tenant", "letters"),
    (["topup", "", "5"], 2, "tenant", "letters"),
    (["topup", "acme"], 2, "amount", "topup --help"),
    (["topup"], 2, "tenant", "topup --help"),
    (["topup", "acme", "5", "6"], 2, None, "topup --help"),
    (["topup", "acme", "5", "--kind", "prom"], 2, "kind", "promo"),
    (["topup", "acme", "5", "--expires", "soon"], 2, "expires", "2026-12-31"),
    (["topup", "acme", "5", "--expires", "2001-01-01"], 2, "expires", ""),
    (["topup", "acme", "5", "--expires", "9999-12-31"], 2, "expires", "9998"),
    (["topup", "acme", "5", "--idempotency-key", ""], 2, "idempotency_key", "is empty"),
    (["topup", "acme", "5", "--idempotency-key", LONG], 2, "idempotency_key", "200"),
    (["topup", "acme", "5", "--actor", ""], 2, "actor", ""),
    (["topup", "acme", "5", "--actor", "a\nb"], 2, "actor", "printable"),
    (["topup", "acme", "5", "--reason", "x" * 1001], 2, "reason", "1000"),
    (["topup", "acme", "5", "--reason", "\udcff"], 2, None, "UTF-8"),
    (["topup", "acme", "5", "--amout", "1"], 2, "--amout", "topup --help"),
    (["topup", "acme", "5", "--effective", "soon"], 2, "effective", "2026-12-31"),
    (["topup", "acme", "5", "--priority", "-1"], 2, "priority", "0 to"),
    (["adjust", "acme", "5"], 2, "reason", "adjust --help"),
    (["adjust", "acme", "-5", "--reason", "x"], 2, "amount", "never negative"),
    (["adjust", "acme", "5", "--reason", " "], 2, "reason", "record"),
    (["adjust", "nobody", "5", "--reason", "x"], 1, "tenant", "tenant list"),
    (["lot", "list", "nobody"], 1, "tenant", "tenant list"),
    (["lot", "show", "acme-99"], 1, "lot", "lot list"),
    (["lot", "reverse", "acme-1"], 2, "reason", "reverse --help"),
    (["lot", "reverse", "acme-99", "--reason", "x"], 1, "lot", "lot list"),
    (["lot", "reverse", "acme-1", "--reason", "x", "--amount", "999"], 1, "amount", "leave --amount out"),
    (["lot", "chargeback", "acme-1", "--reason", ""], 2, "reason", "record"),
    (["holds", *T], 1, "tenant", "tenant list"),
    (["holds", "--limit", "0"], 2, "limit", ""),
    (["seal", "make", "extra"], 2, None, "make --help"),
    (["seal", "export"], 2, "to", "export --help"),
    (["seal", "export", "--to", "GOOD"], 2, "to", "new file"),
    (["verify", "--seal", "GOOD"], 2, "seal", "seal export"),
    (["verify", "--seal", "/nowhere"], 2, "seal", "seal export"),
    (["db", "backup", "--to", "GOOD"], 2, "to", "new file"),
    (["db", "restore", "/nowhere"], 2, "file", "db backup"),
    (["db", "restore", "GOOD"], 2, "database_url", "empty database"),
    (["db", "archive", "--before", "soon", "--to", "new"], 2, "before", "2026-12-31"),
    (["db", "archive", "--before", "2999-01-01", "--to", "new"], 2, "before", "corrected"),
    (["balance", "acme", "--at", "2999-01-01"], 2, "at", "passed"),
    (["budget", "set", "acme", "5", "--counts", "calls"], 2, "counts", "cost"),
    (["budget", "set", "acme", "unlimited"], 2, "limit", '"none" is no limit'),
    (["budget", "set", "acme", "5", "--until", "2001-01-01"], 2, "until", "an instant in the future."),
    (["budget", "list"], 2, "tenant", "list --help"),
    (["budget", "list", "nobody"], 1, "tenant", "tenant list"),
    (["refund", "nothing"], 1, "hold_id", ""),
    (["refund", ""], 2, "hold", ""),
    (["refund", "HOLD", "--amount", "-1"], 2, "amount", "never negative"),
    (["refund", "HOLD", "--amount", "999999999"], 1, "amount", ""),
    (["refund", "HOLD", "--amount", "0"], 2, "amount", "above 0"),
    (["settle", "nothing", "1", "--reason", "r"], 1, "hold_id", ""),
    (["settle", "HOLD", "-1", "--reason", "r"], 2, "cost", "never negative"),
    (["settle", "HOLD", "1"], 2, "reason", ""),
    (["settle", "HOLD", "9", "--reason", "r"], 1, "cost", "--yes"),
    (["settle", "HOLD", "999999999999", "--reason", "r", "--yes"], 2, "cost", "largest"),
    (["budget", "set", "acme", "5", "--scope", "tag:team"], 2, "scope", "tag:NAME=VALUE"),
    (["tenant", "create", "free", "--multiplier", "0"], 2, "multiplier", "above 0"),
    (["balance"], 2, "tenant", "balance --help"),
    (["balance", "nobody"], 1, "tenant", "tenant list"),
    (["balance", "a/b"], 2, "tenant", "letters"),
    (["tenant", "history", "nobody"], 1, "tenant", "tenant list"),
    (["tenant", "history", "acme", "--of", "keys"], 2, "of", "budget"),
    (["tenant", "history", "acme", "--from", "yesterday"], 2, "--from", "2026-12-31"),
    (["tenant", "history", "acme", "--limit", "0"], 2, "limit", ""),
    (["statement", "nobody"], 1, "tenant", "tenant list"),
    (["statement", "acme", "--from", "yesterday"], 2, "--from", "2026-12-31"),
    (["statement", "acme", "--from", "2026-02-01", "--to", "2026-01-01"], 2, "--to", "Swap the two"),
    (["statement", "acme", "--to", "2026-13-01"], 2, "--to", "2026-12-31"),
    (["statement", "acme", "--limit", "0"], 2, "limit", ""),
    (["statement", "acme", "--limit", "many"], 2, "limit", ""),
    (["statement", "acme", "--limit", HUGE], 2, "limit", ""),
    (["budget", "set", "acme", "-1"], 2, "limit", "never negative"),
    (["budget", "set", "acme", "much"], 2, "limit", "12.50"),
    (["budget", "set", "acme", HUGE], 2, "limit", "largest"),
    (["budget", "set", "acme", "5", "--window", "fortnight"], 2, "window", "month"),
    (["budget", "set", "acme", "5", "--scope", "galaxy"], 2, "scope", ""),
    (["budget", "set", "acme", "5", "--until", "soon"], 2, "until", "2026-12-31"),
    (["budget", "set", "nobody", "5"], 1, "tenant", "tenant list"),
    (["budget", "raise", "acme", "8"], 2, "until", "raise --help"),
    (["budget", "raise", "acme", "8", "--until", "2001-01-01"], 2, "until", ""),
    (["budget", "raise", "acme", "2", "--until", "2999-01-01"], 2, "limit", "budget set"),
    (["tenant", "create", "acme"], 1, "tenant", "another name"),
    (["tenant", "create", "a b"], 2, "tenant", "letters"),
    (["tenant", "create", "*"], 2, "tenant", "letters"),
    (["tenant", "create", "x" * 65], 2, "tenant", "64"),
    (["tenant", "create", "new", "--credit", "-1"], 2, "credit", "never negative"),
    (["tenant", "create", "new", "--credit", HUGE], 2, "credit", "largest"),
    (["tenant", "create", "new", "--daily-budget", "five"], 2, "daily_budget", "12.50"),
    (["tenant", "create", "new", "--timezone", "Europe/Berln"], 2, "timezone", '"Europe/Berlin"?'),
    (["tenant", "create", "new", "--timezone", "../etc/passwd"], 2, "timezone", "IANA"),
    (["tenant", "create", "new", "--multiplier", "-1"], 2, "multiplier", "1.2"),
    (["tenant", "create", "new", "--dialy-budget", "5"], 2, "--dialy-budget", "--daily-budget"),
    (["tenant", "list", "extra"], 2, None, "list --help"),
    (["tenant", "show", "nobody"], 1, "tenant", "tenant list"),
    (["tenant", "set", "acme"], 2, "settings", "timezone"),
    (["tenant", "set", "acme", "--timezone", "Mars/Base"], 2, "timezone", ""),
    (["tenant", "set", "acme", "--overage", "gift"], 2, "overage", "absorb"),
    (["tenant", "set", "nobody", "--frozen"], 1, "tenant", "tenant list"),
    (["tenant", "remove", "acme"], 2, None, "tenant --help"),
    (["key", "create"], 2, "tenant", ""),
    (["key", "create", "--role", "root"], 2, "role", "operator"),
    (["key", "create", "--role", "admin", "--tenant", "acme"], 2, "tenant", ""),
    (["key", "create", *T], 1, "tenant", "tenant list"),
    (["key", "create", "--tenant", "acme", "--privacy", "hushed"], 2, "privacy", "policy"),
    (["key", "revoke", "nothing"], 1, "key", "key list"),
    (["key", "revoke"], 2, "key_id", "revoke --help"),
    (["key", "list", *T], 1, "tenant", "tenant list"),
    (["route", "set", "crm/*"], 2, "tier", "set --help"),
    (["route", "set", "crm/*", "smal"], 2, 'routing.tasks."crm/*".tier', "Did you mean 'small'?"),
    (["route", "set", "a b", "small"], 2, 'routing.tasks."a b"', "crm/*"),
    (["route", "set", "x" * 201, "small"], 2, f"routing.tasks.{'x' * 201}", "200 characters"),
    (["route", "set", "crm/*", "small", *T], 1, "tenant", "tenant list"),
    (["route", "list", *T], 1, "tenant", "tenant list"),
    (["route", "show"], 2, "task", "show --help"),
    (["route", "show", ""], 2, "task", ""),
    (["route", "show", "x", *T], 1, "tenant", "tenant list"),
    (["policy", "show", *T], 1, "tenant", "tenant list"),
    (["policy", "show", "--version", "7"], 1, "version", "policy history"),
    (["policy", "show", "--version", "-1"], 2, "version", ""),
    (["policy", "validate", "/nowhere/policy.toml"], 2, "file", "Name a TOML file"),
    (["policy", "validate", "/"], 2, "file", "Name a TOML file"),
    (["policy", "validate", "BAD"], 2, "policy", "not TOML"),
    (["policy", "validate", "BYTES"], 2, "file", "UTF-8"),
    (["policy", "validate", "LONG"], 2, "file", "1 MB"),
    (["policy", "validate", "TYPO"], 2, "routing.default_tier", "Did you mean 'default_tier'?"),
    (["policy", "apply", "BAD"], 2, "policy", "not TOML"),
    (["policy", "apply", "TYPO"], 2, "routing.default_tier", "Did you mean 'default_tier'?"),
    (["policy", "apply", "MONEY"], 2, "budget.daily_usd", '"5.00"'),
    (["policy", "apply", "GOOD", *T], 1, "tenant", "tenant list"),
    (["policy", "apply", "GOOD", "--note", "x" * 1001], 2, "note", "1000"),
    (["policy", "apply"], 2, "file", "apply --help"),
    (["policy", "preview", "/nowhere/policy.toml"], 2, "file", "Name a TOML file"),
    (["policy", "preview", "GOOD", "--days", "0"], 2, "days", ""),
    (["policy", "preview", "GOOD", *T], 1, "tenant", "tenant list"),
    (["policy", "history", *T], 1, "tenant", "tenant list"),
    (["policy", "rollback", "7"], 1, "version", "policy history"),
    (["policy", "rollback", "one"], 2, "version", ""),
    (["policy", "rollback", "-1"], 2, "version", "from 0 to 2147483648"),
    (["policy", "rollback", HUGE], 2, "version", ""),
    (["policy", "schema", "extra"], 2, None, "schema --help"),
    (["halt"], 2, "reason", "halt --help"),
    (["halt", "--reason", "", "--yes"], 2, "reason", "record"),
    (["halt", "--reason", "x", *T], 1, "tenant", "tenant list"),
    (["resume", *T], 1, "tenant", "tenant list"),
    (["resume", "--reason", ""], 2, "reason", "record"),
    (["breaker", "status", "extra"], 2, None, "status --help"),
    (["breaker", "reset", "everything", "--reason", "x"], 2, "scope", "global"),
    (["breaker", "reset", "tenant:nobody", "--reason", "x"], 1, "tenant", "tenant list"),
    (["breaker", "reset", "model:gpt", "--reason", "x"], 2, "scope", ""),
    (["breaker", "reset", "global"], 2, "reason", "reset --help"),
    (["explain"], 2, "decision", "--list"),
    (["explain", "nothing"], 1, "decision", ""),
    (["explain", "HOLD", "--list"], 2, "list", ""),
    (["explain", "--list", *T], 1, "tenant", "tenant list"),
    (["score"], 2, "decision", "score --help"),
    (["score", "nothing", "1"], 1, "decision", ""),
    (["score", "HOLD", "1.5"], 2, "score", "pass"),
    (["score", "HOLD", "good"], 2, "score", "pass"),
    (["score", "HOLD", "-1"], 2, "score", "from 0 to 1"),
    (["score", "HOLD", "١"], 2, "score", "from 0 to 1"),
    (["score", "HOLD", "1_0"], 2, "score", "from 0 to 1"),
    (["score", "HOLD", "1", "--weight", "0"], 2, "weight", "over 0"),
    (["score", "HOLD", "1", "--source", ""], 2, "source", ""),
    (["calibration", *T], 1, "tenant", "tenant list"),
    (["train"], 2, "file", "--tenant"),
    (["train", "--file", "/nowhere/file.csv"], 2, "file", "cannot be read: No such file or directory"),
    (["train", "--file", "/dev/null"], 2, "file", "has no rows"),
    (["train", "--file", "/dev/null", "--seed", "-1"], 2, "seed", "train --help"),
    (["train", "--prompts", "/dev/null"], 2, "tenant", "--prompts needs --tenant"),
    (["train", "--tenant", "acme", "--prompts", "/nowhere/p.csv"], 2, "file", "cannot be read"),
    (["train", "--tenant", "acme", "--prompts", "/dev/null"], 2, "file", "outlay-decision-id"),
    (["train", "--file", "/dev/null", "--prompts", "/dev/null"], 2, "prompts", "one of the two"),
    (["train", "--tenant", "acme", "--split", "train"], 2, "split", "--file"),
    (["train", *T], 1, "tenant", "tenant list"),
    (["train", "--tenant", "acme"], 1, None, "outlay score"),
    (["classifier", "list", *T], 1, "tenant", "tenant list"),
    (["classifier", "show"], 2, "version", "show --help"),
    (["classifier", "show", "nothing"], 1, "version", "classifier list"),
    (["classifier", "show", "x" * 300], 2, "version", ""),
    (["replay", *T], 1, "tenant", "tenant list"),
    (["replay", "--limit", "-1"], 2, "limit", ""),
    (["verify", "extra"], 2, None, "verify --help"),
    (["version", "extra"], 2, None, "version --help"),
    (["doctor", "extra"], 2, None, "doctor --help"),
    (["db", "upgrade", "extra"], 2, None, "upgrade --help"),
    (["db", "current", "--database-url", "mysql://u:secret@h/x"], 2, "database_url", "postgresql"),
    (["db", "check", "--database-url", "nonsense"], 2, "database_url", "sqlite:///FILE"),
    (["gateway", "--port", "0"], 2, "port", ""),
    (["gateway", "--port", "70000"], 2, "port", ""),
    (["gateway", "--workers", "0"], 2, "workers", ""),
    (["gateway", "--log-level", "loud"], 2, "log_level", "debug"),
    (["gateway", "--host", "no such host"], 2, "host", "127.0.0.1"),
    (["dashboard", "--port", "http"], 2, "port", ""),
    (["up", "--exit"], 2, "exit", "--demo"),
    (["topu"], 2, None, "topup"),
    (["--nonsense"], 2, "--nonsense", "outlay --help"),
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """
    Policy files of every kind of wrong, by the word that stands for them in the table.
    """
    good = build_policy()
    texts = {
        "GOOD": good.encode(),
        "BAD": b"[tiers\nlarge = ",
        "BYTES": b"\xff\xfe\x00",
        "LONG": b"#" * 1_000_001,
        "TYPO": good.replace("default_tier", "default_teir").encode(),
        "MONEY": good.replace("[budget]", "[budget]\ndaily_usd = 5.0").encode(),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.toml").write_bytes(text)
    return {name: str(tmp_path / f"{name}.toml") for name in texts}


def build_policy() -> str:
    """
    The packaged policy, to be spoilt.
    """
    from router.policy import default_policy_text

    return default_policy_text()


@pytest.mark.parametrize(("words", "status", "field", "said"), CASES, ids=lambda value: str(value)[:60])
def test_wrong_input_is_refused_with_field_and_fix(
    words: list[str], status: int, field: str | None, said: str,
    outlay: Outlay, files: dict[str, str], decision: str, contents: Contents,
) -> None:  # fmt: skip
    """
    As JSON and as text: exit status, field and fix; standard output stays empty and the books as they were.
    """
    before = contents()
    named = {**files, "HOLD": decision}
    line = [named.get(word, word) for word in words]
    ran = outlay(*_with_json(line))
    assert ran.status == status, ran
    assert ran.error["field"] == field
    assert said in f"{ran.error['message']} {ran.error['fix']}"
    told = outlay(*line)
    assert told.status == status
    assert said in told.err
    assert told.err.startswith("error: ")
    assert field is None or field.lstrip("-") in told.err
    assert ran.out == ""
    assert "secret" not in ran.err + told.err
    assert contents() == before


def _with_json(line: list[str]) -> list[str]:
    """Ask for JSON where the line still takes options."""
    at = line.index("--") if "--" in line else len(line)
    return [*line[:at], "--json", *line[at:]]


def test_every_command_stands_in_the_table(leaf: tuple[str, ...]) -> None:
    """
    A new command cannot come without wrong input for it.
    """
    assert any(tuple(words[: len(leaf)]) == leaf for words, *_ in CASES)


def test_every_command_takes_the_shared_options(leaf: tuple[str, ...]) -> None:
    """
    --json, --actor, --database-url and --debug, everywhere.
    """
    command: Any = get_command(build())
    for name in leaf:
        command = command.commands[name]
    options = {option for param in command.params for option in param.opts}
    assert options >= {"--json", "--actor", "--database-url", "--debug"}


GROUPS = ["tenant", "key", "budget", "lot", "seal", "policy", "route", "breaker", "db"]


@pytest.mark.parametrize("group", GROUPS)
def test_group_without_a_command_names_its_help(group: str, outlay: Outlay) -> None:
    """
    Half a command is a usage error that says where the other half is listed.
    """
    ran = outlay(group)
    assert (ran.status, ran.out) == (2, "")
    assert f"see: outlay {group} --help" in ran.err


def test_global_halt_asks_unless_told(outlay: Outlay, contents: Contents) -> None:
    """
    Without a terminal nobody can answer: exit 2, the fix named, nothing halted; --yes and --json mean it.
    """
    before = contents()
    ran = outlay("halt", "--reason", "x")
    assert ran.status == 2
    assert "--yes" in ran.err
    assert contents() == before
    assert outlay("halt", "--reason", "x", "--yes").status == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OUTLAY_PORT", "many", "OUTLAY_PORT"),
        ("OUTLAY_DATABASE_URL", "mysql://u:secret@h/x", "postgresql"),
        ("OUTLAY_POLICY", "/nowhere.toml", "OUTLAY_POLICY"),
    ],
)
def test_wrong_environment_is_refused(
    name: str, value: str, said: str, outlay: Outlay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    A variable that cannot be used is named.
    """
    monkeypatch.setenv(name, value)
    ran = outlay("tenant", "list", "--json")
    assert ran.status == 2
    assert said in str(ran.error)
    assert "secret" not in ran.err


def test_unexpected_failure_is_one_sentence(
    outlay: Outlay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A bug of ours prints one sentence and where its traceback lies, readable by its owner only.
    """
    import outlay.admin.money as money

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(money, "balance", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ran = outlay("balance", "acme", "--json")
    assert ran.status == 1
    assert ran.error["code"] == "unexpected"
    assert "ZeroDivisionError: oops" in ran.error["message"]
    kept = Path(ran.error["fix"].rpartition(" ")[2])
    assert "ZeroDivisionError" in kept.read_text()
    assert kept.stat().st_mode & 0o077 == 0
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert "--debug" in outlay("balance", "acme").err


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "words",
    [
        ["topup", "acme", "1", "--reason", HUGE * 2_500],
        ["topup", "acme", "1", f"--{HUGE * 2_500}"],
        [HUGE * 2_500],
        ["route", "set", HUGE * 2_500, "small"],
    ],
)
def test_a_long_value_is_not_echoed_whole(outlay: Outlay, words: list[str], form: list[str]) -> None:
    """
    Text of 50,000 characters is cut, and the fix is still told.
    """
    ran = outlay(*words, *form)
    assert ran.status == 2
    assert len(ran.err) < 3_000
    assert any(fix in ran.err for fix in ("--help", "at most", "crm/*"))
