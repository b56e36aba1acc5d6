"""
What the fields of `[routing]` say about each other: roles, complexity classes, the learned classifier.

A part of `router/policy_check.py`. Whatever has the wrong shape is skipped here; the model reports it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pricing.facts import UnknownModel, known_models, model_facts
from router.complexity import STARTS_AT, Complexity
from router.problems import Problem, did_you_mean, dotted, shown

Path = tuple[str, ...]
_AFTER_TRIVIAL: Final = tuple(Complexity)[1:]


def route_problems(raw: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Problem]:
    """
    Find the contradictions between the tables that lead to a tier.
    """
    routing = _table(raw.get("routing"))
    listed = _listed_models(_table(raw.get("tiers")))
    for name, body in _table(routing.get("roles")).items():
        yield from _route(("routing", "roles", name), _table(body), tiers, listed, ("tier", "model", "floor"))
    classes = _table(routing.get("complexity"))
    for kind in Complexity:
        if isinstance(classes.get(kind), Mapping):
            path = ("routing", "complexity", kind)
            yield from _route(path, classes[kind], tiers, listed, ("tier", "model", "max_tokens"))
    yield from _rising(_table(classes.get("starts_at")))
    yield from _learned(_table(routing.get("learned")), tiers)
    yield from _model(("routing", "llm", "model"), _table(routing.get("llm")).get("model"), listed)


def _table(raw: object) -> Mapping[str, Any]:
    return raw if isinstance(raw, Mapping) else {}


def _listed_models(tiers: Mapping[str, Any]) -> frozenset[str]:
    named = [model for tier in tiers.values() for model in _names(_table(tier).get("models"))]
    return frozenset(facts for facts in map(_id_of, named) if facts is not None)


def _names(raw: object) -> Sequence[str]:
    return [name for name in raw if isinstance(name, str)] if isinstance(raw, list) else []


def _id_of(model: str) -> str | None:
    try:
        return model_facts(model).id
    except UnknownModel:
        return None


def _route(
    path: Path, body: Mapping[str, Any], tiers: Sequence[str], listed: frozenset[str], levers: Sequence[str]
) -> Iterator[Problem]:
    """Check an entry that names a tier or a model."""
    for part in ("tier", "floor"):
        yield from _tier((*path, part), body.get(part), tiers)
    yield from _model((*path, "model"), body.get("model"), listed)
    if "tier" in body and "model" in body:
        message = "stands beside tier, and both say where the call goes"
        yield Problem(dotted((*path, "model")), shown(body["model"]), message, "Keep one of the two.")
    if not any(lever in body for lever in levers):
        yield Problem(
            dotted(path), shown(dict(body)), "the entry says nothing", f"Add {' or '.join(levers)}."
        )


def _tier(path: Path, value: object, tiers: Sequence[str]) -> Iterator[Problem]:
    if isinstance(value, str) and value not in tiers:
        yield Problem(dotted(path), shown(value), "unknown tier", did_you_mean(value, tiers))


def _model(path: Path, value: object, listed: frozenset[str]) -> Iterator[Problem]:
    if not isinstance(value, str):
        return
    found = _id_of(value)
    if found is None:
        yield Problem(dotted(path), shown(value), "unknown model", did_you_mean(value, known_models()))
    elif found not in listed:
        fix = "Add it to a tier, or name another."
        yield Problem(dotted(path), shown(value), "no tier lists this model", fix)


def _rising(starts: Mapping[str, Any]) -> Iterator[Problem]:
    """Check that each class begins above the one before it, packaged values where none are given."""
    before = 0
    for kind, packaged in zip(_AFTER_TRIVIAL, STARTS_AT, strict=True):
        points = starts.get(kind, packaged)
        if isinstance(points, bool) or not isinstance(points, int):
            return
        if points <= before:
            path = ("routing", "complexity", "starts_at", kind)
            message = f"not above the class before it, which begins at {before}"
            yield Problem(dotted(path), shown(points), message, f"Give at least {before + 1}.")
        before = points


def _learned(rule: Mapping[str, Any], tiers: Sequence[str]) -> Iterator[Problem]:
    larger, smaller = rule.get("larger"), rule.get("smaller")
    for part, value in (("larger", larger), ("smaller", smaller)):
        yield from _tier(("routing", "learned", part), value, tiers)
    if larger in tiers and smaller in tiers and tiers.index(smaller) <= tiers.index(larger):
        fix = f"Name a tier that stands below {larger!r} in the file."
        yield Problem("routing.learned.smaller", shown(smaller), "not under larger", fix)
    if "threshold" in rule and "max_risk" in rule:
        message = "stands beside threshold, and both say which calls go to the smaller tier"
        yield Problem("routing.learned.max_risk", shown(rule["max_risk"]), message, "Keep one of the two.")
