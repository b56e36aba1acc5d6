"""
Reads a Messages API body and counts every part that can be billed; never changes the body.

It decides what has a bound and what has none. The counts become a `RequestBound` in `bound.py`, where the
basis of the bound is explained. What the API knows is data (`data/surface.toml`); anything else is
unbounded, and wrong types are `RequestInvalid`, which the gateway answers as a 400.
"""

from collections.abc import Callable, Mapping

from pricing.facts import known_geos
from pricing.scan_content import scan_messages, scan_system
from pricing.scan_tools import scan_tools
from pricing.tally import (
    Fallback,
    RequestInvalid,
    Tally,
    as_list,
    as_object,
    note_cache_control,
    surface,
    whole,
)

BASE_TOKENS = 64  # the frame around the whole prompt
FORMAT_TOKENS = 1_024  # the provider's system prompt for structured output

_SPEEDS = (None, "standard", "fast")
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_HOP_FIELDS = frozenset({"model", "max_tokens", "speed", "thinking", "output_config"})
_MODEL_CHARS_MAX = 200
_USER_CHARS_MAX = 256
_GEO_CHARS_MAX = 64


def scan_body(body: Mapping[str, object], betas: frozenset[str]) -> Tally:
    """
    Count everything in the body that can be billed.

    Raises:
        RequestInvalid: the body has a wrong shape.
    """
    if not isinstance(body, Mapping):
        raise RequestInvalid("(body)", body, "expected a JSON object")
    tally = Tally()
    tally.enter("frame")
    tally.tokens(BASE_TOKENS)
    for name in body:
        if name not in surface().fields and body[name] is not None:
            tally.no_bound(str(name), "unknown field, it may be billed")
    for beta in sorted(betas - surface().betas):
        tally.no_bound("anthropic-beta", f'unknown beta "{beta}", it may be billed')
    note_cache_control(tally, body, "")
    scan_system(tally, body.get("system"))
    scan_messages(tally, body.get("messages"))
    scan_tools(tally, body.get("tools"), "tools")
    for name, read in _FIELDS.items():
        value = body.get(name)
        if value is not None:
            read(tally, value)
    return tally


def read_speed(value: object, at: str) -> str | None:
    """
    Read a speed.
    """
    if value not in _SPEEDS:
        raise RequestInvalid(at, value, 'expected "standard" or "fast"')
    return None if value is None else str(value)


def read_fallbacks(value: object) -> tuple[Fallback, ...]:
    """
    Read the explicit hops of server-side fallbacks; "default" is the provider's choice and has none.
    """
    if value is None or value == "default":
        return ()
    hops = []
    for index, entry in enumerate(as_list(value, "fallbacks")):
        at = f"fallbacks[{index}]"
        hop = as_object(entry, at)
        model = _model_id(hop.get("model"), f"{at}.model")
        limit = hop.get("max_tokens")
        max_tokens = None if limit is None else whole(limit, f"{at}.max_tokens")
        hops.append(Fallback(model, max_tokens, read_speed(hop.get("speed"), f"{at}.speed")))
    return tuple(hops)


def _max_tokens(tally: Tally, value: object) -> None:  # noqa: ARG001 one signature for all fields
    whole(value, "max_tokens")


def _model(tally: Tally, value: object) -> None:  # noqa: ARG001 one signature for all fields
    _model_id(value, "model")


def _model_id(value: object, at: str) -> str:
    if not isinstance(value, str) or len(value) > _MODEL_CHARS_MAX:
        raise RequestInvalid(at, value, f"expected a model id of at most {_MODEL_CHARS_MAX} characters")
    return value


def _metadata(tally: Tally, value: object) -> None:  # noqa: ARG001 one signature for all fields
    user = as_object(value, "metadata").get("user_id")
    if isinstance(user, str) and len(user) > _USER_CHARS_MAX:
        raise RequestInvalid("metadata.user_id", user, f"expected at most {_USER_CHARS_MAX} characters")


