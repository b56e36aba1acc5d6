"""
What the fields of a policy say about each other: names that must exist, directions that must be down.

Works on the file as read, not on the model, so that these problems are reported together with those of single
fields. Whatever has the wrong shape is skipped here; the model reports it.
"""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pricing.facts import UnknownModel, known_geos, known_models, model_facts
from router.policy_check_routes import route_problems
from router.problems import Problem, did_you_mean, dotted, shown

_TAKEN: Final = {
    "auto": "outlay/auto lets the task decide",
    "unlisted": "reports say it of models that no tier lists",
}


def cross_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """
    Find every contradiction between fields of a policy.
    """
    tiers = list(_table(raw, "tiers"))
    yield from _tier_names(tiers)
    yield from _models(raw)
    yield from _references(raw, tiers)
    yield from route_problems(raw, tiers)
    yield from _steps(raw, tiers)
    yield from _upstream_names(raw)
    yield from _geos(raw)
    yield from _zone(_table(raw, "budget").get("timezone"))


def _table(raw: object, *path: str) -> Mapping[str, Any]:
    for part in path:
        raw = raw.get(part) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def _texts(raw: object) -> Sequence[str]:
    return [item for item in raw if isinstance(item, str)] if isinstance(raw, list) else []


def _tier_names(tiers: Sequence[str]) -> Iterator[Problem]:
    for name in tiers:
        if name in _TAKEN:
            message = f"{name!r} is taken: {_TAKEN[name]}"
            yield Problem(dotted(("tiers", name)), shown(name), message, "Give the tier another name.")


def _models(raw: Mapping[str, Any]) -> Iterator[Problem]:
    listed: set[str] = set()
    for name, tier in _table(raw, "tiers").items():
        yield from _known(("tiers", name, "models"), _texts(_table(tier).get("models")), listed)
    classes = _table(raw, "privacy")
    for name, body in classes.items():
        path = ("privacy", name, "models")
        models = _texts(_table(body).get("models"))
        yield from _known(path, models, set())
        yield from _listed(path, models, listed)


def _known(path: tuple[str, ...], models: Sequence[str], listed: set[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for place, model in enumerate(models):
        where = dotted((*path, place))
        try:
            facts = model_facts(model)
        except UnknownModel:
            yield Problem(where, shown(model), "unknown model", did_you_mean(model, known_models()))
            continue
        if facts.id in seen:
            yield Problem(where, shown(model), "the model is listed twice", "Remove one of the two.")
        seen.add(facts.id)
    listed |= seen


def _listed(path: tuple[str, ...], models: Sequence[str], listed: set[str]) -> Iterator[Problem]:
    for place, model in enumerate(models):
        try:
            if model_facts(model).id in listed:
                continue
        except UnknownModel:
            continue
        where = dotted((*path, place))
        yield Problem(where, shown(model), "no tier lists this model", "Add it to a tier, or remove it here.")


def _references(raw: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Problem]:
    classes = _table(raw, "privacy")
    yield from _named(("routing", "default_tier"), _table(raw, "routing").get("default_tier"), tiers, "tier")
    ceiling = _table(raw, "routing", "sessions").get("escalate_to")
    yield from _named(("routing", "sessions", "escalate_to"), ceiling, tiers, "tier")
    for task, route in _table(raw, "routing", "tasks").items():
        body, path = _table(route), ("routing", "tasks", task)
        for part in ("tier", "floor"):
            yield from _named((*path, part), body.get(part), tiers, "tier")
        yield from _named((*path, "privacy"), body.get("privacy"), list(classes), "privacy class")


def _named(path: Sequence[str | int], value: object, known: Sequence[str], kind: str) -> Iterator[Problem]:
    if isinstance(value, str) and value not in known:
        yield Problem(dotted(path), shown(value), f"unknown {kind}", did_you_mean(value, known))


def _steps(raw: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Problem]:
    steps = _table(raw, "degradation").get("steps")
    before: float | None = None
    for place, step in enumerate(steps if isinstance(steps, list) else []):
        path: tuple[str | int, ...] = ("degradation", "steps", place)
        body = _table(step)
        yield from _map(path, _table(body, "map"), tiers)
        yield from _named((*path, "max_tier"), body.get("max_tier"), tiers, "tier")
        if not set(body) & {"map", "max_tier", "max_tokens", "effort", "only"}:
            fix = "Add map, max_tier, max_tokens, effort or only; or remove the step."
            yield Problem(dotted(path), shown(dict(body)), "the step changes nothing", fix)
        below = body.get("below")
        if isinstance(below, bool) or not isinstance(below, int | float):
            continue
        if before is not None and below >= before:
            fix = "Order the steps from the highest threshold to the lowest."
            message = f"not under the threshold of the step before it ({before})"
            yield Problem(dotted((*path, "below")), shown(below), message, fix)
        before = below


def _map(path: tuple[str | int, ...], mapping: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Problem]:
    for source, target in mapping.items():
        where = (*path, "map", source)
        yield from _named(where, source, tiers, "tier")
        yield from _named(where, target, tiers, "tier")
        if source in tiers and target in tiers and tiers.index(target) <= tiers.index(source):
            fix = f"Map {source!r} to a tier that stands below it in the file."
            yield Problem(dotted(where), shown(target), "a step may only lead down", fix)


def _upstream_names(raw: Mapping[str, Any]) -> Iterator[Problem]:
    known = list(_table(raw, "upstreams"))
    for name, body in _table(raw, "privacy").items():
        for place, upstream in enumerate(_texts(_table(body).get("upstreams"))):
            yield from _named(("privacy", name, "upstreams", place), upstream, known, "upstream")


def _geos(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for name, body in _table(raw, "upstreams").items():
        geo = _table(body).get("geo")
        yield from _named(("upstreams", name, "geo"), geo, sorted(known_geos()), "region")


def _zone(value: object) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield Problem("budget.timezone", shown(value), "unknown time zone", _zone_hint(value))


def _zone_hint(value: str) -> str:
    names = {name.lower(): name for name in available_timezones()}
    close = get_close_matches(value.lower(), names, n=1)
    if not close:
        return 'Write an IANA name, for example "Europe/Berlin".'
    return f"Did you mean {names[close[0]]!r}?"
