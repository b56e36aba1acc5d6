"""
The door of the dashboard: an ASGI wrapper that lets nobody in without the link of this process.

The link's token is exchanged once for a session cookie and leaves the address at once; the next link is
then made. Requests and websockets need the cookie, a `Host` that names this machine (against DNS rebinding)
and, where a browser sends it, an `Origin` that is this dashboard (other pages of the machine's own browser,
on other ports, are strangers too). It decides who may come in, nothing else.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH_PATH: Final = "/_stcore/health"
_TOKEN_BYTES: Final = 32
_HOME: Final = (b"location", b"/")
_NOT_KEPT: Final = (b"cache-control", b"no-store")
_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "  # Vega compiles its charts
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
_SAFE_HEADERS: Final = (
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", _POLICY.encode()),
)


class Gate:
    """
    Guards one ASGI application.

    Attributes:
        port: Where the server listens; part of the allowed hosts and of the cookie's name.
        told: Called with each new link, so that somebody can read it.
    """

    def __init__(self, app: Asgi, *, port: int, token: str | None, told: Callable[[str], None]) -> None:
        """
        Guard an application.

        Args:
            token: Chosen by the caller, it stays good while the process lives; None: each link works once.
        """
        self.port = port
        self.told = told
        self._app = app
        self._lasting = token is not None
        self._token = token or secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions: set[str] = set()
        self._hosts = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]"))

    @property
    def link(self) -> str:
        """
        Return the address that lets its reader in.
        """
        return f"http://127.0.0.1:{self.port}/?token={self._token}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Let a request through to the application, exchange a token, or refuse.
        """
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = _headers(scope)
        stranger = self._stranger(scope, headers)
        if stranger is not None:
            await _refuse(scope, send, 403, stranger)
        elif scope["type"] == "http" and self._is_token(scope):
            await self._exchange(send)
        elif scope["type"] == "http" and self._has_session(headers) and _shown_token(scope) is not None:
            await _answer(send, 303, b"", (_HOME, _NOT_KEPT))
        elif self._has_session(headers) or (scope["type"] == "http" and scope["path"] == HEALTH_PATH):
            await self._app(scope, receive, _hardened(send))
        else:
            await _refuse(scope, send, 401, _HOW)

    def _stranger(self, scope: Scope, headers: Mapping[str, str]) -> str | None:
        """Say why a request does not come from a page of this dashboard; None where it may."""
        if headers.get("host", "") not in self._hosts:
            return "This address does not name the dashboard. Open it as 127.0.0.1."
        origin = headers.get("origin")
        if origin is None:
            return None if scope["type"] == "http" else "A websocket needs an Origin."
        if origin != f"http://{headers['host']}":
            return "The request comes from another site."
        return None

    def _is_token(self, scope: Scope) -> bool:
        given = _shown_token(scope)
        return given is not None and hmac.compare_digest(given.encode(), self._token.encode())

    async def _exchange(self, send: Send) -> None:
        session = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions.add(session)
        if not self._lasting:
            self._token = secrets.token_urlsafe(_TOKEN_BYTES)
            self.told(self.link)
        cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Lax"
        await _answer(send, 303, b"", (_HOME, _NOT_KEPT, (b"set-cookie", cookie.encode())))

    @property
    def _cookie(self) -> str:
        """Cookies know no ports: the name does, so that two dashboards do not log each other out."""
        return f"outlay_dashboard_{self.port}"

    def _has_session(self, headers: Mapping[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and found.value in self._sessions


def _shown_token(scope: Scope) -> str | None:
    """Read the token in the address of a page; None where there is none."""
    if scope["method"] != "GET":
        return None
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token")
    return None if given is None else given[0]


def _headers(scope: Scope) -> dict[str, str]:
    """Read the headers; of one that comes twice nothing is believed."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        found[key] = "" if key in ("host", "origin") and key in found else value.decode("latin-1")
    return found


def _hardened(send: Send) -> Send:
    """Add the headers that keep other sites from framing the dashboard."""

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_SAFE_HEADERS]}
        await send(message)

    return sending


async def _refuse(scope: Scope, send: Send, status: int, why: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = _PAGE.replace("{why}", why).encode()
    await _answer(send, status, body, ((b"content-type", b"text/html; charset=utf-8"),))


async def _answer(send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [*headers, *_SAFE_HEADERS, length]}
    )
    await send({"type": "http.response.body", "body": body})


_HOW = (
    "The dashboard opens with the link that is printed where it was started: "
    "<code>outlay dashboard</code>. A link works once; the next one is printed beside it."
)
_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Outlay</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>
:root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;
font:16px/1.6 system-ui,sans-serif;background:light-dark(#f7f8fa,#0e1116);color:light-dark(#1b2330,#e6e9ef)}
main{max-width:30rem;padding:2rem}h1{font-size:1.4rem;margin:0 0 .5rem}p{margin:0}
code{padding:.1em .35em;border-radius:4px;background:light-dark(#e7eaf0,#222935)}</style></head>
<body><main><h1>This dashboard needs its link</h1><p>{why}</p></main></body></html>"""