def _output_config(tally: Tally, value: object, at: str = "output_config") -> None:
    config = as_object(value, at)
    if config.get("format") is not None:
        _format(tally, config["format"], f"{at}.format")
    effort = config.get("effort")
    if effort is not None and (not isinstance(effort, str) or effort not in _EFFORTS):
        raise RequestInvalid(f"{at}.effort", effort, f"expected one of {', '.join(_EFFORTS)}")


def _format(tally: Tally, value: object, at: str = "output_config.format") -> None:
    tally.enter("output_format")
    tally.tokens(FORMAT_TOKENS)
    tally.json(value, at)


def _container(tally: Tally, value: object) -> None:
    if not isinstance(value, str | Mapping):
        raise RequestInvalid("container", value, "expected an id or an object")
    tally.no_bound("container", "containers and skills run code, which has no bound")


def _mcp_servers(tally: Tally, value: object) -> None:
    if as_list(value, "mcp_servers"):
        tally.no_bound("mcp_servers", "an MCP server decides how much it returns")


def _context_management(tally: Tally, value: object) -> None:
    edits = as_object(value, "context_management").get("edits")
    for index, edit in enumerate([] if edits is None else as_list(edits, "context_management.edits")):
        at = f"context_management.edits[{index}]"
        kind = as_object(edit, at).get("type")
        if kind not in ("clear_tool_uses_20250919", "clear_thinking_20251015"):
            tally.no_bound(at, f'"{kind}" may run further samplings, billed on top of the totals')


def _compaction(tally: Tally, value: object) -> None:
    as_object(value, "compaction")
    tally.no_bound("compaction", "a compaction is billed on top of the totals, without a documented limit")


def _thread(tally: Tally, value: object) -> None:
    if as_object(value, "thread").get("type") != "create":
        tally.no_bound("thread", "the conversation is held by the server, its size is not in the body")


def _fallbacks(tally: Tally, value: object) -> None:
    """Count what hops add to the prompt: every attempt is taken to read all of it."""
    if value == "default":
        tally.no_bound("fallbacks", 'the provider chooses the models of "default"; name them instead')
        return
    for index, entry in enumerate(as_list(value, "fallbacks")):
        at = f"fallbacks[{index}]"
        hop = as_object(entry, at)
        for name in hop:
            if name not in _HOP_FIELDS and hop[name] is not None:
                tally.no_bound(f"{at}.{name}", "unknown field of a fallback, it may be billed")
        if hop.get("thinking") is not None:
            as_object(hop["thinking"], f"{at}.thinking")
        if hop.get("output_config") is not None:
            _output_config(tally, hop["output_config"], f"{at}.output_config")


def _geo(tally: Tally, value: object) -> None:
    if not isinstance(value, str) or len(value) > _GEO_CHARS_MAX:
        raise RequestInvalid("inference_geo", value, "expected a geography")
    if value not in known_geos():
        tally.no_bound("inference_geo", f'geography "{value}" has no known multiplier')


def _typed(name: str, kinds: type | tuple[type, ...], fix: str) -> Callable[[Tally, object], None]:
    """Make a check of a field that costs nothing by itself."""

    def check(_tally: Tally, value: object) -> None:
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise RequestInvalid(name, value, fix)

    return check


_FIELDS: dict[str, Callable[[Tally, object], None]] = {
    "model": _model,
    "max_tokens": _max_tokens,
    "stream": _typed("stream", bool, "expected true or false"),
    "metadata": _metadata,
    "thinking": _typed("thinking", Mapping, "expected an object"),
    "tool_choice": _typed("tool_choice", Mapping, "expected an object"),
    "stop_sequences": _typed("stop_sequences", list, "expected a list of texts"),
    "service_tier": _typed("service_tier", str, 'expected "auto" or "standard_only"'),
    "output_config": _output_config,
    "output_format": _format,
    "container": _container,
    "mcp_servers": _mcp_servers,
    "context_management": _context_management,
    "compaction": _compaction,
    "thread": _thread,
    "fallbacks": _fallbacks,
    "inference_geo": _geo,
}
