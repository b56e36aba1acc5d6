"""
GET /v1/models: what a caller may ask this gateway for, in Anthropic's shape.

The answer is made of the packaged facts and the tenant's policy, not of the provider's list: an unmodified
SDK picks from it what it then asks for, and only models that the policy lists are served. It costs no
upstream call and works while the provider does not. Beside the models stand the names `outlay/auto` and
`outlay/TIER`. A release date is not among the facts; the API's own rule for an unknown one is the epoch.
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs

from gateway.errors import invalid, not_found
from gateway.exchange import Exchange, answer_json
from gateway.house import House
from gateway.intake import calling_key
from pricing.facts import ModelFacts, UnknownModel, model_facts
from router.policy import Policy
from router.types import AUTO, EFFORTS, TIER_PREFIX

PAGE = 20
PAGE_MAX = 1_000
_EPOCH = "1970-01-01T00:00:00Z"
_THINKING = ("adaptive", "between_tools", "disabled", "enabled")


async def list_models(house: House, exchange: Exchange) -> None:
    """
    Answer one page of the list.
    """
    models = await _models(house, exchange)
    query = parse_qs(exchange.scope.get("query_string", b"").decode("latin-1"))
    page, more = _page(models, {name: values[-1] for name, values in query.items()})
    body = {
        "data": page,
        "has_more": more,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }
    await answer_json(exchange, body)


async def show_model(house: House, exchange: Exchange) -> None:
    """
    Answer one model by its id or alias.
    """
    name = exchange.scope["path_params"]["name"]
    models = {model["id"]: model for model in await _models(house, exchange)}
    found = models.get(name) or models.get(_canonical(name))
    if found is None:
        raise not_found(f"model: {name}")
    await answer_json(exchange, found)


def _canonical(name: str) -> str:
    try:
        return model_facts(name).id
    except UnknownModel:
        return name


async def _models(house: House, exchange: Exchange) -> list[dict[str, Any]]:
    tenant, _ = await calling_key(house.app.keys, exchange.headers)
    policy = await asyncio.to_thread(_policy, house, tenant)
    return describe(policy)


def _policy(house: House, tenant: str) -> Policy:
    with house.app.reading() as connection:
        return house.app.policies.applied(connection, tenant).policy


def describe(policy: Policy) -> list[dict[str, Any]]:
    """
    Return what a policy lets a caller ask for: its models in the order of their tiers, then its names.
    """
    models = [_model(model_facts(name)) for name in policy.model_ranks]
    auto = _name(AUTO, "Outlay: by task", policy.tiers[policy.routing.default_tier].facts)
    tiers = [
        _name(f"{TIER_PREFIX}{name}", f"Outlay: tier {name}", tier.facts)
        for name, tier in policy.tiers.items()
    ]
    return [*models, auto, *tiers]


def _model(facts: ModelFacts) -> dict[str, Any]:
    return {
        "type": "model",
        "id": facts.id,
        "display_name": facts.id.replace("-", " ").title(),
        "created_at": _EPOCH,
        "line": facts.line,
        "lifecycle": "active",
        "deprecated_at": None,
        "retires_at": None,
        "max_input_tokens": facts.context_tokens,
        "max_tokens": facts.max_output_tokens,
        "capabilities": {
            "effort": _choices(EFFORTS, facts.efforts),
            "thinking": {
                "supported": bool(facts.thinking),
                "types": {kind: _supported(kind in facts.thinking) for kind in _THINKING},
            },
        },
    }


def _name(name: str, shown: str, facts: Sequence[ModelFacts]) -> dict[str, Any]:
    """A name that the router resolves: the tier's first model, with room for what any of them takes."""
    return {
        **_model(facts[0]),
        "id": name,
        "display_name": shown,
        "line": None,
        "max_input_tokens": max(model.context_tokens for model in facts),
        "max_tokens": max(model.max_output_tokens for model in facts),
    }


def _choices(known: Sequence[str], supported: Sequence[str]) -> dict[str, Any]:
    return {"supported": bool(supported), **{name: _supported(name in supported) for name in known}}


def _supported(yes: bool) -> dict[str, bool]:
    return {"supported": yes}


def _page(models: list[dict[str, Any]], query: dict[str, str]) -> tuple[list[dict[str, Any]], bool]:
    limit = query.get("limit", str(PAGE))
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= PAGE_MAX):
        raise invalid(
            f'limit: use a whole number from 1 to {PAGE_MAX} (found: "{limit[:40]}")', field="limit"
        )
    ids = [model["id"] for model in models]
    before, after = query.get("before_id"), query.get("after_id")
    for name, value in (("before_id", before), ("after_id", after)):
        if value is not None and value not in ids:
            raise invalid(f'{name}: no such model (found: "{value[:80]}")', field=name)
    if before is not None:
        earlier = models[: ids.index(before)]
        return earlier[-int(limit) :], len(earlier) > int(limit)
    later = models[ids.index(after) + 1 :] if after is not None else models
    return later[: int(limit)], len(later) > int(limit)
