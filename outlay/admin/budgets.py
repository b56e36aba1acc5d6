"""
The list of a tenant's budgets. Setting them: `outlay/admin/money.py`.
"""

from typing import Any

from ledger.journal_reads import Zones, budget_zones, zone_of_window
from outlay.admin.common import known_tenant
from outlay.clock import now_us
from outlay.errors import translated
from outlay.fields import instant_text, usd
from outlay.reports_budgets import BudgetLine, all_budgets
from outlay.wiring import App


def list_budgets(app: App, tenant: str) -> dict[str, Any]:
    """
    Return every budget of a tenant: those on all its calls first, then by scope.

    Each with the limit in force (None is no limit), what is spent, held and left of it, the end of a raise
    and the limit that holds again then, and the zone in which its window runs; `next_timezone` is the one of
    the following windows where that is another, from `resets_at` on. `counts_from` is the instant at which
    the budget was set, where its window had begun before: what was held until then is not in it.
    """
    at_us = now_us()
    with translated(), app.reading() as connection:
        row = known_tenant(connection, tenant)
        names = {key.id: key.name for key in app.keys.list(connection, row.tenant)}
        lines = all_budgets(connection, row.tenant, at_us, names, most=None)
        zones = budget_zones(connection, row.tenant)
    told = [_told(line, zones) for line in lines]
    return {"tenant": row.tenant, "timezone": row.timezone, "budgets": told}


def _told(line: BudgetLine, zones: Zones) -> dict[str, Any]:
    now, ratio = line.now, line.now.remaining_ratio
    zone = zone_of_window(zones, line.scope, line.window, now.starts_us) or line.timezone
    return {
        "scope": line.scope,
        "name": line.name or None,
        "window": line.window,
        "counts": line.counts,
        "limit_usd": usd(now.limit_nanos),
        "spent_usd": usd(now.spent_nanos),
        "held_usd": usd(now.held_nanos),
        "left_usd": usd(now.remaining_nanos),
        "overage_usd": usd(now.overage_nanos),
        "remaining_ratio": None if ratio is None else round(ratio, 6),
        "standing_usd": usd(line.standing_nanos),
        "raised_until": instant_text(line.raised_until_us, zone),
        "timezone": zone,
        "starts_at": instant_text(now.starts_us, zone),
        "counts_from": instant_text(line.counts_from_us, zone),
        "resets_at": instant_text(now.resets_us, zone),
        "next_timezone": None if line.timezone == zone else line.timezone,
    }
