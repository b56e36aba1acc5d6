"""
What is found out of a call before it is routed: its profile, and what the policy's classifier expects of it.

The learned one scores the prompt; the LLM one is a call of its own, held, settled and recorded like any other
(`outlay/strategies/asking.py`). Whatever goes wrong here never keeps a call from being served: without an
answer the larger tier does. Pure.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from outlay import requests, views
from outlay.calls import CallRequest
from outlay.effects import Predict, Tools, ask
from outlay.errors import OutlayError
from outlay.sessions import state_of
from outlay.strategies import asking
from outlay.strategies.asking import Ask
from outlay.views import SessionMemory, View
from router.classify import profile_request
from router.complexity import task_class
from router.prompt_shape import newest_prompt
from router.signals import STRATEGY
from router.types import AUTO, Prediction, Profile, Reason, Refusal

Classified = tuple[Profile, tuple[Reason, ...], int]


def profiled(
    request: CallRequest,
    view: View,
    tools: Tools,
    session: str | None,
    memory: SessionMemory | None,
    at_us: int,
) -> Profile | Refusal:
    """
    Read a call's profile off its request, with what is known of its conversation and of calls like it.
    """
    usual = tools.usual(request.tenant, requests.kind(request))
    return profile_request(
        request.body,
        request.hints,
        request.rights,
        view.policy,
        betas=request.betas,
        expected_output_tokens=views.expected_output_tokens(usual, request.body.get("max_tokens")),
        cache=views.cache(memory, at_us),
        session=session,
        session_state=state_of(request, memory),
        bound_by=requests.bound_by(request, view.policy),
    )


def classified(
    profile: Profile, request: CallRequest, view: View, tools: Tools, decision_id: str, send: Ask | None
) -> Generator[Any, Any, Classified]:
    """
    Add to a profile what the policy's classifier says of the call, or that a strategy has named its tier.

    Args:
        send: Carries out a call of the flow's own; None where nobody could send it.
    Returns:
        The profile, reasons that open the explanation of the decision, and what it cost to ask.
    """
    if request.link.chosen:
        return replace(profile, prediction=Prediction(STRATEGY, request.link.strategy or "")), (), 0
    if request.link.inner or not _decides(profile, view):
        return profile, (), 0
    if view.policy.routing.classifier == "llm":
        said, reasons, nanos = yield from asking.asked(profile, request, view, tools, decision_id, send)
        return replace(profile, prediction=said), reasons, nanos
    return replace(profile, prediction=(yield from _scored(profile, request, view))), (), 0


def _decides(profile: Profile, view: View) -> bool:
    """Tell whether a classifier that reads prompts decides on this call at all."""
    routing = view.policy.routing
    if routing.classifier not in ("learned", "llm") or (profile.pin and profile.asked_model != AUTO):
        return False
    found = routing.route(profile.task) if profile.task is not None else None
    return found is None or found[1].tier is None


def _scored(profile: Profile, request: CallRequest, view: View) -> Generator[Any, Any, Prediction]:
    version, prompt = view.policy.routing.learned.version, newest_prompt(request.body)
    try:
        return (yield from ask(Predict(request.tenant, version, prompt, task_class(profile))))
    except OutlayError as error:
        return Prediction("learned", version or "", why=f"the books are out of reach: {error}"[:200])
