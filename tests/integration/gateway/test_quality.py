"""
Scores on the control plane: who may judge whose calls, once per key, and what that proves.
"""

from typing import Any

import pytest

from outlay.admin.classifiers import train_classifier
from outlay.admin.keys import create_key
from outlay.learned.examples import Example

PLANE = "/outlay/v1"
VERSION = {"anthropic-version": "2023-06-01"}
BODY = {
    "model": "claude-haiku-5-5",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.fixture
def decision(gateway: Any, tenant: Any, http: Any) -> str:
    """A call that the tenant has made."""
    status, _, headers = http("POST", f"{gateway.url}/v1/messages", key=tenant[1], json=BODY, headers=VERSION)
    assert status == 200
    return str(headers["outlay-decision-id"])


def test_a_tenant_scores_its_own_call(gateway: Any, tenant: Any, http: Any, decision: str) -> None:
    """Said once, told back to the tenant and to operators, with who said it."""
    url = f"{gateway.url}{PLANE}/decisions/{decision}/scores"
    sent = {"score": 0.8, "source": "user", "weight": 0.5, "comment": "fine"}
    key = {"Idempotency-Key": "verdict-1"}
    status, said, _ = http("POST", url, key=tenant[1], json=sent, headers=key)
    assert (status, said["value"], said["weight"], said["replayed"]) == (201, 0.8, 0.5, False)
    assert said["actor"].startswith("key:")
    assert http("POST", url, key=tenant[1], json=sent, headers=key)[1]["replayed"] is True
    other = http("POST", url, key=tenant[1], json={**sent, "score": False}, headers=key)
    assert (other[0], other[1]["error"]["details"]["error_code"]) == (409, "key_conflict")
    for reader in (tenant[1], "admin-secret"):
        (shown,) = http("GET", url, key=reader)[1]["scores"]
        assert (shown["value"], shown["comment"], shown["counts"]) == (0.8, "fine", True)
    told = http("GET", f"{gateway.url}{PLANE}/decisions/{decision}")[1]
    assert [score["value"] for score in told["scores"]] == [0.8]


@pytest.mark.parametrize("score", [1, 0.25, True, False, "pass", "fail", "true", "false", 0])
def test_every_way_to_say_it_is_understood(gateway: Any, http: Any, decision: str, score: Any) -> None:
    """Numbers, truth values, and words."""
    url = f"{gateway.url}{PLANE}/decisions/{decision}/scores"
    status, said, _ = http("POST", url, json={"score": score})
    assert status == 201
    assert said["value"] == {"pass": 1, "fail": 0, "true": 1, "false": 0}.get(score, score)


def test_nobody_judges_the_calls_of_another(gateway: Any, http: Any, decision: str) -> None:
    """Another tenant's key finds nothing; a viewer reads and does not judge."""
    url = f"{gateway.url}{PLANE}/decisions/{decision}/scores"
    foreign = http("POST", f"{gateway.url}{PLANE}/tenants", json={"tenant": f"spy-{decision}"})[1]["key"]
    for method, body in (("POST", {"score": 0}), ("GET", None)):
        status, answer, _ = http(method, url, key=foreign, json=body)
        assert (status, answer["error"]["details"]["error_code"]) == (404, "unknown_decision")
    viewer = create_key(gateway.app, role="viewer", name="v", actor="test")["key"]
    assert http("GET", url, key=viewer)[0] == 200
    assert http("POST", url, key=viewer, json={"score": 1})[0] == 403
    assert http("POST", url, key=None, json={"score": 1})[0] == 401
    assert http("GET", url)[1]["scores"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"score": 2}, "score"),
        ({"score": None}, "score"),
        ({"score": "great"}, "score"),
        ({"score": "١"}, "score"),
        ({"score": [1]}, "score"),
        ({}, "score"),
        ({"score": 1, "weight": 0}, "weight"),
        ({"score": 1, "weight": "1"}, "weight"),
        ({"score": 1, "source": ""}, "source"),
        ({"score": 1, "sorce": "user"}, "sorce"),
    ],
)
def test_a_score_that_cannot_be_read_names_its_field(
    gateway: Any, http: Any, decision: str, body: dict[str, Any], field: str
) -> None:
    """Wrong and unknown fields are 400, and nothing is written."""
    url = f"{gateway.url}{PLANE}/decisions/{decision}/scores"
    status, answer, _ = http("POST", url, json=body)
    assert status == 400
    assert answer["error"]["details"]["field"] == field
    assert answer["error"]["details"]["fix"] != ""
    assert http("GET", url)[1]["scores"] == []


def test_trained_classifiers_are_shown(gateway: Any, http: Any) -> None:
    """The list, and one with its classes and what it may promise; one that is not there is 404."""
    url = f"{gateway.url}{PLANE}/classifiers"
    rows = [Example(f"question {n}", "law" if n % 2 else "mail", 1.0 - n % 2, 1.0) for n in range(60)]
    made = train_classifier(gateway.app, rows, actor="test")
    assert made["version"] in [one["version"] for one in http("GET", url)[1]["classifiers"]]
    shown = http("GET", f"{url}/{made['version']}")[1]
    assert (shown["automatic"], sorted(shown["classes"])) == (True, ["law", "mail"])
    assert shown["quality"]["proposals"] == made["quality"]["proposals"]
    assert http("GET", f"{url}/nothing")[0] == 404


def test_the_calibration_is_for_operators(gateway: Any, tenant: Any, http: Any) -> None:
    """It shows every tenant, so a tenant's key may not read it."""
    url = f"{gateway.url}{PLANE}/calibration"
    assert http("GET", url)[1] == {"classes": []}
    assert http("GET", f"{url}?tenant={tenant[0]}")[0] == 200
    assert http("GET", f"{url}?tenant=nobody")[0] == 404
    assert http("GET", url, key=tenant[1])[0] == 403
