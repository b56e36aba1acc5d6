"""
The control plane on a real server: what operators do, who may do it, and what goes wrong.
"""

import asyncio
import io
from typing import Any

import aiohttp
import pytest

from outlay.admin.keys import create_key

PLANE = "/outlay/v1"
READS = [
    "/tenants",
    "/tenants/acme",
    "/policy",
    "/policy/versions",
    "/routes",
    "/routes/task?task=crm/mail",
    "/decisions",
    "/calibration",
    "/classifiers",
    "/breakers",
    "/open-holds",
    "/lots/acme-1",
]
CHANGES = [
    ("POST", "/tenants", {"tenant": "new"}),
    ("PATCH", "/tenants/acme", {"frozen": False}),
    ("POST", "/tenants/acme/top-ups", {"amount": "1"}),
    ("POST", "/tenants/acme/budgets", {"limit": "1"}),
    ("POST", "/tenants/acme/budgets/raise", {"limit": "9", "until": "2099-01-01"}),
    ("POST", "/refunds", {"hold": "x"}),
    ("POST", "/settlements", {"hold": "x", "cost": "1", "reason": "r"}),
    ("POST", "/tenants/acme/adjustments", {"amount": "1", "reason": "r"}),
    ("POST", "/lots/acme-1/reverse", {"reason": "r"}),
    ("POST", "/seals", {}),
    ("POST", "/keys", {"tenant": "acme"}),
    ("POST", "/keys/x/revoke", {}),
    ("POST", "/policy", {"text": ""}),
    ("POST", "/policy/rollback", {"version": 1}),
    ("POST", "/breakers/reset", {"scope": "global", "reason": "r"}),
    ("POST", "/halt", {"reason": "r"}),
    ("POST", "/resume", {"reason": "r"}),
    ("GET", "/keys", None),
]


def test_the_life_of_a_tenant(gateway: Any, http: Any) -> None:
    """Create, top up once, raise, read, freeze: each step is seen by the next."""
    base = gateway.url + PLANE
    status, made, _ = http("POST", f"{base}/tenants", json={"tenant": "life", "credit": "20"})
    assert status == 201
    assert made["key"].startswith("olk_")
    top_up = {"amount": "10", "reason": "invoice 7"}
    key = {"Idempotency-Key": "inv-7"}
    first = http("POST", f"{base}/tenants/life/top-ups", json=top_up, headers=key)[1]
    again = http("POST", f"{base}/tenants/life/top-ups", json=top_up, headers=key)[1]
    assert (first["credit_usd"], again["replayed"]) == ("30.00", True)
    other = http("POST", f"{base}/tenants/life/top-ups", json={"amount": "11"}, headers=key)
    assert other[0] == 409
    assert other[1]["error"]["details"]["error_code"] == "key_conflict"
    assert http("POST", f"{base}/tenants/life/budgets", json={"limit": "2.50"})[1]["limit_usd"] == "2.50"
    assert http("GET", f"{base}/tenants/life/balance")[1]["day"]["limit_usd"] == "2.50"
    assert http("GET", f"{base}/tenants/life/statement?limit=1")[1]["closing_usd"] == "30.00"
    assert http("PATCH", f"{base}/tenants/life", json={"frozen": True})[1]["frozen"] is True
    assert "life" in [row["tenant"] for row in http("GET", f"{base}/tenants")[1]["tenants"]]


