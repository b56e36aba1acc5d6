"""
The simulated provider and a gateway before it, once per test module, and one HTTP request.
"""

import asyncio
from typing import Any

import aiohttp
import pytest
from gateway_server import gateway, nothing_failed, provider, serving_fixture, tenant
from rig import rig, scripted

__all__ = ["gateway", "nothing_failed", "provider", "rig", "scripted", "serving_fixture", "tenant"]


async def ask(
    method: str,
    url: str,
    *,
    key: str | None = "admin-secret",
    headers: dict[str, str] | None = None,
    **body: Any,
) -> tuple[int, Any, dict[str, str]]:
    """Make one request; return status, JSON body and headers."""
    sent = {**({"x-api-key": key} if key is not None else {}), **(headers or {})}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=sent, **body) as answer,
    ):
        seen = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, await answer.json(content_type=None), seen


@pytest.fixture
def http() -> Any:
    """One HTTP request, blocking."""
    return lambda *args, **kwargs: asyncio.run(ask(*args, **kwargs))
