"""
A preview as people and JSON read it: sums now and then, changed decisions, risks, and what it cannot know.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from outlay.admin.decisions import readable
from outlay.fields import instant_text, usd
from outlay.whatif.found import Found
from outlay.whatif.recorded import Recorded, Served, Then
from outlay.whatif.sums import Sum
from outlay.words import plural
from router.codec import to_json

_MONEY_CODES: Final = ("outlay_daily_budget_reached", "outlay_credit_exhausted", "outlay_budget_busy")
_ALWAYS: Final = (
    "Answers keep their recorded length, cut at a shorter max_tokens; callers do not react to other answers.",
    "Calls that were refused have no usage: where they are served, their expected cost counts.",
)
_KEPT: Final = {
    "own_offers": "came with offers of the caller's own",
    "refused_before": "had been refused before the router decided",
    "own_policy": "came from a tenant with a policy of its own, which this one does not reach",
    "unreadable": "cannot be read any more",
}


def answer(found: Found) -> dict[str, Any]:
    """
    Return a preview ready for JSON: money as decimal text, instants as ISO 8601 text.
    """
    sums = found.sums
    return {
        "tenant": found.tenant,
        "days": found.days,
        "from": instant_text(found.from_us),
        "to": instant_text(found.to_us),
        "shortened": found.shortened,
        "decisions": found.decisions,
        "kept": dict(found.kept),
        "total": _line(sums.total),
        "tenants": [_tenant(name, found) for name in sorted(sums.tenants)],
        "changed": sums.total.changed,
        "changed_by": dict(sums.kinds),
        "changes": [_change(past, then, found.zones) for past, then in found.changes],
        "risks": list(_risks(found)),
        "notes": [*_notes(found), *_ALWAYS],
    }


def _line(one: Sum) -> dict[str, Any]:
    return {
        "calls": one.calls,
        "spend_now_usd": usd(one.spend_now),
        "spend_then_usd": usd(one.spend_then),
        "change_usd": usd(one.spend_then - one.spend_now),
        "downgrades_now": one.downgrades_now,
        "downgrades_then": one.downgrades_then,
        "raised_now": one.raised_now,
        "raised_then": one.raised_then,
        "refusals_now": one.refusals_now,
        "refusals_then": one.refusals_then,
        "changed": one.changed,
        "estimated_usd": usd(one.estimated_nanos),
    }


def _tenant(name: str, found: Found) -> dict[str, Any]:
    tasks, sums = found.sums.tasks[name], found.sums
    return {
        "tenant": name,
        **_line(sums.tenants[name]),
        "refused_now": dict(sums.codes_now.get(name, {})),
        "refused_then": dict(sums.codes_then.get(name, {})),
        "tasks": [{"task": task or None, **_line(tasks[task])} for task in sorted(tasks)],
    }


def _change(past: Recorded, then: Then, zones: Mapping[str, str]) -> dict[str, Any]:
    zone, row = zones.get(past.tenant, "UTC"), past.row
    return {
        "id": past.id,
        "at": instant_text(past.at_us, zone),
        "tenant": past.tenant,
        "task": row["task"],
        "asked": {"model": row["asked_model"], "tier": row["asked_tier"]},
        "served_now": _served(past.served),
        "code_now": row["code"] if past.served is None else None,
        "served_then": _served(then.served),
        "code_then": then.code,
        "cost_now_usd": usd(past.booked_nanos),
        "cost_then_usd": usd(then.cost_nanos),
        "estimated": then.estimated,
        "reasons": readable(json.loads(to_json(then.reasons)), zone),
    }


def _served(served: Served | None) -> dict[str, Any] | None:
    if served is None:
        return None
    return {
        "model": served.model,
        "tier": served.tier,
        "effort": served.effort,
        "max_tokens": served.max_tokens,
    }


def _risks(found: Found) -> Iterator[str]:
    """Say what an operator should look at before saving."""
    sums = found.sums
    for name, one in sorted(sums.tenants.items()):
        now, then = _for_money(sums.codes_now.get(name)), _for_money(sums.codes_then.get(name))
        if then > now:
            yield f"{name}: {plural(then, 'call')} would be refused for want of money, where it was {now}"
        if one.spend_then > one.spend_now:
            yield f"{name}: spending would rise from {usd(one.spend_now)} to {usd(one.spend_then)} USD"
        if one.over > 0:
            yield f"{name}: {plural(one.over, 'call')} would cost more than is held"
        if one.estimated_nanos * 10 > one.spend_then > 0:
            share = one.estimated_nanos * 100 // one.spend_then
            yield f"{name}: {share} % of the spending then is estimated, as no usage backs it"


def _for_money(codes: "Counter[str] | None") -> int:
    """Count the refusals for want of money."""
    return 0 if codes is None else sum(codes[code] for code in _MONEY_CODES)


def _notes(found: Found) -> Iterator[str]:
    """Say what this preview leaves out."""
    policy = found.policy
    for why, count in sorted(found.kept.items()):
        stay = plural(count, "decision stays as it is: it", "decisions stay as they are: they")
        yield f"{stay} {_KEPT[why]}."
    if found.only_counted > 0:
        yield f"Left out, as they were only counted: {plural(found.only_counted, 'refusal')} of storms."
    if found.shortened:
        yield f"The period begins at {instant_text(found.from_us)}: the days before hold too many decisions."
    if found.unpredicted > 0:
        yield f"Never read by a classifier, and prompts are not kept: {plural(found.unpredicted, 'call')}."
    if found.unprojected > 0:
        yield f"Not paced, for want of a projection of demand: {plural(found.unprojected, 'call')}."
    if any(one.breaker != policy.breaker for one in found.policies.values()):
        yield "The circuit breakers differ; they are not played again."
    if any(one.upstreams != policy.upstreams for one in found.policies.values()):
        yield "The upstreams differ; calls keep the region that they were priced in."
    yield from _budget_notes(found)


def _budget_notes(found: Found) -> Iterator[str]:
    budget = found.policy.budget
    if found.tenant is None and budget.model_fields_set:
        yield "[budget] is the default of tenants that are created later; it changes no tenant that there is."
    zone = found.zones.get(found.tenant or "")
    if found.tenant is not None and "timezone" in budget.model_fields_set and budget.timezone != zone:
        yield f"Days stay those of {zone}; a change of the time zone moves their borders."
