"""
Signatures of thinking blocks: to which model, account and conversation a block is bound.

A block that a model with binding `model` wrote is taken back by the same model only, after the same messages;
one of a model with binding `account` by the same account only. Older models check neither.
"""

import base64
import binascii
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

_SECRET = b"a simulated provider keeps no secrets"


def sign(*, model: str, binding: str, account: str, conversation: str) -> str:
    """
    Return the signature of a thinking block.
    """
    fields = f"sim1|{model}|{binding}|{account}|{conversation}"
    return base64.b64encode(f"{fields}|{_mac(fields)}".encode()).decode()


def refusal(signature: str, *, model: str, binding: str, account: str, conversation: str) -> str | None:
    """
    Return why the block may not be sent to *model* of that *binding* now, or None where it may.
    """
    if binding == "none":
        return None
    fields = _fields(signature)
    if fields is None:
        return "Invalid `signature` in `thinking` block"
    _, made_by, made_binding, made_for, made_after = fields
    if made_for != account:
        return "`thinking` block belongs to another account"
    if made_binding != "model" and binding != "model":
        return None
    if made_by != model:
        return f"`thinking` block was produced by {made_by} and cannot be sent to {model}"
    if made_after != conversation:
        return "`thinking` block was produced in another conversation"
    return None


def conversation_digest(messages: Sequence[dict[str, Any]]) -> str:
    """
    Return what stands for the messages before a block: their texts and tools, not their thinking.
    """
    running = blake2b(digest_size=12)
    for message in messages:
        running.update(message["role"].encode())
        content = message["content"]
        for part in (content,) if isinstance(content, str) else map(_essence, content):
            running.update(part.encode())
    return running.hexdigest()


def _essence(block: dict[str, Any]) -> str:
    match block["type"]:
        case "text":
            return str(block["text"])
        case "tool_use":
            return f"{block['name']}{block['id']}"
        case "tool_result":
            return str(block["tool_use_id"])
        case _:
            return ""


def _fields(signature: str) -> list[str] | None:
    try:
        text = base64.b64decode(signature, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    fields, _, mac = text.rpartition("|")
    parts = fields.split("|")
    return parts if mac == _mac(fields) and parts[0] == "sim1" and len(parts) == 5 else None


def _mac(fields: str) -> str:
    return blake2b(fields.encode(), key=_SECRET, digest_size=12).hexdigest()
