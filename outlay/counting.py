"""
Where a prompt may be counted, and with which model: counting is free, but shows the prompt to a provider.

So a call's own rules hold: the models and upstreams of its privacy class, and the kill switch. Steps like
those of `outlay/flow.py`: they hold no money and write no record. `outlay/auto` and `outlay/TIER` are counted
with a model of the tier they mean.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.types import Reason
from ledger.types import Refused as LedgerRefused
from outlay import refusals, requests
from outlay.calls import CallRequest, Refused, Upstream
from outlay.effects import CheckSwitches, Look, Tools, ask
from router.ask import Ask, resolve
from router.classify import profile_request
from router.policy import Policy
from router.types import Refusal, RefusalCode


@dataclass(frozen=True, slots=True)
class Count:
    """
    A count that may be sent: its body, and where to.
    """

    body: Mapping[str, object]
    upstream: Upstream


def place(request: CallRequest, tools: Tools) -> Generator[Any, Any, Count | Refused]:
    """
    Find the model and the upstream of a count, and see that it may be sent now.
    """
    at_us = tools.now_us()
    view = yield from ask(Look(request.tenant, requests.scopes(request), at_us))
    if not view.known:
        return refusals.unknown_tenant("", request.tenant, at_us)
    if view.frozen:
        return refusals.from_ledger("", request.tenant, LedgerRefused(Reason.FROZEN), at_us)
    found = _placed(request, view.policy, tools)
    if isinstance(found, Refusal):
        return refusals.from_router("", found, at_us)
    halted = yield from ask(CheckSwitches(request.tenant))
    return found if halted is None else refusals.from_circuit("", halted)


def _placed(request: CallRequest, policy: Policy, tools: Tools) -> Count | Refusal:
    asked = {**request.body, "max_tokens": 1}
    profile = profile_request(
        asked, request.hints, request.rights, policy, betas=request.betas, expected_output_tokens=1
    )
    if isinstance(profile, Refusal):
        return profile
    found = resolve(profile, policy)
    if isinstance(found, Refusal):
        return found
    model = _counting_model(found, policy, profile.asked_model)
    if isinstance(model, Refusal):
        return model
    return Count({**request.body, "model": model}, tools.upstream(policy, profile.upstream))


def _counting_model(found: Ask, policy: Policy, asked: str) -> str | Refusal:
    """
    Name the asked model where it may see the prompt, else the first one of the tier, or of any, that may.
    """
    if found.facts is not None and (found.allowed is None or found.facts.id in found.allowed):
        return asked
    tiers = list(policy.tiers.values())
    listed = [facts.id for tier in (tiers[found.rank], *tiers) for facts in tier.facts]
    allowed = [model for model in listed if found.allowed is None or model in found.allowed]
    if allowed:
        return allowed[0]
    return Refusal(RefusalCode.MODEL_NOT_ALLOWED, "no model that the policy lists may see this call")
