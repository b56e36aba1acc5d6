"""
What can be seen in a Messages API body without understanding its text.

Reads tolerantly: the body is the caller's, its schema is open, and what is malformed is the provider's to
reject.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

THINKING_BLOCKS: Final = frozenset({"thinking", "redacted_thinking"})
NEWEST_MESSAGES: Final = 10
"""Failed tool calls count in so many messages from the end."""
FORCED: Final = frozenset({"any", "tool"})


def messages_of(body: Mapping[str, Any]) -> list[Any]:
    """
    Give the messages, none if there is no list of them.
    """
    messages = body.get("messages")
    return messages if isinstance(messages, list) else []


def blocks(message: Any) -> Iterator[Mapping[str, Any]]:
    """
    Walk through the content blocks of a message; plain text has none.
    """
    content = message.get("content") if isinstance(message, Mapping) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping):
            yield block


def role_of(message: Any) -> str | None:
    """
    Give who speaks.
    """
    role = message.get("role") if isinstance(message, Mapping) else None
    return role if isinstance(role, str) else None


def has_prefill(body: Mapping[str, Any]) -> bool:
    """
    Tell whether the body begins the assistant's answer itself.
    """
    messages = messages_of(body)
    return bool(messages) and role_of(messages[-1]) == "assistant"


def open_tool_loop(body: Mapping[str, Any]) -> bool:
    """
    Tell whether the last message answers a tool call, so that the assistant's turn is not over.
    """
    messages = messages_of(body)
    return bool(messages) and any(block.get("type") == "tool_result" for block in blocks(messages[-1]))


def is_forced(body: Mapping[str, Any]) -> bool:
    """
    Tell whether the body forces the use of a tool.
    """
    choice = body.get("tool_choice")
    return isinstance(choice, Mapping) and choice.get("type") in FORCED


def thinking_kind(body: Mapping[str, Any]) -> str | None:
    """
    Give the kind of thinking that the body asks for.
    """
    thinking = body.get("thinking")
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    return kind if isinstance(kind, str) else None


def answers(body: Mapping[str, Any]) -> int:
    """
    Count the assistant's messages.
    """
    return sum(role_of(message) == "assistant" for message in messages_of(body))


def tool_errors(body: Mapping[str, Any]) -> int:
    """
    Count the tool calls that failed, in the newest messages.
    """
    newest = messages_of(body)[-NEWEST_MESSAGES:]
    return sum(
        block.get("type") == "tool_result" and block.get("is_error") is True
        for message in newest
        for block in blocks(message)
    )


def without_markers(value: Any) -> Any:
    """
    Give a part of a body as it is without cache markers: a text alone is the same as a list of one text.

    Whoever marks a text has to write it as a block, and the marks move from turn to turn.
    """
    if isinstance(value, Mapping):
        return {str(key): _unmarked(key, item) for key, item in value.items() if key != "cache_control"}
    return [without_markers(item) for item in value] if isinstance(value, list) else value


def _unmarked(key: object, value: Any) -> Any:
    if key == "content" and isinstance(value, str):
        return [{"type": "text", "text": value}]
    return without_markers(value)


def effort_of(body: Mapping[str, Any]) -> str | None:
    """
    Give the effort that the body asks for.
    """
    config = body.get("output_config")
    effort = config.get("effort") if isinstance(config, Mapping) else None
    return effort if isinstance(effort, str) else None
