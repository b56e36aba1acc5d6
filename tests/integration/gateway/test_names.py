"""
Names beyond ASCII over real HTTP: a task, tag or user is one name however its bytes are written.
"""

import unicodedata
from typing import Any

import pytest

from outlay.admin.money import set_budget
from outlay.admin.policies import apply_policy
from router.policy import default_policy_text

PLANE = "/outlay/v1"
NAME = "crm/ü"
NFD = unicodedata.normalize("NFD", NAME)
BODY = {"model": "claude-haiku-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
ROUTED = default_policy_text() + f'\n[routing.tasks."{NAME}"]\ntier = "large"\n'


@pytest.fixture
def call(gateway: Any, tenant: tuple[str, str], http: Any) -> Any:
    """Make a call with headers in UTF-8; returns status, body and headers."""

    def run(body: Any = BODY, **headers: str) -> Any:
        sent = {"anthropic-version": "2023-06-01"}
        sent |= {f"outlay-{name.replace('_', '-')}": value for name, value in headers.items()}
        return http("POST", f"{gateway.url}/v1/messages", key=tenant[1], headers=sent, json=body)

    return run


@pytest.mark.parametrize("spent", [NAME, NFD])
@pytest.mark.parametrize("said", [NAME, NFD])
@pytest.mark.parametrize("kind", ["task", "tag", "user"])
def test_no_way_to_write_a_name_escapes_its_budget(
    gateway: Any, tenant: tuple[str, str], call: Any, kind: str, said: str, spent: str
) -> None:
    """A budget of 0 refuses the call, whichever normal form either side uses."""
    scope = f"tag:team={spent}" if kind == "tag" else f"{kind}:{spent}"
    set_budget(gateway.app, tenant[0], "0", scope=scope, actor="test")
    headers = {"task": {"task": said}, "tag": {"tags": f"team={said}"}, "user": {}}[kind]
    body = {**BODY, "metadata": {"user_id": said}} if kind == "user" else BODY
    status, answer, _ = call(body, **headers)
    assert status == 429, answer
    assert call(BODY, task="other")[0] == 200


def test_a_mark_joins_the_equals_sign_of_a_tag_on_both_sides(
    gateway: Any, tenant: tuple[str, str], call: Any
) -> None:
    """Form C makes one character of "=" and a stroke over it; tag and budget are compared after that."""
    value = "\u0338x"
    set_budget(gateway.app, tenant[0], "0", scope=f"tag:team={value}", actor="test")
    assert call(tags=f"team={value}")[0] == 429


@pytest.mark.parametrize("said", [NAME, NFD])
def test_a_task_beyond_ascii_finds_its_route(
    gateway: Any, tenant: tuple[str, str], http: Any, call: Any, said: str
) -> None:
    """The route of the policy serves the call, and the decision keeps the name as people write it."""
    apply_policy(gateway.app, ROUTED, tenant=tenant[0], actor="test")
    status, _, headers = call({**BODY, "model": "outlay/auto"}, task=said)
    assert (status, headers["outlay-tier-served"]) == (200, "large")
    told = http("GET", f"{gateway.url}{PLANE}/decisions/{headers['outlay-decision-id']}")[1]
    assert told["task"] == NAME


def test_an_idempotency_key_is_the_same_in_header_and_body(
    gateway: Any, tenant: tuple[str, str], http: Any
) -> None:
    """The key of a header is read as UTF-8, so that it agrees with the body's and is done once."""
    url = f"{gateway.url}{PLANE}/tenants/{tenant[0]}/top-ups"
    key = {"Idempotency-Key": "Beleg-ü"}
    first = http("POST", url, json={"amount": "1", "idempotency_key": "Beleg-ü"}, headers=key)
    again = http("POST", url, json={"amount": "1"}, headers=key)
    assert (first[0], again[0]) == (200, 200), (first, again)
    assert (first[1]["replayed"], again[1]["replayed"]) == (False, True)