def test_the_life_of_a_lot(gateway: Any, http: Any) -> None:
    """Grant, correct, charge back, look back: once per key, each with a reason."""
    base = gateway.url + PLANE
    own = http("POST", f"{base}/tenants", json={"tenant": "lots", "credit": "20"})[1]["key"]
    grant = {
        "amount": "5",
        "kind": "promo",
        "priority": 3,
        "effective": "2099-01-01",
        "expires": "2099-02-01",
    }
    made = http("POST", f"{base}/tenants/lots/top-ups", json=grant)[1]
    fix = {"amount": "4", "take": True, "reason": "twice"}
    key = {"Idempotency-Key": "fix"}
    once = [http("POST", f"{base}/tenants/lots/adjustments", json=fix, headers=key)[1] for _ in range(2)]
    assert [one["replayed"] for one in once] == [False, True]
    assert http("POST", f"{base}/tenants/lots/adjustments", json={"amount": "4"})[0] == 400
    status, refused, _ = http("POST", f"{base}/tenants/lots/adjustments", json={**fix, "amount": "400"})
    assert (status, refused["error"]["details"]["error_code"]) == (409, "debt_unconfirmed")
    assert "confirmed" in refused["error"]["details"]["fix"]
    found = http("GET", f"{base}/tenants/lots/lots", key=own)[1]["lots"]
    assert [(lot["state"], lot["remaining_usd"]) for lot in found] == [
        ("open", "16.00"),
        ("scheduled", "5.00"),
    ]
    assert http("GET", f"{base}/lots/{made['transfer']}")[1]["lines"][0]["kind"] == "schedule"
    back = {"kind": "chargeback", "reason": "bank"}
    assert http("POST", f"{base}/lots/lots-1/reverse", json=back)[1]["debt_usd"] == "4.00"
    status, refused, _ = http("POST", f"{base}/lots/lots-1/reverse", json=back)
    assert (status, refused["error"]["details"]["error_code"]) == (409, "reversal_exceeds_grant")
    assert http("POST", f"{base}/lots/nobody-1/reverse", json=back)[0] == 404
    past = http("GET", f"{base}/tenants/lots/balance?at=2020-01-01", key=own)[1]
    assert (past["credit_usd"], past["debt_usd"]) == ("0.00", "0.00")
    assert http("GET", f"{base}/open-holds?tenant=lots")[1]["count"] == 0
    assert http("POST", f"{base}/seals", json={})[1]["sealed"] == 0


def test_a_wrong_settlement_is_corrected_by_an_operator(gateway: Any, http: Any) -> None:
    """
    The tenant's own service reports any cost, once; an operator books the truth, once per key, a cost far
    above what was held only when it is confirmed.
    """
    base = gateway.url + PLANE
    own = http("POST", f"{base}/tenants", json={"tenant": "typo", "credit": "20"})[1]["key"]
    offers = {"offers": [{"name": "mine", "cost_usd": "0.50"}]}
    hold = http("POST", f"{base}/holds", json=offers, key=own)[1]["hold"]
    assert http("POST", f"{base}/holds/{hold}/settle", json={"cost_usd": "14"}, key=own)[0] == 200
    wrong = http("POST", f"{base}/holds/{hold}/settle", json={"cost_usd": "0.14"}, key=own)
    assert (wrong[0], wrong[1]["error"]["details"]["cost_usd"]) == (409, "14.00")
    assert "already, at 14.00 USD; an operator corrects that" in wrong[1]["error"]["message"]
    truth = {"hold": hold, "cost": "0.14", "reason": "typo"}
    key = {"Idempotency-Key": "truth-1"}
    once = [http("POST", f"{base}/settlements", json=truth, headers=key)[1] for _ in range(2)]
    assert [one["replayed"] for one in once] == [False, True]
    assert once[0] == {**once[1], "replayed": False}
    assert (once[0]["cost_before_usd"], once[0]["credit_usd"]) == ("14.00", "19.86")
    status, refused, _ = http("POST", f"{base}/settlements", json={**truth, "cost": "6"})
    assert (status, refused["error"]["details"]["error_code"]) == (409, "cost_unconfirmed")
    sure = http("POST", f"{base}/settlements", json={**truth, "cost": "6", "confirmed": True})[1]
    assert sure["credit_usd"] == "14.00"
    assert http("POST", f"{base}/settlements", json={**truth, "hold": "none"})[0] == 404


def test_keys_halts_and_policies(gateway: Any, http: Any) -> None:
    """A key works until it is revoked; halts and policies are seen at once."""
    base = gateway.url + PLANE
    key = http("POST", f"{base}/keys", json={"role": "viewer", "name": "board"})[1]
    assert http("GET", f"{base}/tenants", key=key["key"])[0] == 200
    assert "key" not in http("GET", f"{base}/keys")[1]["keys"][0]
    assert http("POST", f"{base}/keys/{key['id']}/revoke")[0] == 200
    assert http("GET", f"{base}/tenants", key=key["key"])[0] == 401
    assert http("POST", f"{base}/halt", json={"reason": "drill"})[1]["halted"] is True
    assert any(switch["halted"] for switch in http("GET", f"{base}/breakers")[1]["switches"])
    assert http("POST", f"{base}/resume", json={"reason": "over"})[1]["halted"] is False
    text = http("GET", f"{base}/policy")[1]["text"]
    assert http("POST", f"{base}/policy/validate", json={"text": text})[1]["ok"] is True
    assert http("POST", f"{base}/policy", json={"text": text, "note": "same"})[0] == 201
    assert http("POST", f"{base}/policy/rollback", json={"version": 1})[0] == 201
    assert len(http("GET", f"{base}/policy/versions")[1]["versions"]) >= 2
    assert http("GET", f"{base}/policy?version=1")[1]["version"] == 1


