"""
The pass-through client against real sockets: what was certainly never sent, and what may have been.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from outlay.upstream import Lost, NotReached, TooLarge, UpstreamClient

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Peer:
    """A raw server that counts what it was sent."""

    def __init__(self, answer: bytes | None, *, then: str = "close") -> None:
        self.answer = answer
        self.then = then
        self.requests: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await read_request(reader))
                if self.answer is not None:
                    writer.write(self.answer)
                    await writer.drain()
                if self.then == "close":
                    return
                if self.then == "reset":
                    writer.transport.abort()
                    return
                if self.then == "hang":
                    await asyncio.sleep(30)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request with a content-length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(
        next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:]
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on a free port."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/messages"
    finally:
        server.close()


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[UpstreamClient]:
    """A client that is closed."""
    made = UpstreamClient(**settings)
    try:
        yield made
    finally:
        await made.close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/", "http://no-such-host.invalid/", "ftp://127.0.0.1/", "http://"],
    ids=["refused", "no such name", "no http address", "no host"],
)
def test_what_could_not_be_connected_was_never_sent(url: str) -> None:
    """A refused connection, an unknown name and an unusable address are certain: nothing was sent."""

    async def run() -> None:
        async with client() as upstream:
            with pytest.raises(NotReached):
                await upstream.post(url.format(port=free_port()), b"{}", {})

    asyncio.run(run())


def test_a_failed_tls_handshake_was_never_sent() -> None:
    """A peer that speaks no TLS cannot have read a request."""
    seen: list[bytes] = []

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1_000))
        writer.write(OK)
        writer.close()

    async def run() -> None:
        async with serving(peer) as url, client() as upstream:
            with pytest.raises(NotReached):
                await upstream.post(url.replace("http:", "https:"), b"{}", {})

    asyncio.run(run())
    assert seen
    assert not seen[0].startswith(b"POST")


def test_a_connect_timeout_was_never_sent() -> None:
    """An address that does not answer in time was sent nothing."""

    async def run() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            fillers = [socket.socket() for _ in range(4)]
            try:
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(full.getsockname())
                async with client(connect_s=0.3) as upstream:
                    with pytest.raises(NotReached):
                        await upstream.post(f"http://127.0.0.1:{full.getsockname()[1]}/", b"{}", {})
            finally:
                for filler in fillers:
                    filler.close()

    asyncio.run(run())


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("size", [2, 200_000, 3_000_000])
def test_a_connection_lost_without_an_answer_may_have_been_billed(then: str, size: int) -> None:
    """A peer that read the request and vanished has seen it: lost, and sent exactly once."""
    peer = Peer(None, then=then)

    async def run() -> Lost:
        async with serving(peer) as url, client() as upstream:
            with pytest.raises(Lost) as caught:
                await upstream.post(url, b"x" * size, {})
            await asyncio.sleep(0.05)
            return caught.value

    assert not asyncio.run(run()).timed_out
    assert len(peer.requests) == 1
    assert len(peer.requests[0].partition(b"\r\n\r\n")[2]) == size


def test_a_kept_alive_connection_that_dies_after_the_request_is_lost_and_not_repeated() -> None:
    """The second request on one connection is read and never answered: it is not sent again."""

    async def run() -> tuple[list[bytes], int]:
        seen: list[bytes] = []
        connections = 0

        async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            seen.append(await read_request(reader))
            writer.write(OK)
            seen.append(await read_request(reader))
            writer.close()

        async with serving(peer) as url, client() as upstream:
            assert await (await upstream.post(url, b"1", {})).read(10) == b"{}"
            with pytest.raises(Lost):
                await upstream.post(url, b"2", {})
            await asyncio.sleep(0.05)
        return seen, connections

    seen, connections = asyncio.run(run())
    assert [request[-1:] for request in seen] == [b"1", b"2"]
    assert connections == 1


def test_a_kept_alive_connection_closed_while_idle_is_replaced() -> None:
    """A close that arrived before the next request costs nothing: a new connection is made."""
    peer = Peer(OK, then="close")

    async def run() -> None:
        async with serving(peer) as url, client() as upstream:
            for _ in range(3):
                assert await (await upstream.post(url, b"1", {})).read(10) == b"{}"
                await asyncio.sleep(0.02)

    asyncio.run(run())
    assert peer.connections == 3
    assert len(peer.requests) == 3


def test_silence_is_a_timeout_and_may_have_been_billed() -> None:
    """A peer that read the request and stays silent is lost by timeout."""
    peer = Peer(None, then="hang")

    async def run() -> Lost:
        async with serving(peer) as url, client(read_s=0.2) as upstream:
            with pytest.raises(Lost) as caught:
                await upstream.post(url, b"{}", {})
            return caught.value

    assert asyncio.run(run()).timed_out


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
    ids=["short of its length", "chunks without an end"],
)
def test_a_body_cut_short_is_lost(answer: bytes) -> None:
    """A body that ends before its announced end is not taken for the whole."""

    async def run() -> None:
        async with serving(Peer(answer)) as url, client() as upstream:
            head = await upstream.post(url, b"{}", {})
            with pytest.raises(Lost):
                await head.read(1_000)

    asyncio.run(run())


def test_an_answer_larger_than_the_bound_is_refused() -> None:
    """Reading stops at the bound."""

    async def run() -> None:
        async with serving(Peer(OK)) as url, client() as upstream:
            head = await upstream.post(url, b"{}", {})
            with pytest.raises(TooLarge):
                await head.read(1)

    asyncio.run(run())


def test_a_redirect_is_not_followed_and_cookies_are_not_kept() -> None:
    """The key goes to the configured address only, and no answer's cookie is sent with another call."""
    moved = (
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\nset-cookie: a=b\r\n"
        b"content-length: 0\r\n\r\n"
    )
    peer = Peer(moved, then="stay")

    async def run() -> None:
        async with serving(peer) as url, client() as upstream:
            for _ in range(2):
                answer = await upstream.post(url, b"{}", {"x-api-key": "secret"})
                assert answer.status == 307
                assert not answer.ok
                await answer.read(10)

    asyncio.run(run())
    assert len(peer.requests) == 2
    assert b"cookie" not in peer.requests[1].lower()
    assert b"Accept-Encoding: identity" in peer.requests[0]
