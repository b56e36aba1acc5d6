"""
Plays planned calls over HTTP, as unmodified clients would make them, and notes what came back.

A call that may be retried (`x-should-retry`, else the statuses of the official client) is retried twice.
What was billed is matched by the id of the message, which the client sees in the answer.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp

from outlay.demo.bodies import body_of
from outlay.demo.plan import PlannedCall

CONCURRENCY = 32
RETRIES = 2
_RETRY_STATUSES = (408, 409, 429)
_RETRY_WAIT_S, _RETRY_WAIT_S_MAX = 0.3, 1.0
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Played:
    """
    One attempt and what came of it.

    Attributes:
        status: HTTP status; 0 where there was no answer.
        code: `details.error_code` of an error, else its type; empty for an answer.
        message_id: Of the answer; the provider's bill names it, too.
        ours: Outlay refused it; any other code is an error, mostly one of the provider passed on.
        last: No further attempt follows.
    """

    call: PlannedCall
    attempt: int
    status: int
    code: str = ""
    decision_id: str = ""
    message_id: str = ""
    ours: bool = False
    left: bool = False
    last: bool = True


class Player:
    """
    A crowd of clients.
    """

    def __init__(self, url: str, keys: Mapping[str, str], told: Callable[[Played], None]) -> None:
        """
        Args:
            keys: Tenants' keys by name.
            told: Called after each attempt.
        """
        self._url = f"{url}/v1/messages"
        self._keys = keys
        self._told = told
        self._played: list[Played] = []

    async def play(self, calls: Sequence[PlannedCall]) -> tuple[Played, ...]:
        """
        Make every call at its time, or as soon as one of the clients is free.
        """
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=CONCURRENCY)
        waiting = iter(calls)
        started = asyncio.get_running_loop().time()
        session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        async with session, asyncio.TaskGroup() as group:
            for _ in range(CONCURRENCY):
                group.create_task(self._client(session, waiting, started))
        return tuple(self._played)

    async def _client(
        self, session: aiohttp.ClientSession, waiting: Iterator[PlannedCall], started: float
    ) -> None:
        clock = asyncio.get_running_loop().time
        for call in waiting:
            await asyncio.sleep(max(0.0, started + call.due_s - clock()))
            for attempt in range(RETRIES + 1):
                wait_s = await self._attempt(session, call, attempt)
                if wait_s is None:
                    break
                await asyncio.sleep(wait_s)

    async def _attempt(self, session: aiohttp.ClientSession, call: PlannedCall, attempt: int) -> float | None:
        """Make one attempt; gives the time to wait before the next, None if there is none."""
        wait_s: float | None = None
        try:
            headers = {**dict(call.headers), "x-api-key": self._keys[call.tenant]}
            headers["anthropic-version"] = "2026-10-21"
            body = body_of(call, attempt=attempt)
            async with session.post(self._url, json=body, headers=headers) as answer:
                played = await _read(call, attempt, answer)
                wait_s = _retry_wait_s(answer, attempt)
        except (aiohttp.ClientError, TimeoutError) as error:
            played = Played(call, attempt, 0, code=type(error).__name__)
        played = replace(played, last=wait_s is None)
        self._played.append(played)
        self._told(played)
        return wait_s


async def _read(call: PlannedCall, attempt: int, answer: aiohttp.ClientResponse) -> Played:
    """Read an answer to its end, or leave it in the middle where that is planned."""
    played = Played(call, attempt, answer.status, decision_id=answer.headers.get("outlay-decision-id", ""))
    if answer.status != 200:
        code = _code(await answer.read())
        return replace(played, code=code, ours=_is_refusal(code))
    if not call.stream:
        message = json.loads(await answer.read())
        return replace(played, message_id=str(message["id"]))
    return await _read_stream(played, answer)


async def _read_stream(played: Played, answer: aiohttp.ClientResponse) -> Played:
    """Follow a stream; one that ends before its last event is noted as broken."""
    kind = ""
    async for line in answer.content:
        if line.startswith(b"data: "):
            event = json.loads(line.removeprefix(b"data: "))
            kind = str(event["type"])
            if kind == "message_start":
                played = replace(played, message_id=str(event["message"]["id"]))
            elif kind == "content_block_delta" and played.call.leaves:
                answer.close()
                return replace(played, left=True)
            elif kind == "error":
                return replace(played, code=_code(line.removeprefix(b"data: ")))
    return played if kind == "message_stop" else replace(played, code="stream_ended_early")


def _is_refusal(code: str) -> bool:
    """Tell a refusal of Outlay from an error of the provider, and from a fault of Outlay itself."""
    return code.startswith("outlay_") and code != "outlay_internal_error"


def _code(body: bytes) -> str:
    """Find the code of an error, else its type, else say that it is none."""
    try:
        error = json.loads(body)["error"]
        details = error.get("details") or {}
        return str(details.get("error_code") or error["type"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unreadable_error"


def _retry_wait_s(answer: aiohttp.ClientResponse, attempt: int) -> float | None:
    """Do as the official client does, with shorter waits: the day passes in seconds."""
    told = answer.headers.get("x-should-retry")
    again = answer.status in _RETRY_STATUSES or answer.status >= 500 if told is None else told == "true"
    if answer.status < 400 or not again or attempt >= RETRIES:
        return None
    asked = answer.headers.get("retry-after", "")
    wait_s = float(asked) if asked.isdigit() else _RETRY_WAIT_S * 2**attempt
    return min(_RETRY_WAIT_S_MAX, wait_s)
