"""The gate lets in whoever has the link, and nobody else: no cookie, other hosts, origins, sockets."""

import asyncio
from typing import Any

import pytest

from dashboard.gate import HEALTH_PATH, Gate

PORT = 8788
HOST = f"127.0.0.1:{PORT}"


class Inside:
    """An application that counts who reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})


class Door:
    """A gate with its application, and ways to knock."""

    def __init__(self, token: str | None = None) -> None:
        self.inside, self.links = Inside(), list[str]()
        self.gate = Gate(self.inside, port=PORT, token=token, told=self.links.append)

    def get(
        self, path: str = "/", *, kind: str = "http", method: str = "GET", **headers: str
    ) -> list[dict[str, Any]]:
        """Send one request with these headers; `host` is right unless given."""
        path, _, query = path.partition("?")
        given = {"host": HOST, **headers}
        scope = {
            "type": kind, "method": method, "path": path, "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        async def send(message: Any) -> None:
            sent.append(dict(message))

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        asyncio.run(self.gate(scope, receive, send))
        return sent

    def enter(self) -> str:
        """Use the link and return the cookie that it gives."""
        answer = self.get(self.gate.link.removeprefix(f"http://{HOST}"))
        return headers_of(answer)["set-cookie"].split(";")[0]


def headers_of(sent: list[dict[str, Any]]) -> dict[str, str]:
    """Return the headers of an answer."""
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def test_the_link_is_exchanged_for_a_cookie_and_leaves_the_address() -> None:
    """A right token answers with a redirect to the bare address and an HttpOnly cookie; that is all."""
    door = Door()
    answer = door.get(door.gate.link.removeprefix(f"http://{HOST}"))
    assert answer[0]["status"] == 303
    assert headers_of(answer)["location"] == "/"
    assert "HttpOnly" in headers_of(answer)["set-cookie"]
    assert "SameSite" in headers_of(answer)["set-cookie"]
    assert door.inside.reached == []


def test_the_cookie_opens_pages_and_websockets() -> None:
    """With the cookie a page and a websocket of the dashboard's own origin get through."""
    door = Door()
    cookie = door.enter()
    assert door.get("/", cookie=cookie)[0]["status"] == 200
    door.get("/_stcore/stream", kind="websocket", cookie=cookie, origin=f"http://{HOST}")
    assert door.inside.reached == ["http", "websocket"]


@pytest.mark.parametrize("cookie", ["", "outlay_dashboard_8788=", "outlay_dashboard_8788=guess", "x; =;\x01"])
def test_without_the_right_cookie_nothing_is_reached(cookie: str) -> None:
    """A page says how to get the link; its socket is closed."""
    door = Door()
    door.enter()
    page = door.get("/", cookie=cookie)
    assert page[0]["status"] == 401
    assert b"outlay dashboard" in page[1]["body"]
    socket = door.get("/_stcore/stream", kind="websocket", cookie=cookie, origin=f"http://{HOST}")
    assert socket == [{"type": "websocket.close", "code": 1008}]
    assert door.inside.reached == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8788", "127.0.0.1", "127.0.0.1:80", ""])
def test_another_host_is_refused_even_with_the_cookie(host: str) -> None:
    """A name that was rebound to this machine does not reach the dashboard, nor can it use the token."""
    door = Door()
    link = door.gate.link.removeprefix(f"http://{HOST}")
    assert door.get(link, host=host)[0]["status"] == 403
    cookie = door.enter()
    assert door.get("/", host=host, cookie=cookie)[0]["status"] == 403
    assert door.inside.reached == []


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:3000", "https://" + HOST, "null"]
)
def test_another_origin_is_refused_even_with_the_cookie(origin: str) -> None:
    """Pages of other sites, and of other ports of this machine, can neither post nor open a socket."""
    door = Door()
    cookie = door.enter()
    assert door.get("/", method="POST", cookie=cookie, origin=origin)[0]["status"] == 403
    assert door.get("/_stcore/stream", kind="websocket", cookie=cookie, origin=origin)[0]["code"] == 1008
    assert door.inside.reached == []


def test_a_websocket_must_name_its_origin() -> None:
    """Browsers always send one; what sends none is no page of ours."""
    door = Door()
    cookie = door.enter()
    assert door.get("/_stcore/stream", kind="websocket", cookie=cookie)[0]["code"] == 1008


def test_a_random_link_works_once_and_the_next_one_is_told() -> None:
    """After its use a link is dead, and another one stands where the first was printed."""
    door = Door()
    first = door.gate.link
    door.enter()
    assert door.get(first.removeprefix(f"http://{HOST}"))[0]["status"] == 401
    assert door.links == [door.gate.link]
    assert door.gate.link != first
    door.enter()


def test_a_chosen_token_stays_good() -> None:
    """A token that the caller chose opens as often as it is used, with a session of its own each time."""
    door = Door("chosen-by-caller")
    assert door.enter() != door.enter()
    assert door.links == []


@pytest.mark.parametrize("given", ["", "wrong", "%00", "é"])
def test_a_wrong_token_gives_no_cookie(given: str) -> None:
    """Only the very token is exchanged."""
    answer = Door().get(f"/?token={given}")
    assert answer[0]["status"] == 401
    assert "set-cookie" not in headers_of(answer)


def test_health_needs_no_cookie_but_the_right_host() -> None:
    """What starts the dashboard can ask whether it answers; it learns nothing else."""
    door = Door()
    assert door.get(HEALTH_PATH)[0]["status"] == 200
    assert door.get(HEALTH_PATH, host="evil.example")[0]["status"] == 403


def test_every_answer_forbids_framing_and_foreign_sources() -> None:
    """Refusals and pages alike tell the browser to load and to be framed by nobody else."""
    door = Door()
    refused, page = door.get("/"), door.get("/", cookie=door.enter())
    for answer in (refused, page):
        policy = headers_of(answer)["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
