"""
Who changed which setting of a tenant, when, from what to what, and why: the ledger's journal in words.

A line is one setting that one order changed. Keys, policies and switches have journals of their own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ledger.journal import ACCOUNT, BUDGET, LOT
from ledger.journal_reads import Change, changes
from ledger.rows import COUNTS_NAMES, LOT_NAMES, OVERAGE_NAMES
from outlay import fields
from outlay.admin.common import known_tenant, own_key, period_us
from outlay.admin.statements import LINES_MAX
from outlay.errors import translated
from outlay.fields import instant_text, usd
from outlay.wiring import App

SUBJECTS: Final = ("account", "budget", "lot")
NO_LIMIT: Final = "none"


def history(
    app: App,
    tenant: str,
    *,
    of: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """
    Return the changes of a tenant's settings in a period, oldest first.

    Args:
        of: "account", "budget" or "lot"; None is all of them.
        since: First date or instant of it, in the tenant's zone.
        until: End of it, itself excluded.
        limit: At most the newest so many lines.
    Returns:
        tenant, timezone, changes: each with n (its place in the journal), at, actor, subject, setting, from,
        to, reason, key. What did not exist is null, no limit is "none"; an order that changed nothing has one
        line without a setting.
    """
    most = None if limit is None else fields.whole(limit, "limit", 1, LINES_MAX)
    kind = None if of is None else fields.choice(of, "of", SUBJECTS)
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        from_us, to_us = period_us(since, until, row.timezone)
        found = changes(connection, row.tenant, from_us, to_us)
    wanted = [one for one in found if kind is None or one.subject.startswith(kind)]
    lines = [line for one in wanted for line in _lines(one, row.timezone)]
    return {
        "tenant": row.tenant,
        "timezone": row.timezone,
        "changes": lines if most is None else lines[-most:],
    }


def _lines(change: Change, zone: str) -> Iterator[dict[str, Any]]:
    for setting, before, after in _differences(change, zone):
        yield {
            "n": change.n,
            "at": instant_text(change.at_us, zone),
            "actor": change.actor,
            "subject": change.subject,
            "setting": setting,
            "from": before,
            "to": after,
            "reason": change.reason,
            "key": own_key(change.key),
        }


def _differences(change: Change, zone: str) -> Iterator[tuple[str | None, Any, Any]]:
    """
    Yield what an order changed, or of something new what it was given.
    """
    after = _shown(change.subject, change.after, zone)
    if change.before is None:
        yield from ((name, None, value) for name, value in after.items() if value not in (None, False, 0, ""))
        return
    before = _shown(change.subject, change.before, zone)
    changed = [name for name, value in after.items() if before[name] != value]
    yield from ((name, before[name], after[name]) for name in changed)
    if not changed:
        yield None, None, None


def _shown(subject: str, settings: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """
    Put the settings of a subject in words and decimal text.
    """
    if subject == ACCOUNT:
        return {
            "frozen": bool(settings["frozen"]),
            "multiplier": fields.ppm_text(settings["multiplier_ppm"]),
            "overage": OVERAGE_NAMES[settings["overage"]],
            "timezone": settings["timezone"],
        }
    if subject.startswith(BUDGET):
        until_us = settings["valid_until"]
        return {
            "limit_usd": _limit(settings["limit_amt"]),
            "raised_usd": None if until_us is None else _limit(settings["raised_amt"]),
            "raised_until": instant_text(until_us, zone),
            "counts": COUNTS_NAMES[settings["counts"]],
            "timezone": settings["timezone"],
        }
    assert subject.startswith(LOT), subject
    return {
        "granted_usd": usd(settings["granted"]),
        "kind": LOT_NAMES[settings["kind"]],
        "priority": settings["priority"],
        "effective_at": instant_text(settings["effective_at"], zone),
        "expires_at": instant_text(settings["expires_at"], zone),
        "source": settings["source_ref"],
    }


def _limit(nanos: int | None) -> str | None:
    return NO_LIMIT if nanos is None else usd(nanos)