def test_a_policy_is_previewed_before_it_is_applied(gateway: Any, tenant: Any, http: Any) -> None:
    """A preview answers with sums now and then and writes nothing; what cannot be one is refused."""
    url, base = f"{gateway.url}{PLANE}/policy/preview", gateway.url + PLANE
    text, versions = http("GET", f"{base}/policy")[1]["text"], http("GET", f"{base}/policy/versions")[1]
    status, found, _ = http("POST", url, json={"text": text, "days": 2})
    assert (status, found["days"], found["changed"]) == (200, 2, 0)
    assert {"calls", "spend_now_usd", "spend_then_usd"} <= found["total"].keys()
    assert http("GET", f"{base}/policy/versions")[1] == versions
    assert http("POST", url, json={"text": "[tiers]"})[0] == 400
    assert http("POST", url, json={"text": text, "days": 0})[1]["error"]["details"]["field"] == "days"
    assert http("POST", url, json={"text": text, "tenant": "nobody"})[0] == 404
    assert http("POST", url, key=tenant[1], json={"text": text})[0] == 403


def test_one_preview_at_a_time(gateway: Any, http: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a preview is being made another one is told to wait, and may come afterwards."""
    url, body = f"{gateway.url}{PLANE}/policy/preview", {"text": ""}
    asked: list[int] = []

    def apart(*_args: object, **_named: object) -> dict[str, object]:
        asked.append(http("POST", url, json=body)[0])
        return {}

    monkeypatch.setattr("outlay.admin.preview.preview_apart", apart)
    assert http("POST", url, json=body)[0] == 200
    assert asked == [409]
    monkeypatch.setattr("outlay.admin.preview.preview_apart", lambda *_args, **_named: {})
    assert http("POST", url, json=body)[0] == 200


@pytest.mark.parametrize("path", READS)
def test_reading_needs_a_viewer(gateway: Any, tenant: Any, http: Any, path: str) -> None:
    """A tenant's key, a wrong key and no key read nothing of others."""
    url = gateway.url + PLANE + path
    assert http("GET", url, key=tenant[1])[0] == 403
    assert http("GET", url, key="olk_wrong")[0] == 401
    assert http("GET", url, key=None)[0] == 401
    viewer = create_key(gateway.app, role="viewer", name="v", actor="test")["key"]
    assert http("GET", url, key=viewer)[0] in (200, 404)


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_changing_needs_an_operator(
    gateway: Any, tenant: Any, http: Any, method: str, path: str, body: Any
) -> None:
    """Neither a tenant's key nor a viewer changes anything."""
    viewer = create_key(gateway.app, role="viewer", name="v", actor="test")["key"]
    for key in (tenant[1], viewer):
        status, answer, headers = http(method, gateway.url + PLANE + path, key=key, json=body)
        assert status == 403
        assert answer["error"]["type"] == "permission_error"
        assert headers["request-id"] == answer["request_id"]


def test_only_an_admin_sends_the_provider_key_elsewhere(gateway: Any, tenant: Any, http: Any) -> None:
    """An operator applies thresholds, but no policy with other upstreams, also not by a rollback."""
    base = f"{gateway.url}/outlay/v1"
    operator = create_key(gateway.app, role="operator", name="o", actor="test")["key"]
    admin = create_key(gateway.app, role="admin", name="a", actor="test")["key"]
    plain = '[tiers.one]\nmodels = ["claude-opus-5-5"]\n[routing]\ndefault_tier = "one"\n'
    elsewhere = plain + '[upstreams.default]\nurl = "https://evil.example"\nkey_env = "ANTHROPIC_API_KEY"\n'
    for whose in (None, tenant[0]):
        named = {} if whose is None else {"tenant": whose}
        assert http("POST", f"{base}/policy", key=operator, json={"text": elsewhere, **named})[0] == 403
        assert http("POST", f"{base}/policy", key=operator, json={"text": plain, **named})[0] == 201
        assert http("POST", f"{base}/policy", key=admin, json={"text": elsewhere, **named})[0] == 201
        back = {"version": 1, **named}
        assert http("POST", f"{base}/policy/rollback", key=operator, json=back)[0] == 403
        assert http("POST", f"{base}/policy/rollback", key=admin, json=back)[0] == 201


def test_only_an_admin_makes_and_revokes_keys_of_operators(gateway: Any, http: Any) -> None:
    """An operator cannot lift itself to admin, nor lock others out."""
    base = gateway.url + PLANE
    operator = create_key(gateway.app, role="operator", name="o", actor="test")
    admin = create_key(gateway.app, role="admin", name="a", actor="test")
    assert http("POST", f"{base}/keys", key=operator["key"], json={"role": "admin"})[0] == 403
    assert http("POST", f"{base}/keys/{admin['id']}/revoke", key=operator["key"])[0] == 403
    assert http("POST", f"{base}/keys", key=admin["key"], json={"role": "viewer", "name": "x"})[0] == 201
    made = http("GET", f"{base}/keys", key=operator["key"])[1]["keys"][-1]
    assert made["created_by"] == f"key:{admin['id']}"


def test_a_tenant_reaches_its_own_books_only(gateway: Any, tenant: Any, http: Any) -> None:
    """Own balance and statement, and not those of another."""
    name, key = tenant
    base = gateway.url + PLANE
    http("POST", f"{base}/tenants", json={"tenant": "other-books"})
    for what in ("balance", "statement"):
        assert http("GET", f"{base}/tenants/{name}/{what}", key=key)[0] == 200
        assert http("GET", f"{base}/tenants/other-books/{what}", key=key)[0] == 403
        assert http("GET", f"{base}/tenants/nobody/{what}", key=key)[0] == 403


def test_who_changed_what_is_for_viewers_and_not_for_the_tenant(gateway: Any, http: Any) -> None:
    """A lowered limit is told with the key that ordered it and why; a tenant's key sees nothing of it."""
    base = gateway.url + PLANE
    own = http("POST", f"{base}/tenants", json={"tenant": "told", "daily_budget": "5"})[1]["key"]
    operator = create_key(gateway.app, role="operator", name="o", actor="test")
    order = {"limit": "2", "reason": "too much"}
    assert http("POST", f"{base}/tenants/told/budgets", key=operator["key"], json=order)[0] == 200
    frozen = {"frozen": True, "reason": "unpaid"}
    assert http("PATCH", f"{base}/tenants/told", key=operator["key"], json=frozen)[0] == 200
    viewer = create_key(gateway.app, role="viewer", name="v", actor="test")["key"]
    status, found, _ = http("GET", f"{base}/tenants/told/history?limit=2", key=viewer)
    assert status == 200
    lowered, stopped = found["changes"]
    assert (lowered["from"], lowered["to"], lowered["reason"]) == ("5.00", "2.00", "too much")
    assert (stopped["setting"], stopped["to"], stopped["reason"]) == ("frozen", True, "unpaid")
    assert {lowered["actor"], stopped["actor"]} == {f"key:{operator['id']}"}
    assert http("GET", f"{base}/tenants/told/history", key=own)[0] == 403
    assert http("GET", f"{base}/tenants/told/history?of=keys", key=viewer)[0] == 400


def test_openapi_is_served_and_loads_nothing_from_elsewhere(gateway: Any, http: Any) -> None:
    """The description is public, complete, and there is no page with foreign scripts."""
    status, spec, _ = http("GET", f"{gateway.url}{PLANE}/openapi.json", key=None)
    assert status == 200
    assert {"/tenants/{tenant}/top-ups", "/holds/{hold_id}/settle", "/halt"} <= set(spec["paths"])
    assert http("GET", f"{gateway.url}{PLANE}/docs")[0] == 404
    for path in ("/tenants/openapi.json", "/decisions/openapi.json", "/x/openapi.json"):
        assert http("GET", f"{gateway.url}{PLANE}{path}", key=None)[0] == 401


BAD = [
    ("POST", "/tenants", {"tenant": "x", "credits": "5"}, "credits", 'Did you mean "credit"?'),
    ("POST", "/tenants", {"tenant": "x", "credit": 5}, "credit", "text"),
    ("POST", "/tenants", {"tenant": "x", "credit": "-5"}, "credit", ""),
    ("POST", "/tenants", {"tenant": "x", "credit": "1e3"}, "credit", ""),
    ("POST", "/tenants", {"tenant": "x", "credit": "99999999999999999999"}, "credit", ""),
    ("POST", "/tenants", {"tenant": "x", "timezone": "Europe/Berln"}, "timezone", "Europe/Berlin"),
    ("POST", "/tenants", {"tenant": "../x"}, "tenant", "letters"),
    ("POST", "/tenants", {}, "tenant", "Add"),
    ("PATCH", "/tenants/acme", {"frozen": "yes"}, "frozen", "true or false"),
    ("POST", "/tenants/acme/top-ups", {}, "amount", "Add"),
    ("POST", "/tenants/acme/top-ups", {"amount": "0"}, "amount", ""),
    ("POST", "/tenants/acme/top-ups", {"amount": None}, "amount", ""),
    ("POST", "/tenants/acme/top-ups", {"amount": ["1"]}, "amount", ""),
    ("POST", "/tenants/acme/top-ups", {"amount": "1", "kind": "gift"}, "kind", ""),
    ("POST", "/tenants/acme/top-ups", {"amount": "1", "expires": "soon"}, "expires", ""),
    ("POST", "/tenants/acme/budgets", {"limit": "5", "window": "dya"}, "window", ""),
    ("POST", "/tenants/acme/budgets", {"limit": 5}, "limit", "text"),
    ("POST", "/tenants/acme/budgets", {"limti": "5"}, "limti", 'Did you mean "limit"?'),
    ("POST", "/settlements", {"hold": "x", "cost": "1"}, "reason", "Add"),
    ("POST", "/settlements", {"hold": "x", "cost": 1, "reason": "r"}, "cost", "text"),
    ("POST", "/settlements", {"hold": "x", "cost": "1", "reason": " "}, "reason", "Say"),
    (
        "POST",
        "/settlements",
        {"hold": "x", "cost": "1", "reason": "r", "confirm": True},
        "confirm",
        "confirmed",
    ),
    ("POST", "/keys", {"role": "root"}, "role", ""),
    ("POST", "/policy/rollback", {"version": "1"}, "version", "number"),
    ("POST", "/policy/rollback", {"version": True}, "version", "number"),
    ("POST", "/halt", {}, "reason", "Add"),
    ("POST", "/halt", {"reason": ""}, "reason", ""),
    ("POST", "/breakers/reset", {"scope": "planet", "reason": "r"}, "scope", ""),
    ("GET", "/decisions?limit=x", None, "limit", "number"),
    ("GET", "/decisions?tenat=acme", None, "tenat", 'Did you mean "tenant"?'),
    ("GET", "/tenants/acme/statement?since=soon", None, "since", ""),
    ("GET", "/policy?version=x", None, "version", "number"),
]


@pytest.mark.parametrize(("method", "path", "body", "field", "fix"), BAD)
def test_bad_input_names_field_value_and_fix(
    gateway: Any, http: Any, method: str, path: str, body: Any, field: str, fix: str
) -> None:
    """Wrong input is 400 with field and fix, and nothing is written."""
    base = gateway.url + PLANE
    http("POST", f"{base}/tenants", json={"tenant": "acme"})
    before = http("GET", f"{base}/tenants")[1]
    status, answer, headers = http(method, base + path, json=body)
    assert status == 400, answer
    details = answer["error"]["details"]
    assert details["field"] == field
    assert fix in f"{details['fix']} {answer['error']['message']}"
    assert headers["x-should-retry"] == "false"
    assert http("GET", f"{base}/tenants")[1]["tenants"] == before["tenants"]


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"amount": NaN}', 400),
        (b'"amount"', 400),
        (b"\xff\xfe", 400),
        (b" " * (33 * 1024 * 1024), 413),
    ],
    ids=["empty", "broken", "list", "NaN", "text", "bytes", "huge"],
)
def test_malformed_bodies_are_refused(gateway: Any, http: Any, raw: bytes, status: int) -> None:
    """What is no JSON object never reaches the books."""
    url = f"{gateway.url}{PLANE}/tenants/acme/top-ups"
    got, answer, _ = http("POST", url, data=io.BytesIO(raw), headers={"content-type": "application/json"})
    assert got == status
    assert answer["type"] == "error"
    assert answer["error"]["details" if status == 400 else "type"]


