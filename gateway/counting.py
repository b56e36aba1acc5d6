"""
POST /v1/messages/count_tokens: passed to the provider, free of charge and not metered.

A count shows the prompt to the provider, so that a call's own rules hold: models and upstreams of its privacy
class, and the kill switch. `outlay/auto` and `outlay/TIER` are counted with a model of the tier they mean.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.errors import ApiError, refusal, unanswered, unreachable
from gateway.exchange import Exchange, answer, parse_object, passed_headers, read_body, to_json
from gateway.intake import calling_key, read_betas, read_hints
from gateway.messages import upstream_headers, upstream_url
from ledger import reads
from ledger.types import Reason, Refused
from outlay.calls import Upstream
from outlay.clock import now_us
from outlay.keys_sql import KeyRow
from outlay.refusals import from_ledger, from_router
from outlay.upstream import Lost, NotReached, TooLarge
from router.ask import Ask, resolve
from router.classify import profile_request
from router.policy import Policy
from router.types import Hints, Refusal

if TYPE_CHECKING:
    from gateway.house import House

ANSWER_BYTES_MAX = 1024 * 1024


async def count(house: "House", exchange: Exchange) -> None:
    """
    Pass one count on, and its answer back.
    """
    tenant, key = await calling_key(house.app.keys, exchange.headers)
    body = parse_object(await read_body(exchange))
    hints, betas = read_hints(exchange.headers), read_betas(exchange.headers)
    model, upstream = await asyncio.to_thread(_place, house, tenant, key, body, hints, betas)
    url = upstream_url(upstream, exchange, "/v1/messages/count_tokens")
    headers = upstream_headers(upstream, exchange.headers)
    raw = to_json({**body, "model": model})
    try:
        found = await house.upstream.post(url, raw, headers, before=partial(house.calls.still_on, tenant))
        raw = await found.read(ANSWER_BYTES_MAX)
    except NotReached as error:
        raise unreachable(type(error).__name__, "") from error
    except (Lost, TooLarge) as error:
        trouble = unanswered(type(error).__name__, "")
        trouble.retry = True  # a count is never billed
        raise trouble from error
    await answer(exchange, found.status, raw, passed_headers(found.headers))


def _place(
    house: "House",
    tenant: str,
    key: KeyRow,
    body: Mapping[str, Any],
    hints: Hints,
    betas: frozenset[str],
) -> tuple[str, Upstream]:
    """Find the model to count with, and where."""
    with house.app.reading() as connection:
        policy = house.app.policies.applied(connection, tenant).policy
        account = reads.account(connection, tenant)
    if account is not None and account.frozen:
        raise refusal(from_ledger("", tenant, Refused(Reason.FROZEN), now_us()))
    asked = {**body, "max_tokens": 1}
    profile = profile_request(asked, hints, key.rights, policy, betas=betas, expected_output_tokens=1)
    if isinstance(profile, Refusal):
        raise refusal(from_router("", profile))
    ask = resolve(profile, policy)
    if isinstance(ask, Refusal):
        raise refusal(from_router("", ask))
    upstream = house.calls.engine.tools.upstream(policy, profile.upstream)
    return _counting_model(ask, policy, profile.asked_model), upstream


def _counting_model(ask: Ask, policy: Policy, asked: str) -> str:
    """The asked model where it may see the prompt, else the first one of the tier, or of any, that may."""
    if ask.facts is not None and (ask.allowed is None or ask.facts.id in ask.allowed):
        return asked
    tiers = list(policy.tiers.values())
    listed = [facts.id for tier in (tiers[ask.rank], *tiers) for facts in tier.facts]
    allowed = [model for model in listed if ask.allowed is None or model in ask.allowed]
    if not allowed:
        message = "no model that the policy lists may see this call"
        raise ApiError(403, "permission_error", message, {"error_code": "outlay_model_not_allowed"})
    return allowed[0]
