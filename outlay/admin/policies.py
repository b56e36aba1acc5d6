"""
Policies: shown, validated, applied as new versions, rolled back. A version is never changed.

`[budget]` in the policy for everybody is the default of tenants created later. In a tenant's own policy, the
fields of `[budget]` that stand in the file set that tenant's day budget and zone when it is applied; a field
that is left out changes nothing.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ledger.errors import OperationFailed
from ledger.types import AccountSet, Attachment, BudgetSet, SetAccount, SetBudget
from outlay import fields
from outlay.admin.classifiers import doubts
from outlay.admin.common import account, carry_out, known_tenant, order_key
from outlay.admin.routes import seen_tasks
from outlay.clock import now_us
from outlay.errors import BadInput, Rejected, translated
from outlay.fields import instant_text
from outlay.policies_sql import PolicyRow
from outlay.tables import EVERYBODY
from outlay.tables import policy as policy_table
from outlay.wiring import App
from pricing.load import load_prices
from router.policy import Policy, lint, load_policy

_VERSION_MAX: Final = 2**53


def show_policy(app: App, *, tenant: str | None = None, version: int | None = None) -> dict[str, Any]:
    """
    Return a policy as text.

    Args:
        tenant: None is the policy for everybody.
        version: None is the one in force; for a tenant without a policy of its own, that of everybody.
            Version 0 is the packaged default.
    Returns:
        tenant (None for everybody), version, text, actor, note, at.
    Raises:
        Rejected: `unknown_version`.
    """
    number = None if version is None else fields.whole(version, "version", 0, _VERSION_MAX)
    with translated(), app.reading() as connection:
        name = EVERYBODY if tenant is None else known_tenant(connection, tenant).tenant
        if number is None:
            applied = app.policies.applied(connection, name)
            row = app.policies.row(connection, applied.tenant, applied.version)
        else:
            row = app.policies.row(connection, name, number)
    if row is None:
        raise _unknown_version(tenant, version)
    return {**_described(row), "text": row.text}


def policy_history(app: App, tenant: str | None = None) -> dict[str, Any]:
    """
    Return the versions that were applied for everybody, or for a tenant, the newest first.
    """
    with translated(), app.reading() as connection:
        name = EVERYBODY if tenant is None else known_tenant(connection, tenant).tenant
        rows = app.policies.history(connection, name)
    return {"tenant": tenant, "versions": [_described(row) for row in rows]}


def _described(row: PolicyRow) -> dict[str, Any]:
    return {
        "tenant": None if row.tenant == EVERYBODY else row.tenant,
        "version": row.version,
        "actor": row.actor,
        "note": row.note,
        "at": instant_text(row.at_us) if row.version > 0 else None,
        "own": row.text != "",
    }


def validate_policy(text: str, *, app: App | None = None, tenant: str | None = None) -> dict[str, Any]:
    """
    Check a policy file without applying it; returns the warnings about what is valid but hardly meant.

    Args:
        app: Where there is one, recent traffic tells which tasks have no route, and which routes no task.
        tenant: Whose traffic; None is that of all.
    Raises:
        PolicyInvalid: With every problem: field, value, message, fix.
        Rejected: `unknown_tenant`.
    """
    policy = loaded(text)
    if app is None:
        return {"ok": True, "warnings": warnings_of(policy)}
    name = None if tenant is None else account(app, tenant).tenant
    return {"ok": True, "warnings": _warned(app, policy, name)}


def warnings_of(policy: Policy, seen: Iterable[str] = ()) -> list[str]:
    """
    Say what is valid but hardly meant, at the prices of this process.

    Args:
        seen: Names of tasks in recent traffic.
    """
    return list(lint(policy, seen, load_prices(), now_us()))


def _warned(app: App, policy: Policy, tenant: str | None) -> list[str]:
    """
    Say it with what the database knows: recent traffic, and which classifiers are stored.
    """
    return [*warnings_of(policy, seen_tasks(app, tenant)), *doubts(app, policy, tenant)]


def loaded(text: object) -> Policy:
    """
    Read a policy.

    Raises:
        PolicyInvalid: With every problem: field, value, message, fix.
    """
    if not isinstance(text, str) or not fields.is_storable(text):
        raise BadInput("policy", text, "not the text of a policy file", "Send TOML as text.")
    with translated():
        return load_policy(text)


def apply_policy(
    app: App, text: str, *, tenant: str | None = None, actor: str, note: str = ""
) -> dict[str, Any]:
    """
    Apply a policy file as a new version, in force at once for every process.

    Args:
        tenant: None applies it for everybody who has no policy of their own.
    Returns:
        version, tenant (None for everybody), warnings.
    """
    policy = loaded(text)
    actor, note = fields.word(actor, "actor"), fields.reason(note, "note")
    version = _append(app, text, policy, tenant=tenant, actor=actor, note=note)
    return {"version": version, "tenant": tenant, "warnings": _warned(app, policy, tenant)}


def changes_upstreams(app: App, *, tenant: str | None, text: str | None = None, version: int = 0) -> bool:
    """
    Tell whether a policy would send calls, and with them the provider's key, elsewhere than now.

    Args:
        text: The policy to be applied; None means the stored version of this number.
    """
    name = EVERYBODY if tenant is None else fields.tenant_name(tenant)
    with translated(), app.reading() as connection:
        now = app.policies.applied(connection, name).policy.upstreams
        stored = app.policies.text(connection, name, version) if text is None else text
        if not stored:  # the tenant's own policy ends, or there is no such version
            return app.policies.applied(connection, EVERYBODY).policy.upstreams != now
    return loaded(stored).upstreams != now


def rollback_policy(app: App, version: int, *, tenant: str | None = None, actor: str) -> dict[str, Any]:
    """
    Apply an older version again, as a new one.

    Version 0 is the packaged default; for a tenant it ends the tenant's own policy, so that the one for
    everybody holds again.

    Returns:
        version (the new one), restored, tenant, warnings.
    Raises:
        Rejected: `unknown_version`.
    """
    actor = fields.word(actor, "actor")
    number = fields.whole(version, "version", 0, _VERSION_MAX)
    with translated(), app.reading() as connection:
        name = EVERYBODY if tenant is None else known_tenant(connection, tenant).tenant
        text = app.policies.text(connection, name, number)
    if tenant is not None and number == 0:
        text = ""
    if text is None:
        raise _unknown_version(tenant, version)
    policy = None if text == "" else loaded(text)
    note = f"rollback to version {number}" if policy is not None else "back to the policy for everybody"
    made = _append(app, text, policy, tenant=tenant, actor=actor, note=note)
    warnings = [] if policy is None else _warned(app, policy, tenant)
    return {"version": made, "restored": number, "tenant": tenant, "warnings": warnings}


def _unknown_version(tenant: str | None, version: object) -> Rejected:
    whose = "for everybody" if tenant is None else f"of tenant {tenant}"
    text = f"there is no policy version {version} {whose}; see: outlay policy history"
    return Rejected("unknown_version", text, {"version": version, "tenant": tenant})


def _append(app: App, text: str, policy: Policy | None, *, tenant: str | None, actor: str, note: str) -> int:
    """
    Write a version; a tenant's own with its day budget in one transaction.
    """
    at_us = now_us()
    if tenant is None:
        return app.policies.apply(text, actor=actor, note=note, now_us=at_us)
    row = account(app, tenant)
    named = frozenset[str]() if policy is None else policy.budget.model_fields_set
    if policy is not None and "timezone" in named and policy.budget.timezone != row.timezone:
        zone = policy.budget.timezone
        carry_out(
            app,
            SetAccount(
                row.tenant, order_key(None, at_us), at_us, timezone=zone, actor=actor, reason="policy"
            ),
            AccountSet,
        )
    if policy is None or "daily_usd" not in named:
        return app.policies.apply(text, tenant=row.tenant, actor=actor, note=note, now_us=at_us)
    return _with_budget(app, text, policy, tenant=row.tenant, actor=actor, note=note)


def _with_budget(app: App, text: str, policy: Policy, *, tenant: str, actor: str, note: str) -> int:
    at_us = now_us()

    def write(values: Mapping[str, object]) -> bool:
        key = order_key(None, at_us)
        op = SetBudget(tenant, key, at_us, policy.budget.daily_nanos, actor=actor, reason="policy")
        try:
            carry_out(app, op, BudgetSet, [Attachment(policy_table, values)])
        except Rejected as error:
            if isinstance(error.__cause__, OperationFailed) and policy_table.name in str(error):
                return False
            raise
        return True

    return app.policies.append(text, write, tenant=tenant, actor=actor, note=note, now_us=at_us)