def test_unknown_things_are_404_and_methods_405(gateway: Any, http: Any) -> None:
    """Tenants, decisions, keys, versions and paths that do not exist."""
    base = gateway.url + PLANE
    for path, code in (
        ("/tenants/nobody", "unknown_tenant"),
        ("/tenants/nobody/balance", "unknown_tenant"),
        ("/decisions/00000000-0000-7000-8000-000000000000", "unknown_decision"),
        ("/policy?version=99", "unknown_version"),
        ("/nothing", "outlay_not_found"),
    ):
        status, answer, _ = http("GET", base + path)
        assert (status, answer["error"]["details"]["error_code"]) == (404, code)
    assert http("POST", f"{base}/tenants/nobody/top-ups", json={"amount": "1"})[0] == 404
    assert http("POST", f"{base}/keys/nokey/revoke")[0] == 404
    assert http("DELETE", f"{base}/tenants")[0] == 405


def test_two_idempotency_keys_that_differ_are_refused(gateway: Any, http: Any) -> None:
    """A key in the header and another one in the body cannot both hold."""
    url = f"{gateway.url}{PLANE}/tenants/acme/top-ups"
    body = {"amount": "1", "idempotency_key": "a"}
    status, answer, _ = http("POST", url, json=body, headers={"Idempotency-Key": "b"})
    assert status == 400
    assert answer["error"]["details"]["field"] == "idempotency_key"


