"""
How calls find their tier through a running gateway: headers of complexity and role, changed routes.
"""

import time
from typing import Any

import pytest
from typer.testing import CliRunner

from outlay.admin.keys import create_key
from outlay.admin.money import balance
from outlay.admin.policies import apply_policy
from outlay.cli.main import build
from router.policy import default_policy_text

MAPPED = (
    default_policy_text()
    .replace('classifier = "table"', 'classifier = "complexity"')
    .replace(
        "[enforcement]",
        """
[routing.complexity]
trivial = { tier = "small", max_tokens = 50 }
simple = { tier = "small" }
standard = { tier = "medium" }
complex = { tier = "large" }
expert = { tier = "large" }
[routing.roles]
planner = { tier = "large" }
[enforcement]""",
    )
)
BODY = {
    "model": "outlay/auto",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Name a colour."}],
}


@pytest.fixture
def ask(gateway: Any, tenant: tuple[str, str], http: Any) -> Any:
    """Make a call; returns its headers, and its body where it was refused."""

    def run(key: str = tenant[1], body: Any = BODY, **hints: str) -> Any:
        sent = {"anthropic-version": "2023-06-01"}
        sent |= {f"outlay-{name.replace('_', '-')}": value for name, value in hints.items()}
        status, answer, headers = http("POST", f"{gateway.url}/v1/messages", key=key, headers=sent, json=body)
        return headers if status == 200 else answer["error"]

    return run


def test_headers_of_complexity_lead_to_a_tier(gateway: Any, tenant: tuple[str, str], ask: Any) -> None:
    """What the caller says lowers the class; it raises it only with a key that may loosen."""
    name = tenant[0]
    apply_policy(gateway.app, MAPPED, tenant=name, actor="test")
    plain = ask()
    assert (plain["outlay-tier-served"], plain["outlay-reason"]) == ("small", "complexity")
    tools = {**BODY, "tools": [{"name": "t", "input_schema": {"type": "object"}}]}
    assert ask(body=tools)["outlay-tier-served"] == "medium"
    assert ask(body=tools, complexity="trivial")["outlay-tier-served"] == "small"
    refused = ask(reasoning="high", revision="3", context="high", output_words="900")
    assert refused["outlay-tier-served"] == "small"
    assert refused["outlay-reason"] == "hint_not_allowed,complexity"
    loose = create_key(gateway.app, tenant=name, loosen=True, actor="test")["key"]
    raised = ask(key=loose, reasoning="high", revision="3", context="high", output_words="900")
    assert raised["outlay-tier-served"] == "large"
    assert ask(role="planner")["outlay-reason"] == "complexity,role_tier"
    wrong = ask(complexity="hard")
    assert wrong["details"]["error_code"] == "outlay_invalid_hint"
    assert wrong["details"]["field"] == "outlay-complexity"


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("priorty", 'Did you mean "outlay-priority"?'),
        ("tsk", 'Did you mean "outlay-task"?'),
        ("Tag", 'Did you mean "outlay-tags"?'),
        ("zzz", "Known are outlay-task, outlay-role, "),
    ],
)
def test_a_misspelt_header_is_refused_before_money_moves(
    gateway: Any, tenant: tuple[str, str], ask: Any, header: str, meant: str
) -> None:
    """Left out in silence, a budget of that task or tag would never see the call."""
    wrong = ask(**{header: "crm/note"})
    assert (wrong["type"], wrong["details"]["error_code"]) == ("invalid_request_error", "outlay_invalid_hint")
    assert wrong["details"]["field"] == f"outlay-{header.lower()}"
    assert "value" not in wrong["details"]
    assert meant in wrong["message"]
    assert balance(gateway.app, tenant[0])["held_usd"] == "0.00"


def test_headers_of_an_answer_may_be_sent_back(ask: Any) -> None:
    """A client or a gateway before this one that echoes what it was told is served."""
    told = {name: value for name, value in ask().items() if name.startswith("outlay-")}
    assert len(told) > 8
    again = ask(**{name.removeprefix("outlay-"): value for name, value in told.items()})
    assert again["outlay-decision-id"] != told["outlay-decision-id"]


def test_a_misrouted_task_is_put_right_by_one_command(
    gateway: Any, tenant: tuple[str, str], ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running gateway follows with its next call, long before half a minute has passed."""
    assert ask(task="crm/mail")["outlay-tier-served"] == "medium"
    monkeypatch.setenv("OUTLAY_DATABASE_URL", gateway.app.settings.database_url)
    began = time.monotonic()
    done = CliRunner().invoke(build(), ["route", "set", "crm/mail", "small", "--tenant", tenant[0]])
    assert done.exit_code == 0, done.output
    after = ask(task="crm/mail")
    assert time.monotonic() - began < 10
    assert (after["outlay-tier-served"], after["outlay-reason"]) == ("small", "task_route")
