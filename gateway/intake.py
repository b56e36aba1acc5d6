"""
Who calls, and what the caller says beside the body: keys and hint headers.

A key comes as `x-api-key` (SDK 0.x and 1.x) or as `Authorization: Bearer` (SDK 2.x); both exist in the field.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.errors import ApiError, invalid
from outlay.hint_words import check_headers
from outlay.keys_sql import KeyRow, Keys
from router.types import HINT_NUMBER_MAX, NUMBER_HINTS, TEXT_HINTS, Hints

_HINT_MAX = 200
_TAGS_MAX = 20
_IDEMPOTENCY_KEY_MAX = 200
INVALID_HINT = "outlay_invalid_hint"


def secret_of(headers: Mapping[str, str]) -> str:
    """
    Return the key that a request shows.

    Raises:
        ApiError: 401, there is none.
    """
    secret = headers.get("x-api-key", "").strip()
    if not secret:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        secret = token.strip() if scheme.lower() == "bearer" else ""
    if not secret:
        raise unauthenticated("send an API key as `x-api-key: KEY` or `Authorization: Bearer KEY`")
    return secret


def unauthenticated(message: str) -> ApiError:
    """
    Refuse a request without a valid key.
    """
    return ApiError(401, "authentication_error", message, {"error_code": "outlay_invalid_key"})


def forbidden(message: str) -> ApiError:
    """
    Refuse a request whose key is valid, but not for this.
    """
    return ApiError(403, "permission_error", message, {"error_code": "outlay_not_permitted"})


async def find_key(keys: Keys, secret: str) -> KeyRow:
    """
    Look a key up, off the event loop: the books may be slow to answer.

    Raises:
        ApiError: 401, it is unknown or revoked.
    """
    found = keys.peek(secret) or await asyncio.get_running_loop().run_in_executor(None, keys.find, secret)
    if found is None:
        raise unauthenticated("the API key is unknown or revoked")
    return found


async def calling_key(keys: Keys, headers: Mapping[str, str]) -> tuple[str, KeyRow]:
    """
    Return the tenant that pays for a request, and the key it showed.

    Raises:
        ApiError: 401 without a valid key; 403 for a key of an operator, which pays for nothing.
    """
    key = await find_key(keys, secret_of(headers))
    if key.tenant is None or key.role != "tenant":
        raise forbidden("this is an operator's key, which pays for no calls; use a key of a tenant")
    return key.tenant, key


def read_hints(headers: Mapping[str, str]) -> Hints:
    """
    Read the hint headers. What their values mean, and whether the key may give them, is judged later.

    Raises:
        ApiError: 400, a value is too long or malformed.
        BadInput: A header looks like one of Outlay's, and is none.
    """
    check_headers(headers)
    tags = _tags(_text(headers, "outlay-tags", 2_000))
    texts: dict[str, Any] = {name: _text(headers, f"outlay-{name}") for name in TEXT_HINTS}
    numbers: dict[str, Any] = {
        name: _number(headers, f"outlay-{name.replace('_', '-')}") for name in NUMBER_HINTS
    }
    return Hints(**texts, **numbers, pin=_flag(headers, "outlay-pin"), tags=tags)


def read_idempotency_key(headers: Mapping[str, str]) -> str | None:
    """
    Read the caller's own key for a call.

    Raises:
        ApiError: 400, it is too long or holds unprintable characters.
    """
    return _text(headers, "outlay-idempotency-key", _IDEMPOTENCY_KEY_MAX)


def read_betas(headers: Mapping[str, str]) -> frozenset[str]:
    """
    Read the names in `anthropic-beta`.
    """
    return frozenset(_parts(headers.get("anthropic-beta", "")))


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _text(headers: Mapping[str, str], name: str, most: int = _HINT_MAX) -> str | None:
    text = headers.get(name, "").strip()
    if not text:
        return None
    if len(text) > most or not text.isprintable():
        shown = f"{ascii(text[:40])[1:-1]}..." if len(text) > 40 else ascii(text)[1:-1]
        raise invalid(
            f'{name}: use at most {most} printable characters (found: "{shown}")',
            field=name,
            code=INVALID_HINT,
        )
    return text


def _flag(headers: Mapping[str, str], name: str) -> bool:
    text = _text(headers, name)
    if text is None or text.lower() == "false":
        return False
    if text.lower() == "true":
        return True
    raise invalid(f'{name}: write true or false (found: "{text}")', field=name, code=INVALID_HINT)


def _number(headers: Mapping[str, str], name: str) -> int | None:
    text = _text(headers, name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and int(text) <= HINT_NUMBER_MAX:
        return int(text)
    message = f'{name}: write a whole number from 0 to {HINT_NUMBER_MAX} (found: "{text[:40]}")'
    raise invalid(message, field=name, code=INVALID_HINT)


def _tags(text: str | None) -> tuple[tuple[str, str], ...]:
    pairs = [part.partition("=") for part in _parts(text or "")]
    for name, equals, _ in pairs:
        if not name.strip() or not equals:
            message = f'outlay-tags: write name=value, separated by commas (found: "{name}{equals}")'
            raise invalid(message, field="outlay-tags", code=INVALID_HINT)
    if len(pairs) > _TAGS_MAX:
        raise invalid(f"outlay-tags: use at most {_TAGS_MAX} tags", field="outlay-tags", code=INVALID_HINT)
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)
