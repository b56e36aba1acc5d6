"""
Holds over HTTP, for callers that talk to a provider themselves.
"""

from typing import Any

from outlay.admin import money, tenants

OFFERS = {"offers": [{"name": "big", "cost_usd": "9"}, {"name": "small", "cost_usd": "0.02"}], "ttl_s": 60}


def test_a_hold_is_made_settled_and_paid(gateway: Any, tenant: Any, http: Any) -> None:
    """The first offer that fits is held; the reported cost is what is paid; a repeat changes nothing."""
    name, key = tenant
    url = f"{gateway.url}/outlay/v1/holds"
    status, made, _ = http("POST", url, key=key, json=OFFERS, headers={"Idempotency-Key": "job"})
    assert (status, made["model"], made["held_usd"]) == (201, "small", "0.02")
    assert money.balance(gateway.app, name)["held_usd"] == "0.02"
    assert http("POST", f"{url}/{made['hold']}/renew", key=key, json={"ttl_s": 120})[0] == 200
    for replayed in (False, True):
        status, settled, _ = http(
            "POST", f"{url}/{made['hold']}/settle", key=key, json={"cost_usd": "0.0125"}
        )
        assert (status, settled["cost_usd"], settled["replayed"]) == (200, "0.0125", replayed)
    balance = money.balance(gateway.app, name)
    assert (balance["held_usd"], balance["day"]["spent_usd"]) == ("0.00", "0.0125")
    assert http("POST", f"{url}/{made['hold']}/release", key=key, json={})[0] == 409


def test_a_hold_says_what_is_charge_and_what_is_cost(gateway: Any, tenant: Any, http: Any) -> None:
    """Offers are costs: a multiplier holds more of the credit, and a budget of costs holds the cost."""
    name, key = tenant
    tenants.set_tenant(gateway.app, name, multiplier="1.5", actor="t")
    money.set_budget(gateway.app, name, "3", window="month", counts="cost", actor="t")
    url = f"{gateway.url}/outlay/v1/holds"
    for replayed in (False, True):
        made = http("POST", url, key=key, json=OFFERS, headers={"Idempotency-Key": "job"})[1]
        assert (made["held_usd"], made["held_cost_usd"], made["replayed"]) == ("0.03", "0.02", replayed)
    balance = money.balance(gateway.app, name)
    assert (balance["held_usd"], balance["day"]["held_usd"]) == ("0.03", "0.03")
    assert [one["held_usd"] for one in balance["budgets"]] == ["0.02"]
    settled = http("POST", f"{url}/{made['hold']}/settle", key=key, json={"cost_usd": "0.01"})[1]
    assert (settled["cost_usd"], settled["charge_usd"]) == ("0.01", "0.015")


def test_a_request_is_routed_and_priced_by_its_usage(gateway: Any, tenant: Any, http: Any) -> None:
    """A request is answered with the model to use; usage is priced by Outlay."""
    key = tenant[1]
    url = f"{gateway.url}/outlay/v1/holds"
    request = {"model": "outlay/small", "max_tokens": 100, "messages": [{"role": "user", "content": "hi"}]}
    status, made, _ = http("POST", url, key=key, json={"request": request})
    assert status == 201
    assert made["request"]["model"] == made["model"]
    usage = {"model": made["model"], "usage": {"input_tokens": 100, "output_tokens": 10}}
    assert http("POST", f"{url}/{made['hold']}/settle", key=key, json=usage)[1]["cost_usd"] != "0.00"


def test_a_hold_is_released(gateway: Any, tenant: Any, http: Any) -> None:
    """What was not sent costs nothing."""
    name, key = tenant
    url = f"{gateway.url}/outlay/v1/holds"
    made = http("POST", url, key=key, json=OFFERS)[1]
    assert http("POST", f"{url}/{made['hold']}/release", key=key, json={"reason": "not sent"})[0] == 200
    assert money.balance(gateway.app, name)["available_usd"] == "20.00"


def test_what_does_not_fit_is_refused_with_the_codes_of_calls(gateway: Any, tenant: Any, http: Any) -> None:
    """No offer fits: the same refusal as for a call."""
    body = {"offers": [{"name": "huge", "cost_usd": "100"}]}
    status, answer, headers = http("POST", f"{gateway.url}/outlay/v1/holds", key=tenant[1], json=body)
    assert status in (402, 429)
    assert answer["error"]["details"]["error_code"].startswith("outlay_")
    assert headers["x-should-retry"] == "false"


def test_holds_belong_to_their_tenant(gateway: Any, tenant: Any, http: Any) -> None:
    """Another tenant's key finds no such hold; an operator's key pays for none."""
    url = f"{gateway.url}/outlay/v1/holds"
    made = http("POST", url, key=tenant[1], json=OFFERS)[1]
    other = tenants.create_tenant(gateway.app, f"{tenant[0]}-other", credit="5", actor="test")["key"]
    for step, body in (("settle", {"cost_usd": "0.01"}), ("release", {}), ("renew", {"ttl_s": 9})):
        assert http("POST", f"{url}/{made['hold']}/{step}", key=other, json=body)[0] == 404
    assert http("POST", url, json=OFFERS)[0] == 403


def test_bad_orders_name_the_field(gateway: Any, tenant: Any, http: Any) -> None:
    """Unknown fields, numbers for money and missing parts are 400; nothing is held."""
    name, key = tenant
    url = f"{gateway.url}/outlay/v1/holds"
    for body, field in (
        ({"offer": []}, "offer"),
        ({}, "offers"),
        ({"offers": []}, "offers"),
        ({"offers": [{"name": "a", "cost_usd": 1}]}, "offers[0].cost_usd"),
        ({"offers": [{"name": "a", "cost": "1"}]}, "offers[0].cost"),
        ({"offers": [{"name": "a", "cost_usd": "1"}], "ttl_s": 0}, "ttl_s"),
        ({"request": 5}, "request"),
    ):
        status, answer, _ = http("POST", url, key=key, json=body)
        assert (status, answer["error"]["details"]["field"]) == (400, field), body
    assert money.balance(gateway.app, name)["held_usd"] == "0.00"
    made = http("POST", url, key=key, json=OFFERS)[1]
    status, answer, _ = http("POST", f"{url}/{made['hold']}/settle", key=key, json={"cots_usd": "1"})
    assert (status, answer["error"]["details"]["field"]) == (400, "cots_usd")
