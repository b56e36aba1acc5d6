"""
What a call has to do with the conversation that it goes on with, in the router's words. Pure.
"""

import hashlib
import json

from outlay.calls import CallRequest
from outlay.views import SessionMemory
from router.shape import answers, messages_of, tool_errors, without_markers
from router.types import SessionState


def turn_of(request: CallRequest) -> str | None:
    """
    Recognise a turn that is asked again: by its place in the conversation and its last message.

    Cache markers and max_tokens may differ. Only calls of one session are ever compared.
    """
    messages = messages_of(request.body)
    if not messages:
        return None
    try:
        text = json.dumps([len(messages), without_markers(messages[-1])], sort_keys=True, default=str)
    except RecursionError:
        return None  # classification refuses such a body
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def state_of(request: CallRequest, memory: SessionMemory | None) -> SessionState | None:
    """
    Put what is known of a conversation in the router's words; None where Outlay has not seen it.

    The further attempts of one call ask the same on purpose, so they are no retry.
    """
    if memory is None:
        return None
    again = memory.turn is not None and memory.turn == turn_of(request)
    return SessionState(
        turns=answers(request.body),
        model=memory.last_model,
        tier=memory.tier,
        effort=memory.effort,
        wanted_effort=memory.wanted_effort,
        asked_model=memory.asked_model,
        task=memory.task,
        escalated=memory.escalated,
        score_ppm=memory.score_ppm,
        retried=again and request.link.parent is None,
        tool_errors=tool_errors(request.body),
        routed_tier=memory.routed_tier,
    )