def test_health_and_readiness(gateway: Any, http: Any) -> None:
    """A process that serves is alive and ready; neither needs a key."""
    assert http("GET", f"{gateway.url}/healthz", key=None)[:2] == (200, {"status": "ok"})
    assert http("GET", f"{gateway.url}/readyz", key=None)[:2] == (200, {"status": "ready"})


def test_a_websocket_is_refused_at_its_handshake(gateway: Any) -> None:
    """There are none here: 403, and no traceback."""

    async def shake() -> int:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{gateway.url}{PLANE}/tenants")
            return refused.value.status

    assert asyncio.run(shake()) == 403


@pytest.mark.parametrize("kind", [None, "application/x-www-form-urlencoded", "text/plain"])
def test_a_json_body_is_read_whatever_it_is_called(
    gateway: Any, tenant: Any, http: Any, kind: str | None
) -> None:
    """curl calls its data a form and some clients call it nothing; what no JSON object is stays refused."""
    url = f"{gateway.url}/outlay/v1/tenants/{tenant[0]}/top-ups"
    sent = {} if kind is None else {"headers": {"content-type": kind}}
    skipped = {"skip_auto_headers": ["content-type"]}
    assert http("POST", url, data=b'{"amount": "1"}', **skipped, **sent)[0] == 200
    for body in (b"amount=1", b'"1"', b""):
        status, answer, _ = http("POST", url, data=body, **skipped, **sent)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


