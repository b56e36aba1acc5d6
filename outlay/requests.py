"""
What a call is known by before it is classified, and what its end says about the model's health. Pure.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from circuit.health import Outcome as Health
from circuit.health import outcome_of
from outlay import records
from outlay.calls import Broken, CallRequest, Completed, Failed, NotSent, Outcome, Uncertain
from outlay.words import plural
from pricing.bound import RequestInvalid
from pricing.facts import ModelFacts, UnknownModel, model_facts
from router.classify import session_of
from router.hints import canonical
from router.observe import counterfactual
from router.policy import Policy
from router.shape import messages_of, role_of
from router.translate import translate
from router.types import Choice, Offer, Priority, Reason

_NAME_MAX: Final = 200
_QUESTIONS: Final = frozenset({"classifier", "judge"})


def record(request: CallRequest, decision_id: str, at_us: int) -> dict[str, Any]:
    """
    Begin the record of a call from what it says of itself.
    """
    return records.opened(
        id=decision_id,
        tenant=request.tenant,
        key_id=request.key_id,
        at_us=at_us,
        surface=request.surface,
        asked_model=asked_model(request),
        stream=request.body.get("stream") is True,
        task=None if request.hints.task is None else request.hints.task[:_NAME_MAX],
        tags=json.dumps(dict(request.hints.tags), sort_keys=True),
        parent=request.link.parent,
        attempt=request.link.attempt,
        strategy=request.link.strategy,
    )


def asked_model(request: CallRequest) -> str:
    """
    Name what a call asks for: the first of the offers that it brings, else the model of its body.
    """
    model = request.offers[0].model if request.offers else str(request.body.get("model"))
    return model[:_NAME_MAX]


def ongoing_session(request: CallRequest) -> str | None:
    """
    Name the session of a conversation that has had an answer; None where it begins, or cannot be read.
    """
    try:
        if all(role_of(message) != "assistant" for message in messages_of(request.body)):
            return None
        return session_of(request.body, request.hints)
    except (RequestInvalid, RecursionError):
        return None  # classification will say what is wrong with the body


def kind(request: CallRequest) -> str:
    """
    Name the calls that this one is like: those of its task, else those that ask for the same model.

    Answers to questions of Outlay's own are short, and say nothing of the caller's.
    """
    own = request.link.strategy if request.link.strategy in _QUESTIONS else None
    return (own or request.hints.task or asked_model(request))[:_NAME_MAX]


def scopes(request: CallRequest) -> tuple[str, ...]:
    """
    Name the budgets, besides the tenant's own, that may limit a call: key, task, end user, tags.
    """
    hints, metadata = request.hints, request.body.get("metadata")
    user = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    named = (("key", request.key_id), ("task", hints.task), ("user", user))
    own = tuple(f"{kind}:{canonical(name)}" for kind, name in named if isinstance(name, str) and name != "")
    tags = tuple(canonical(f"tag:{name}={value}") for name, value in hints.tags)  # as budgets are kept
    return tuple(dict.fromkeys((*own, *tags, *request.link.scopes)))


def bound_by(request: CallRequest, policy: Policy) -> tuple[str, ...]:
    """
    Name the privacy class of the task that a call is made for without being one of it.
    """
    task = request.link.task
    found = None if task is None else policy.routing.route(task)
    return () if found is None or found[1].privacy is None else (found[1].privacy,)


def facts(model: object) -> ModelFacts | None:
    """
    Look up the model that a body names; None for `outlay/...` names and unknown ones.
    """
    try:
        return model_facts(model) if isinstance(model, str) else None
    except UnknownModel:
        return None


def served_body(
    body: Mapping[str, Any],
    model: str,
    effort: str | None,
    max_tokens: int,
    served_before: frozenset[str] = frozenset(),
) -> Mapping[str, object]:
    """
    Write the body that a model is sent in place of what was asked (`router/translate.py`).
    """
    asked = facts(body.get("model"))
    changed = translate(
        body,
        model_facts(model),
        asked=asked,
        effort=effort,
        max_tokens=max_tokens,
        served_before=served_before,
    )
    return changed.body


def own_choice(offers: tuple[Offer, ...], level: int) -> Choice:
    """
    Put offers that the caller brings into the words of a routed call; the first is what it asks for.
    """
    return Choice(
        asked_model=offers[0].model,
        asked_tier=None,
        priority=Priority.NORMAL,
        level=level,
        ratio=1.0,
        gauge=None,
        offers=offers,
        reasons=(Reason("own_offers", f"the caller brings {plural(len(offers), 'offer')} of its own"),),
        counterfactual=counterfactual(offers[0]),
    )


def health(outcome: Outcome) -> Health:
    """
    What the end of a call says about the model's health.
    """
    match outcome:
        case Completed():
            return Health.SUCCESS
        case Failed(status, error_type, error_code):
            return outcome_of(status, error_type, error_code)
        case NotSent(given_up=True) | Broken(given_up=True) | Uncertain(given_up=True):
            return Health.NEUTRAL
        case _:  # broken, never connected, or no answer
            return outcome_of(None)
