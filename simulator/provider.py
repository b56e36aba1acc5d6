"""
The simulated provider: its state, and the order of steps of one call.

key -> version -> body -> rules of the model -> directives and faults -> rate limit -> prompt cache -> answer,
charged before its last byte.
"""

import asyncio
import json
import math
from collections.abc import Mapping
from hashlib import sha256
from random import Random
from typing import Any

from simulator import http, shapes
from simulator.answer import Answer, Call, plan
from simulator.bill import Bill
from simulator.config import Config
from simulator.directives import Directives, read_directives
from simulator.errors import ApiError, invalid, not_found
from simulator.faults import Fault, FaultKind, draw_fault, fault_error
from simulator.limits import RateLimiter
from simulator.messages import message, usage_of
from simulator.meter import Meter
from simulator.models import Model, catalogue, find
from simulator.prompt import PromptCache, Split, prompt_tokens
from simulator.rules import VERSIONS, Caller, check_rules
from simulator.stream import Stream

_BEARER = b"Bearer "


def key_hash(key: str) -> str:
    """
    Return the name under which a key stands in the bill.
    """
    return sha256(key.encode()).hexdigest()[:16]


class Provider:
    """
    The state of one simulated provider: its bill, its prompt cache, its limits.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.bill = Bill(config.bill)
        self._cache = PromptCache()
        self._limiter = RateLimiter(config.limits)
        self._meter = Meter(self.bill, self._limiter, config.clock)
        self._started_s = config.clock()
        self._calls = 0

    async def create(self, exchange: http.Exchange) -> None:
        """
        `POST /v1/messages`.
        """
        caller = self._caller(exchange.headers)
        body = await self._body(exchange, caller, shapes.MESSAGE_FIELDS)
        model = self._model(body["model"])
        check_rules(body, model, caller)
        wishes = read_directives(exchange.headers, body["messages"])
        rng = self._rng()
        fault = wishes.fault or self._fault(model, rng)
        call, rates = self._admit(body, model, wishes, caller, fault)
        answer = self._plan(call, rng)
        await self._wait(wishes.latency_ms, rng)
        if fault is not None and fault.kind in (FaultKind.DISCONNECT, FaultKind.LOST_ANSWER):
            await self._lose(exchange, call, answer, fault)
        elif body.get("stream"):
            stream = Stream(exchange, call, answer, config=self.config, meter=self._meter, fault=fault)
            await stream.run(rates)
        else:
            await self._answer(exchange, call, answer, rates)

    async def _lose(self, exchange: http.Exchange, call: Call, answer: Answer, fault: Fault) -> None:
        if fault.kind is FaultKind.LOST_ANSWER:
            self._meter.charge(exchange.request_id, call, answer, "lost")
        await http.hang_up(exchange)

    async def _answer(
        self, exchange: http.Exchange, call: Call, answer: Answer, rates: list[tuple[bytes, bytes]]
    ) -> None:
        await _pause((call.wishes.stall_ms or 0) / 1000)
        self._meter.charge(exchange.request_id, call, answer, "complete")
        usage = usage_of(call, answer, answer.output_tokens, answer.web_searches)
        await http.answer(exchange, message(call, answer, usage), rates)

    async def count(self, exchange: http.Exchange) -> None:
        """
        `POST /v1/messages/count_tokens`; costs nothing.
        """
        caller = self._caller(exchange.headers)
        body = await self._body(exchange, caller, shapes.COUNT_FIELDS)
        model = self._model(body["model"])
        check_rules(body, model, caller)
        wishes = read_directives(exchange.headers, body["messages"])
        tokens = wishes.input_tokens
        if tokens is None:
            tokens = prompt_tokens(body, model.tokenizer)
        await http.answer(exchange, json.dumps({"input_tokens": tokens}).encode())

    async def models(self, exchange: http.Exchange) -> None:
        """
        `GET /v1/models`, all in one page.
        """
        self._caller(exchange.headers)
        data = [model.info() for model in catalogue() if self.config.restricted or not model.restricted]
        page = {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
        await http.answer(exchange, json.dumps(page).encode())

    async def model(self, exchange: http.Exchange) -> None:
        """
        `GET /v1/models/ID`.
        """
        self._caller(exchange.headers)
        found = self._model(exchange.scope["path_params"]["name"])
        await http.answer(exchange, json.dumps(found.info()).encode())

    def _caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        key = headers.get(b"x-api-key")
        if key is None and headers.get(b"authorization", b"").startswith(_BEARER):
            key = headers[b"authorization"].removeprefix(_BEARER)
        if not key:
            raise ApiError(401, "authentication_error", "x-api-key header is required")
        text = key.decode("latin-1")
        if self.config.keys is not None and text not in self.config.keys:
            raise ApiError(401, "authentication_error", "invalid x-api-key")
        version = headers.get(b"anthropic-version", b"").decode("latin-1")
        if version not in VERSIONS:
            raise invalid(
                f"anthropic-version: {version!r} is not a valid version; use {' or '.join(VERSIONS)}"
            )
        betas = headers.get(b"anthropic-beta", b"").decode("latin-1")
        names = frozenset(name.strip() for name in betas.split(",") if name.strip())
        return Caller(key_hash(text), version, names)

    async def _body(self, exchange: http.Exchange, caller: Caller, known: frozenset[str]) -> dict[str, Any]:
        raw = await http.read_body(exchange, self.config.max_body_bytes)
        try:
            body = json.loads(raw)
            if b"\\ud" in raw.lower():
                json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            raise invalid(f"The request body is not valid JSON: {error}") from error
        shapes.check_shape(body, known=known, beta=bool(caller.betas))
        return dict(body)

    def _model(self, name: str) -> Model:
        model = find(name, restricted=self.config.restricted)
        if model is None:
            raise not_found(f"model: {name}")
        return model

    def _admit(
        self, body: dict[str, Any], model: Model, wishes: Directives, caller: Caller, fault: Fault | None
    ) -> tuple[Call, list[tuple[bytes, bytes]]]:
        total = wishes.input_tokens
        if total is None:
            total = prompt_tokens(body, model.tokenizer)
        if total > model.context_tokens:
            raise invalid(f"prompt is too long: {total} tokens > {model.context_tokens} maximum")
        error = fault_error(fault, self.config.retry_after_s)
        if error is not None:
            raise error
        now = self.config.clock()
        rates = self._limiter.admit(caller.key_hash, model.line, total, now)
        split = _wished_split(wishes, total) or self._cache.split(
            body, key=caller.key_hash, model=model, total=total, now_s=now
        )
        call = Call(
            body=body,
            model=model,
            wishes=wishes,
            account=caller.key_hash,
            prompt_tokens=total,
            split=split,
            geo=(body.get("inference_geo") or self.config.default_geo) if model.geo else "not_available",
            search_tokens=self.config.search_result_tokens if wishes.input_tokens is None else 0,
            refused=fault is not None and fault.kind is FaultKind.REFUSAL,
        )
        return call, rates

    def _plan(self, call: Call, rng: Random) -> Answer:
        config = self.config
        return plan(
            call,
            rng,
            mean=config.output_tokens_mean,
            tool_ratio=config.tool_use_ratio,
            chunk=config.chunk_tokens,
        )

    def _fault(self, model: Model, rng: Random) -> Fault | None:
        elapsed_s = self.config.clock() - self._started_s
        return draw_fault(self.config.phases, model.id, elapsed_s, rng)

    def _rng(self) -> Random:
        self._calls += 1
        return Random(self.config.seed * 1_000_003 + self._calls)

    async def _wait(self, wished_ms: int | None, rng: Random) -> None:
        mean, sigma = self.config.latency_ms, self.config.latency_sigma
        if wished_ms is not None:
            await _pause(wished_ms / 1000)
        elif mean > 0:
            await _pause(rng.lognormvariate(math.log(mean) - sigma * sigma / 2, sigma) / 1000)


def _wished_split(wishes: Directives, total: int) -> Split | None:
    parts = (wishes.cache_read_tokens, wishes.cache_write_5m_tokens, wishes.cache_write_1h_tokens)
    if parts == (None, None, None):
        return None
    read, write_5m, write_1h = (part or 0 for part in parts)
    if read + write_5m + write_1h > total:
        raise invalid(f"simulator: the cached parts are more than the prompt of {total} tokens")
    return Split(total - read - write_5m - write_1h, read, write_5m, write_1h)


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
