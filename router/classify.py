"""
What a request asks for: its body and hints become a `Profile` of names and counts.

It decides which hints a key may give, and recognises a session. It picks no model; `router/choose.py` does.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from pricing.bound import RequestBound, RequestInvalid, bound_request
from router.ask import privacy_classes, unknown_class
from router.complexity import LEVELS, Complexity, level, read_signals
from router.shape import (
    THINKING_BLOCKS,
    blocks,
    effort_of,
    has_prefill,
    is_forced,
    messages_of,
    open_tool_loop,
    role_of,
    thinking_kind,
    without_markers,
)
from router.types import (
    HINT_NUMBER_MAX,
    Cache,
    Hints,
    Priority,
    Profile,
    Reason,
    ReasonCode,
    Refusal,
    RefusalCode,
    Rights,
    SessionState,
)

if TYPE_CHECKING:
    from router.policy_model import Policy

FEATURES: Final = frozenset(
    {
        "documents",
        "fast",
        "forced_tool_choice",
        "images",
        "inference_geo",
        "open_tool_loop",
        "prefill",
        "prompt_cache",
        "sampling",
        "structured_output",
        "thinking",
        "thinking_blocks",
        "tools",
    }
)
CACHE_TTL_S: Final = {"none": 0, "5m": 300, "1h": 3_600}
"""How long a cache lives after its last use, by the longest time that the markers of a body ask for."""
_HINT_MAX: Final = 200
_BYTES_PER_100_TOKENS: Final = 300
"""Dense enough for every tokenizer; a cache never counts for more than the prompt."""


def allowed_hints(hints: Hints, rights: Rights) -> tuple[Hints, tuple[Reason, ...]]:
    """
    Keep the hints that a key may give: without the right to loosen, no floor and no pin.

    A priority is judged later, against that of the task (`router.ask.effective_priority`); a privacy class
    can only be added, so it always stands.
    """
    if rights.loosen:
        return hints, ()
    reasons = tuple(
        Reason(
            ReasonCode.HINT_NOT_ALLOWED,
            f"the key may not set {name}; it is ignored",
            {"hint": name, "value": value},
        )
        for name, value in (("floor", hints.floor), ("pin", "true" if hints.pin else None))
        if value is not None
    )
    return replace(hints, floor=None, pin=False), reasons


def profile_request(
    body: Mapping[str, Any],
    hints: Hints,
    rights: Rights,
    policy: "Policy",
    *,
    betas: frozenset[str] = frozenset(),
    expected_output_tokens: int,
    cache: Cache | None = None,
    session: str | None = None,
    session_state: SessionState | None = None,
    bound_by: tuple[str, ...] = (),
) -> Profile | Refusal:
    """
    Read a Messages API body and its hints. The body is only read.

    Args:
        expected_output_tokens: Output that calls like this one have had; max_tokens caps it.
        cache: Where the session's prompt cache is warm. None means unknown: a conversation that goes on
            and uses the cache is then taken to be warm at the model that it asks for.
        session: What `session_of` says of this call, where that is known already.
        session_state: What the conversation was served with so far, where Outlay has seen it.
        bound_by: Privacy classes that hold for it besides those of its key, its hints and its task.
    """
    hints, reasons = allowed_hints(hints, rights)
    refusal = _hint_refused(hints)
    if refusal is not None:
        return refusal
    model = body.get("model")
    if not isinstance(model, str) or not model:
        return _invalid("model", model, 'name a model, "outlay/auto" or "outlay/TIER"')
    privacy = tuple(name for name in (rights.privacy, hints.privacy, *bound_by) if name is not None)
    upstream = _upstream(policy, hints.task, privacy)
    if isinstance(upstream, Refusal):
        return upstream
    geo = policy.upstreams[upstream].geo if upstream is not None else None
    read = _read(body, hints, betas, geo, session)
    if isinstance(read, Refusal):
        return read
    bound, max_tokens, own_session = read
    cached_model, cached_tokens = _cached(body, bound, cache)
    return Profile(
        task=hints.task,
        role=hints.role,
        priority=None if hints.priority is None else Priority(hints.priority),
        may_raise=rights.loosen,
        asked_model=model,
        asked_effort=effort_of(body),
        max_tokens=max_tokens,
        stream=body.get("stream") is True,
        session=own_session,
        privacy=tuple(dict.fromkeys(privacy)),
        floor=hints.floor,
        pin=hints.pin,
        tags=hints.tags,
        features=features(body, bound),
        bound=bound,
        expected_output_tokens=max(0, min(expected_output_tokens, max_tokens)),
        upstream=upstream,
        cached_model=cached_model,
        cached_tokens_hint=cached_tokens,
        reasons=reasons,
        signals=read_signals(body, hints, bound),
        session_state=session_state,
    )


def _read(
    body: Mapping[str, Any], hints: Hints, betas: frozenset[str], geo: str | None, session: str | None
) -> tuple[RequestBound, int, str] | Refusal:
    """Find the cost bound, max_tokens and the session of a body."""
    try:
        bound = bound_request(body, betas=betas, default_geo=geo)
        session = session_of(body, hints) if session is None else session
    except RequestInvalid as error:
        return _invalid(error.field, error.value, error.fix)
    except RecursionError:
        return _invalid("messages", "…", "the body is nested too deeply")
    if bound.max_tokens is None:
        return _invalid("max_tokens", None, "say how many tokens the answer may have; it bounds the cost")
    return bound, bound.max_tokens, session


def _hint_refused(hints: Hints) -> Refusal | None:
    """Refuse hints that mean nothing: ignored, they would route a call as its caller does not want."""
    for name in ("task", "role", "session", "privacy", "floor"):
        value = getattr(hints, name)
        if value is not None and not 0 < len(value) <= _HINT_MAX:
            text = f"outlay-{name} has {len(value)} characters; give 1 to {_HINT_MAX}"
            return Refusal(RefusalCode.INVALID_HINT, text, {"field": f"outlay-{name}"})
    words = (
        _unknown_word("priority", hints.priority, tuple(Priority)),
        _unknown_word("complexity", hints.complexity, tuple(Complexity)),
        _unknown_word("reasoning", level(hints.reasoning), LEVELS),
        _unknown_word("context", level(hints.context), LEVELS),
        _odd_number("output-words", hints.output_words),
        _odd_number("revision", hints.revision),
    )
    return next((refusal for refusal in words if refusal is not None), None)


def _unknown_word(name: str, value: str | None, known: tuple[str, ...]) -> Refusal | None:
    if value is None or value in known:
        return None
    close = get_close_matches(value.lower(), known, n=1)
    fix = f"did you mean {str(close[0])!r}?" if close else f"it is one of {', '.join(known)}"
    text = f"outlay-{name} {value[:40]!r} is unknown; {fix}"
    return Refusal(RefusalCode.INVALID_HINT, text, {"field": f"outlay-{name}", "value": value[:40]})


def _odd_number(name: str, value: int | None) -> Refusal | None:
    if value is None or 0 <= value <= HINT_NUMBER_MAX:
        return None
    text = f"outlay-{name} is {value}; give a whole number from 0 to {HINT_NUMBER_MAX}"
    return Refusal(RefusalCode.INVALID_HINT, text, {"field": f"outlay-{name}", "value": value})


def _invalid(field: str, value: object, fix: str) -> Refusal:
    if value is None:
        return Refusal(RefusalCode.INVALID_REQUEST, f"{field}: {fix}", {"field": field})
    shown = str(value)[:80]
    numbers = {"field": field, "value": shown}
    return Refusal(RefusalCode.INVALID_REQUEST, f"{field}: {fix} (found: {shown})", numbers)


def _upstream(policy: "Policy", task: str | None, privacy: tuple[str, ...]) -> str | Refusal | None:
    """Pick the upstream: `default`, else the first, among those that every privacy class allows."""
    found = policy.routing.route(task) if task is not None else None
    classes = privacy_classes(privacy, found[1] if found is not None else None)
    refusal = unknown_class(policy, classes)
    if refusal is not None:
        return refusal
    if not policy.upstreams:
        return None
    limits = [policy.privacy[name].upstreams for name in classes]
    names = [n for n in policy.upstreams if all(limit is None or n in limit for limit in limits)]
    if not names:
        text = f"privacy classes {', '.join(classes)} have no upstream in common"
        return Refusal(RefusalCode.NO_MODEL_FITS, text, {"privacy": ", ".join(classes)})
    return "default" if "default" in names else names[0]


def session_of(body: Mapping[str, Any], hints: Hints) -> str:
    """
    Name the session of a call: the caller's own id, else the conversation as its beginning shows it.

    Raises:
        RequestInvalid: The body's messages are not what the API takes.
    """
    return f"id:{hints.session}" if hints.session is not None else f"auto:{session_hash(body)}"


def session_hash(body: Mapping[str, Any]) -> str:
    """
    Recognise a conversation by its beginning: system, tools and first user message, without cache markers.

    The markers move from turn to turn, so they would make every turn a session of its own.
    """
    users = (message for message in messages_of(body) if role_of(message) == "user")
    system = without_markers({"content": body.get("system")})
    beginning = [system, without_markers(body.get("tools")), without_markers(next(users, None))]
    text = json.dumps(beginning, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def features(body: Mapping[str, Any], bound: RequestBound) -> frozenset[str]:
    """
    Name what a request uses that models may lack, or that matters to a switch.
    """
    kinds = {str(block.get("type")) for message in messages_of(body) for block in blocks(message)}
    config = body.get("output_config")
    used = {
        "documents": "document" in kinds,
        "fast": bound.speed == "fast",
        "forced_tool_choice": is_forced(body),
        "images": "image" in kinds,
        "inference_geo": body.get("inference_geo") not in (None, "global"),
        "open_tool_loop": open_tool_loop(body),
        "prefill": has_prefill(body),
        "prompt_cache": bound.cache_ttl != "none",
        "sampling": any(name in body for name in ("temperature", "top_p", "top_k")),
        "structured_output": isinstance(config, Mapping) and "format" in config,
        "thinking": thinking_kind(body) not in (None, "disabled"),
        "thinking_blocks": bool(kinds & THINKING_BLOCKS),
        "tools": bool(body.get("tools")),
    }
    return frozenset(name for name, is_used in used.items() if is_used)


def _cached(body: Mapping[str, Any], bound: RequestBound, cache: Cache | None) -> tuple[str | None, int]:
    """Say where the prompt cache is warm, and with how many tokens."""
    if cache is not None:
        warm = cache.age_s <= CACHE_TTL_S[bound.cache_ttl]
        return (cache.model, max(0, cache.tokens)) if warm else ("", 0)
    messages = messages_of(body)
    turns = [place for place, message in enumerate(messages) if role_of(message) == "assistant"]
    if bound.cache_ttl == "none" or not turns:
        return None, 0
    new = sum(len(json.dumps(message, default=str)) for message in messages[turns[-1] + 1 :])
    return None, max(0, bound.text_bytes - new) * 100 // _BYTES_PER_100_TOKENS
