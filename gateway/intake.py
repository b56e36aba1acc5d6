"""
Who calls, by the key that a request shows.

A key comes as `x-api-key` (SDK 0.x and 1.x) or as `Authorization: Bearer` (SDK 2.x); both exist in the field.
"""

import asyncio
from collections.abc import Mapping

from gateway.errors import ApiError
from outlay.keys_sql import KeyRow, Keys


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
