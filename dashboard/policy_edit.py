"""
The part of a policy file that the form edits: read out of the TOML text, and written back into it.

Comments, order and everything that the form does not know stay as they are: only values that differ are
written. Pure; whether the result is a good policy is the router's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import tomlkit
from tomlkit.items import Array, InlineTable

_SHARE_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class StepForm:
    """
    One degradation step as the form has it; None and empty leave a field out of the file.

    Attributes:
        place: Its place among the steps of the file it was read from; None for a new step.
    """

    below: float | None = None
    map: tuple[tuple[str, str], ...] = ()
    max_tier: str | None = None
    max_tokens: int | None = None
    effort: str | None = None
    only: tuple[str, ...] = ()
    place: int | None = None


@dataclass(frozen=True, slots=True)
class PolicyForm:
    """
    What the form edits.
    """

    enforcement: str = "enforce"
    mode: str = "steps"
    hysteresis: float = 0.03
    steps: tuple[StepForm, ...] = field(default=())


def tiers(text: str) -> tuple[str, ...]:
    """
    Return the names of the tiers of a policy, the highest first.
    """
    return tuple(str(name) for name in tomlkit.parse(text).unwrap().get("tiers", {}))


def read(text: str) -> PolicyForm:
    """
    Read the form's fields out of a valid policy file.
    """
    raw = tomlkit.parse(text).unwrap()
    degradation = raw.get("degradation", {})
    return PolicyForm(
        enforcement=raw.get("enforcement", {}).get("mode", "enforce"),
        mode=degradation.get("mode", "steps"),
        hysteresis=degradation.get("hysteresis", 0.03),
        steps=tuple(_read_step(step, place) for place, step in enumerate(degradation.get("steps", ()))),
    )


def _read_step(step: dict[str, Any], place: int) -> StepForm:
    return StepForm(
        below=step.get("below"),
        map=tuple(step.get("map", {}).items()),
        max_tier=step.get("max_tier"),
        max_tokens=step.get("max_tokens"),
        effort=step.get("effort"),
        only=tuple(step.get("only", ())),
        place=place,
    )


def write(text: str, form: PolicyForm) -> str:
    """
    Write the form's fields into the policy file that they were read from.
    """
    document, before = tomlkit.parse(text), read(text)
    if form.enforcement != before.enforcement:
        _set(_table(document, "enforcement"), "mode", form.enforcement)
    degradation = _table(document, "degradation")
    if form.mode != before.mode:
        _set(degradation, "mode", form.mode)
    if form.hysteresis != before.hysteresis:
        _set(degradation, "hysteresis", form.hysteresis)
    _write_steps(degradation, form.steps)
    return tomlkit.dumps(document)


def without_budget(text: str) -> str:
    """
    Leave the fields of `[budget]` out of a policy: in a tenant's own they would set that tenant's day and
    zone. The table and its comments stay.
    """
    document = tomlkit.parse(text)
    budget: Any = document.get("budget", {})
    for name in list(budget):
        budget.remove(name)
    return tomlkit.dumps(document)


def _table(parent: Any, name: str) -> Any:
    if name not in parent:
        parent[name] = tomlkit.table()
    return parent[name]


def _write_steps(degradation: Any, steps: Sequence[StepForm]) -> None:
    """Change steps in place where their order is that of the file; else write the list anew."""
    found = degradation.get("steps")
    old: list[Any] = list(found) if found is not None else []
    if [step.place for step in steps] == list(range(len(old))):
        for step, table in zip(steps, old, strict=True):
            _fill(table, step)
        return
    degradation.pop("steps", None)
    if not steps:
        return
    is_inline = isinstance(degradation, InlineTable) or isinstance(found, Array)
    tables = [_step_table(old, step, is_inline=is_inline) for step in steps]
    rows = tomlkit.array() if is_inline else tomlkit.aot()
    for table in tables:
        rows.append(table)
    degradation["steps"] = rows


def _step_table(old: Sequence[Any], step: StepForm, *, is_inline: bool) -> Any:
    table = tomlkit.inline_table() if is_inline else tomlkit.table()
    if step.place is not None and step.place < len(old):
        table = old[step.place]
    _fill(table, step)
    return table


def _fill(table: Any, step: StepForm) -> None:
    _set(table, "below", step.below)
    _set(table, "effort", step.effort)
    _set(table, "map", dict(step.map) or None)
    _set(table, "max_tier", step.max_tier)
    _set(table, "max_tokens", step.max_tokens)
    _set(table, "only", list(step.only) or None)


def _set(table: Any, name: str, value: Any) -> None:
    """Write a value only where it differs, so that an untouched line keeps its shape and comment."""
    before = table.get(name)
    if isinstance(value, float):
        value = round(value, _SHARE_DIGITS)
    if value is None:
        if before is not None:
            table.remove(name)
    elif before is None or _plain(before) != value:
        table[name] = _inline(value) if isinstance(value, dict) else value


def _plain(item: Any) -> Any:
    return item.unwrap() if hasattr(item, "unwrap") else item


def _inline(mapping: dict[str, str]) -> Any:
    table = tomlkit.inline_table()
    table.update(mapping)
    return table