def test_a_long_name_is_not_echoed_whole(gateway: Any, tenant: Any, http: Any) -> None:
    """What a caller sends comes back cut, in the message and in the details."""
    url = f"{gateway.url}/outlay/v1/tenants/{tenant[0]}/top-ups"
    status, answer, _ = http("POST", url, json={"amount": "1", "x" * 50_000: 1})
    assert status == 400
    assert len(str(answer)) < 3_000
    assert "Known fields" in answer["error"]["message"]


def test_a_field_that_is_there_twice_is_refused(gateway: Any, http: Any) -> None:
    """Of two amounts neither is booked: nobody can say which was meant. So it is with a field in a field."""
    base = gateway.url + PLANE
    http("POST", f"{base}/tenants", json={"tenant": "twice", "credit": "5"})
    for path, raw, field in (
        ("/tenants/twice/top-ups", '{"amount": "1", "amount": "2"}', "amount"),
        ("/halt", '{"reason": "r", "tenant": {"a": 1, "\\u0061": 2}}', "a"),
    ):
        status, said, _ = http("POST", base + path, data=raw)
        assert (status, said["error"]["details"]["field"]) == (400, field), said
        assert f'"{field}" is there twice' in said["error"]["message"]
    assert http("GET", f"{base}/tenants/twice")[1]["credit_usd"] == "5.00"
