"""
One example for each order of the control plane: the body that carries it, and the command that does so, too.

`docs/make_gateway_reference.py` writes them into the reference; a test reads each body as the gateway does,
and each command as the command line does.
"""

EXAMPLES = {
    "POST /tenants": (
        '{"tenant": "acme", "credit": "20", "daily_budget": "5", "timezone": "Europe/Berlin"}',
        "outlay tenant create acme --credit 20 --daily-budget 5 --timezone Europe/Berlin",
    ),
    "PATCH /tenants/{tenant}": (
        '{"frozen": true, "reason": "key leaked"}',
        'outlay tenant set acme --frozen --reason "key leaked"',
    ),
    "POST /tenants/{tenant}/top-ups": (
        '{"amount": "10", "kind": "promo", "expires": "2027-12-31", "idempotency_key": "inv-7"}',
        "outlay topup acme 10 --kind promo --expires 2027-12-31 --idempotency-key inv-7",
    ),
    "POST /refunds": (
        '{"hold": "HOLD_ID", "amount": "0.05", "reason": "bad answer"}',
        'outlay refund HOLD_ID --amount 0.05 --reason "bad answer"',
    ),
    "POST /settlements": (
        '{"hold": "HOLD_ID", "cost": "0.0415", "reason": "invoice of the provider"}',
        'outlay settle HOLD_ID 0.0415 --reason "invoice of the provider"',
    ),
    "POST /tenants/{tenant}/adjustments": (
        '{"amount": "2.50", "take": true, "reason": "credited twice"}',
        'outlay adjust acme 2.50 --take --reason "credited twice"',
    ),
    "POST /lots/{lot}/reverse": (
        '{"kind": "reversal", "amount": "5", "reason": "typing error"}',
        'outlay lot reverse LOT_ID --amount 5 --reason "typing error"',
    ),
    "POST /tenants/{tenant}/budgets": (
        '{"limit": "100", "window": "month", "scope": "task:crm/summary", "counts": "cost"}',
        "outlay budget set acme 100 --window month --scope task:crm/summary --counts cost",
    ),
    "POST /tenants/{tenant}/budgets/raise": (
        '{"limit": "12", "until": "2027-01-31"}',
        "outlay budget raise acme 12 --until 2027-01-31",
    ),
    "POST /keys": (
        '{"tenant": "acme", "name": "web", "loosen": true}',
        "outlay key create --tenant acme --name web --loosen",
    ),
    "POST /policy/validate": (
        '{"text": "[tiers.large]...", "tenant": "acme"}',
        "outlay policy validate FILE --tenant acme",
    ),
    "POST /policy": (
        '{"text": "[tiers.large]...", "tenant": "acme", "note": "less for drafts"}',
        'outlay policy apply FILE --tenant acme --note "less for drafts"',
    ),
    "POST /policy/rollback": ('{"version": 3, "tenant": "acme"}', "outlay policy rollback 3 --tenant acme"),
    "POST /policy/preview": (
        '{"text": "[tiers.large]...", "days": 7, "tenant": "acme"}',
        "outlay policy preview FILE --days 7 --tenant acme",
    ),
    "POST /decisions/{decision_id}/scores": (
        '{"score": 0.8, "source": "editor", "comment": "too long"}',
        'outlay score DECISION_ID 0.8 --source editor --comment "too long"',
    ),
    "POST /breakers/reset": (
        '{"scope": "tenant:acme", "reason": "loop is mended"}',
        'outlay breaker reset tenant:acme --reason "loop is mended"',
    ),
    "POST /halt": ('{"tenant": "acme", "reason": "runaway"}', "outlay halt --tenant acme --reason runaway"),
    "POST /resume": ('{"tenant": "acme", "reason": "mended"}', "outlay resume --tenant acme --reason mended"),
}
