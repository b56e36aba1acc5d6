"""
A preview of a policy for people: tables now and then, changed decisions, risks and what it leaves out.
"""

from collections.abc import Mapping
from typing import Any, Final

from outlay.cli.output import Block, Pairs, Rows
from outlay.words import plural

LISTED: Final = 20
_LINES: Final = (
    ("tenant", "tenant"), ("task", "task"), ("calls", "calls"), ("spend_now_usd", "now USD"),
    ("spend_then_usd", "then USD"), ("downgrades", "downgrades"), ("refusals", "refusals"),
    ("changed", "changed"),
)  # fmt: skip
_RAISED: Final = ("raised", "raised")
_CHANGES: Final = (
    ("id", "decision"), ("task", "task"), ("now", "now"), ("then", "then"), ("cost_now_usd", "now USD"),
    ("cost_then_usd", "then USD"), ("because", "because"),
)  # fmt: skip


def told(found: Mapping[str, Any]) -> tuple[Block, ...]:
    """
    Lay out a preview.
    """
    lines = [_line(row) for tenant in found["tenants"] for row in _with_tasks(tenant)]
    total = _line({**found["total"], "tenant": "all"})
    kinds = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in found["changed_by"].items())
    calls = found["total"]["calls"]
    said = f"\n{found['changed']} of {plural(calls, 'call')} would change{': ' if kinds else ''}{kinds}."
    blocks: list[Block] = [Rows(_columns(found["total"]), [*lines, total], "No calls."), said]
    if found["changes"]:
        shown = found["changes"][:LISTED]
        blocks += [Rows(_CHANGES, [_change(one) for one in shown]), _more(found, len(shown))]
    notes = [("risk", risk) for risk in found["risks"]] + [("note", note) for note in found["notes"]]
    return (*blocks, Pairs(notes))


_KINDS: Final = {
    "model": "by another model",
    "effort": "at another effort",
    "max_tokens": "with other max_tokens",
    "refused": "refused",
    "served": "served that were refused",
}


def _with_tasks(tenant: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Put a tenant's line before those of its tasks, where there is more than one."""
    tasks = [{"tenant": "", **task, "task": task["task"] or "(no task)"} for task in tenant["tasks"]]
    return [dict(tenant), *(tasks if len(tasks) > 1 else ())]


def _columns(total: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Name the columns; calls above the tier asked for are rare, and have one only where there are some."""
    some = total["raised_now"] or total["raised_then"]
    return (*_LINES[:6], _RAISED, *_LINES[6:]) if some else _LINES


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("downgrades", "raised", "refusals")
    pairs = {name: f"{row[f'{name}_now']} -> {row[f'{name}_then']}" for name in names}
    return {"task": "", **row, **pairs}


def _change(one: Mapping[str, Any]) -> dict[str, Any]:
    codes = [reason["code"] for reason in one["reasons"]]
    return {**one, "now": _served(one, "now"), "then": _served(one, "then"), "because": codes}


def _served(one: Mapping[str, Any], when: str) -> str:
    served = one[f"served_{when}"]
    if served is None:
        return f"refused: {one[f'code_{when}']}"
    effort = "" if served["effort"] is None else f" {served['effort']}"
    return f"{served['model']}{effort} {served['max_tokens']}"


def _more(found: Mapping[str, Any], shown: int) -> str:
    left = found["changed"] - shown
    return "" if left <= 0 else f"{left} more; --json names up to --changes of them."
