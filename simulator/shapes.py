"""
The shape of a request body: which fields there are, and what types they have.

What is checked here holds for every model; what depends on the model is in `rules.py`. Messages follow the
API's own wording (`FIELD: what is wrong`), as clients are known to look at it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.errors import ApiError, invalid


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MESSAGE_FIELDS = _names(
    "model max_tokens messages system metadata stop_sequences stream temperature top_p top_k thinking "
    "tool_choice tools cache_control container diagnostics inference_geo output_config service_tier speed"
)
COUNT_FIELDS = _names("model messages system cache_control output_config speed thinking tool_choice tools")
# with `anthropic-beta`: known to the API, but not on offer here
BETA_FIELDS = _names(
    "fallbacks fallback_credit_token billing_policy compaction context_management mcp_servers thread"
)
BLOCKS: Mapping[str, tuple[str, frozenset[str]]] = {
    name: (roles, frozenset((*fields.split(), "type")))
    for name, roles, fields in (
        ("text", "user assistant system", "text cache_control citations"),
        ("image", "user", "source cache_control transformations"),
        ("document", "user", "source cache_control citations context title"),
        ("search_result", "user", "source title content cache_control citations"),
        ("tool_result", "user", "tool_use_id content is_error cache_control toolset_name"),
        ("tool_use", "assistant", "id name input cache_control caller toolset_name"),
        ("thinking", "assistant", "thinking signature"),
        ("redacted_thinking", "assistant", "data"),
        ("server_tool_use", "assistant", "id name input cache_control caller"),
        ("web_search_tool_result", "assistant", "tool_use_id content cache_control caller"),
    )
}
TOOL_FIELDS = _names(
    "name description input_schema type cache_control strict defer_loading allowed_callers input_examples "
    "eager_input_streaming"
)
_SERVER_TOOL = re.compile(r"(web_search|web_fetch|code_execution|tool_search_tool_(?:bm25|regex))_\d{8}$")
_CLIENT_TOOL = re.compile(r"(bash|text_editor|memory|computer_toolset|browser_toolset)_\d{8}$")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}$")
_MARKERS_MAX = 4


def check_shape(body: Any, *, known: frozenset[str], beta: bool) -> None:
    """
    Check the fields that do not depend on the model.

    Raises:
        ApiError: 400, naming the first field that is wrong.
    """
    if not isinstance(body, dict):
        raise invalid("Input should be a valid dictionary")
    for name in body:
        if name not in known:
            raise _extra(name, beta)
    for name in ("model", "messages") if known is COUNT_FIELDS else ("model", "max_tokens", "messages"):
        if name not in body:
            raise invalid(f"{name}: Field required")
    _scalars(body)
    _messages(body["messages"])
    _system(body.get("system"))
    _tools(body.get("tools"))
    _tool_choice(body.get("tool_choice"), body.get("tools"))
    _markers(body)


def _extra(name: str, beta: bool) -> ApiError:
    if beta and name in BETA_FIELDS:
        return invalid(f"{name}: this beta is not offered by the simulated provider")
    return invalid(f"{name}: Extra inputs are not permitted")


def is_web_search(tool: Mapping[str, Any]) -> bool:
    """
    Tell the web search tool, which the provider runs itself and bills by use.
    """
    return str(tool.get("type", "")).startswith("web_search_")


def is_client_tool(tool: Mapping[str, Any]) -> bool:
    """
    Tell a tool that the caller describes by a schema and runs itself.
    """
    return bool(tool.get("type", "custom") == "custom")


_SCALARS: Mapping[str, tuple[type, ...]] = {
    "model": (str,),
    "max_tokens": (int,),
    "stream": (bool,),
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": (int,),
    "inference_geo": (str, type(None)),
    "speed": (str, type(None)),
    "service_tier": (str,),
}
_CHOICES = {"speed": ("standard", "fast", None), "service_tier": ("auto", "standard_only")}
_OBJECTS: Mapping[str, frozenset[str]] = {
    "metadata": frozenset({"user_id"}),
    "diagnostics": frozenset({"previous_message_id"}),
    "output_config": frozenset({"effort", "format", "task_budget"}),
    "thinking": frozenset({"type", "budget_tokens", "display"}),
    "cache_control": frozenset({"type", "ttl"}),
}


def _scalars(body: Mapping[str, Any]) -> None:
    for name, kinds in _SCALARS.items():
        if name in body and type(body[name]) not in kinds:
            raise invalid(f"{name}: Input should be a valid {_TYPE_WORDS[kinds[0]]}")
    for name, choices in _CHOICES.items():
        if name in body and body[name] not in choices:
            raise invalid(f"{name}: Input should be {' or '.join(repr(c) for c in choices if c)}")
    for name, fields in _OBJECTS.items():
        if body.get(name) is not None:
            _object(name, body[name], fields)
    if body.get("max_tokens", 0) < 0:
        raise invalid("max_tokens: Input should be greater than or equal to 0")
    stops = body.get("stop_sequences", [])
    if not isinstance(stops, list) or not all(isinstance(stop, str) and stop.strip() for stop in stops):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")


_TYPE_WORDS = {str: "string", int: "integer", bool: "boolean"}


def _object(where: str, value: Any, fields: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    for name in value:
        if name not in fields:
            raise invalid(f"{where}.{name}: Extra inputs are not permitted")


def _messages(messages: Any) -> None:
    if not isinstance(messages, list):
        raise invalid("messages: Input should be a valid list")
    if not messages:
        raise invalid("messages: at least one message is required")
    for at, message in enumerate(messages):
        where = f"messages.{at}"
        _object(where, message, frozenset({"role", "content"}))
        if message.get("role") not in ("user", "assistant", "system"):
            raise invalid(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        _content(f"{where}.content", message.get("content"), message["role"], last=at == len(messages) - 1)
    _tool_results(messages)


def _content(where: str, content: Any, role: str, *, last: bool) -> None:
    if isinstance(content, str):
        if not content and not (last and role == "assistant"):
            raise invalid(f"{where}: text content must be non-empty")
        return
    if not isinstance(content, list):
        raise invalid(f"{where}: Input should be a valid string or list of content blocks")
    if not content and not (last and role == "assistant"):
        raise invalid(f"{where}: content must be non-empty")
    for at, block in enumerate(content):
        _block(f"{where}.{at}", block, role)


def _block(where: str, block: Any, role: str) -> None:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind not in BLOCKS:
        tags = ", ".join(repr(tag) for tag in BLOCKS)
        raise invalid(
            f"{where}: Input tag {kind!r} found using 'type' does not match any of the expected tags: {tags}"
        )
    roles, fields = BLOCKS[kind]
    if role not in roles.split():
        raise invalid(f"{where}: `{kind}` blocks can only be in `{roles}` messages, not `{role}`")
    _object(f"{where}.{kind}", block, fields)
    for name in _REQUIRED[kind]:
        if name not in block:
            raise invalid(f"{where}.{kind}.{name}: Field required")
    _block_values(f"{where}.{kind}", kind, block)


_REQUIRED = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "search_result": ("source", "title", "content"),
    "tool_result": ("tool_use_id",),
    "tool_use": ("id", "name", "input"),
    "thinking": ("thinking", "signature"),
    "redacted_thinking": ("data",),
    "server_tool_use": ("id", "name", "input"),
    "web_search_tool_result": ("tool_use_id", "content"),
}
_SOURCES = {"image": ("base64", "url", "file"), "document": ("base64", "url", "file", "text", "content")}


def _block_values(where: str, kind: str, block: Mapping[str, Any]) -> None:
    for name in ("text", "thinking", "signature", "tool_use_id", "id", "name"):
        if name in block and not isinstance(block[name], str):
            raise invalid(f"{where}.{name}: Input should be a valid string")
    if kind == "text" and not block["text"]:
        raise invalid(f"{where}: text content blocks must be non-empty")
    if kind == "tool_use" and not isinstance(block["input"], dict):
        raise invalid(f"{where}.input: Input should be a valid dictionary")
    if kind == "tool_result" and block.get("content"):
        _content(f"{where}.content", block["content"], "user", last=False)
    if kind in _SOURCES:
        _source(f"{where}.source", kind, block["source"])


def _source(where: str, kind: str, source: Any) -> None:
    found = source.get("type") if isinstance(source, dict) else None
    if found not in _SOURCES[kind]:
        raise invalid(
            f"{where}: Input tag {found!r} found using 'type' does not match any of {_SOURCES[kind]}"
        )
    if found in ("base64", "text") and not isinstance(source.get("data"), str):
        raise invalid(f"{where}.{found}.data: Field required")
    if found == "content":
        _content(f"{where}.content.content", source.get("content"), "user", last=False)


def _tool_results(messages: Sequence[Mapping[str, Any]]) -> None:
    open_ids: set[str] = set()
    for at, message in enumerate(messages):
        blocks = () if isinstance(message["content"], str) else message["content"]
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if missing := sorted(open_ids - answered):
            raise invalid(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(missing)}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            )
        if unasked := sorted(answered - open_ids):
            raise invalid(
                f"messages.{at}.content: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{', '.join(unasked)}. Each `tool_result` block must have a corresponding `tool_use` "
                "block in the previous message."
            )
        open_ids = {block["id"] for block in blocks if block["type"] == "tool_use"}


def _system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    if not isinstance(system, list):
        raise invalid("system: Input should be a valid string or list of text blocks")
    for at, block in enumerate(system):
        if not isinstance(block, dict) or block.get("type") != "text":
            raise invalid(f"system.{at}: Input should be a text block")
        _block(f"system.{at}", block, "system")


def _tools(tools: Any) -> None:
    if tools is None:
        return
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    names = set()
    for at, tool in enumerate(tools):
        name = _tool(f"tools.{at}", tool)
        if name in names:
            raise invalid("tools: Tool names must be unique.")
        names.add(name)


def _tool(where: str, tool: Any) -> str:
    if not isinstance(tool, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    kind = tool.get("type", "custom")
    if not is_client_tool(tool):
        if not isinstance(kind, str) or not (_SERVER_TOOL.match(kind) or _CLIENT_TOOL.match(kind)):
            raise invalid(
                f"{where}: Input tag {kind!r} found using 'type' does not match any of the expected tags"
            )
        if is_web_search(tool):
            _max_uses(f"{where}.{kind}.max_uses", tool.get("max_uses"))
        return str(tool.get("name", kind))
    _object(f"{where}.custom", tool, TOOL_FIELDS)
    name, schema = tool.get("name"), tool.get("input_schema")
    if not isinstance(name, str) or not _TOOL_NAME.match(name):
        raise invalid(f"{where}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise invalid(f"{where}.custom.input_schema.type: Input should be 'object'")
    return name


def _max_uses(where: str, value: Any) -> None:
    if value is not None and (type(value) is not int or value < 1):
        raise invalid(f"{where}: Input should be greater than 0")


def _tool_choice(choice: Any, tools: Any) -> None:
    if choice is None:
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind not in ("auto", "any", "tool", "none"):
        raise invalid(
            f"tool_choice: Input tag {kind!r} found using 'type' does not match any of the expected tags"
        )
    _object("tool_choice", choice, frozenset({"type", "name", "disable_parallel_tool_use"}))
    if not tools:
        raise invalid("tool_choice: may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in {tool.get("name") for tool in tools}:
        raise invalid(f"tool_choice.name: Tool {choice.get('name')!r} not found in provided tools")


def _markers(body: Mapping[str, Any]) -> None:
    system = body.get("system")
    contents = [message["content"] for message in body["messages"]]
    blocks = [
        *(body.get("tools") or ()),
        *(system if isinstance(system, list) else ()),
        *(block for content in contents if isinstance(content, list) for block in content),
        body,
    ]
    ttls = [_marker(block["cache_control"]) for block in blocks if block.get("cache_control") is not None]
    if len(ttls) > _MARKERS_MAX:
        raise invalid(f"A maximum of 4 blocks with cache_control may be provided. Found {len(ttls)}.")
    if ttls != sorted(ttls, key=("1h", "5m").index):
        raise invalid(
            "cache_control: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"
        )


def _marker(marker: Any) -> str:
    _object("cache_control", marker, _OBJECTS["cache_control"])
    if marker.get("type") != "ephemeral":
        raise invalid("cache_control.type: Input should be 'ephemeral'")
    ttl = marker.get("ttl", "5m")
    if ttl not in ("5m", "1h"):
        raise invalid("cache_control.ttl: Input should be '5m' or '1h'")
    return str(ttl)
