"""
Calls per second and added latency: the gateway against the simulated provider directly, in one run.

Client, provider and gateway share one machine, so read the ratios and the differences. Direct and gateway
rounds alternate. Each round is checked: every call answered 200, and at the end the books hold exactly what
the provider billed and verify.

    python benchmarks/gateway_load.py --engines sqlite,postgresql --callers 1,32 --seconds 4 --workers 1
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from databases import postgres

from ledger import reads
from outlay.admin.books import verify
from outlay.admin.tenants import create_tenant
from outlay.demo.children import Children, free_port
from outlay.demo.servers import gateway_ready, start_gateway, start_provider
from outlay.settings import Settings
from outlay.wiring import open_app
from simulator.bill import total

ROUNDS = 2
VERSION = {"anthropic-version": "2026-10-21"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One way, one number of callers, over all its rounds."""

    engine: str
    way: str
    callers: int
    stream: bool
    calls: int
    calls_per_s: float
    p50_ms: float
    p99_ms: float


def body(stream: bool) -> bytes:
    """A plain call: 100 tokens in, 100 out."""
    text = "[[sim input_tokens=100 output_tokens=100 thinking_tokens=0]]" + "x" * 340
    call = {"model": "claude-haiku-5-5", "max_tokens": 200, "stream": stream}
    return json.dumps({**call, "messages": [{"role": "user", "content": text}]}).encode()


async def load(url: str, key: str, callers: int, seconds: float, stream: bool) -> list[float]:
    """Call in a closed loop; return the latency of each call in seconds."""
    latencies: list[float] = []
    payload = body(stream)
    headers = {"x-api-key": key, "content-type": "application/json", **VERSION}
    until = time.perf_counter() + seconds

    async def caller(http: aiohttp.ClientSession) -> None:
        while (began := time.perf_counter()) < until:
            async with http.post(f"{url}/v1/messages", data=payload, headers=headers) as answer:
                said = await answer.read()
            latencies.append(time.perf_counter() - began)
            assert answer.status == 200, said

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        await asyncio.gather(*(caller(http) for _ in range(callers)))
    return latencies


def compare(name: str, database_url: str, options: argparse.Namespace) -> list[Measured]:
    """Measure both ways for each number of callers on one database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        app = open_app(Settings(database_url=database_url), migrate=True)
        stack.callback(app.close)
        key = create_tenant(app, "bench", credit="1000000", daily_budget="1000000", actor="bench")["key"]
        children = stack.enter_context(Children(folder, dict(os.environ)))
        port = free_port()
        bill = start_provider(children, port, "", folder)
        direct = f"http://127.0.0.1:{port}"
        gateway = _gateway(children, database_url, direct, options.workers)
        asyncio.run(load(gateway, key, 8, 1.0, options.stream))  # warm up
        found = [
            one for callers in options.callers for one in _pair(name, direct, gateway, key, callers, options)
        ]
        _check(app, bill)
        return found


def _gateway(children: Children, database_url: str, direct: str, workers: int) -> str:
    port = free_port()
    extra = {
        "OUTLAY_DATABASE_URL": database_url,
        "OUTLAY_UPSTREAM_URL": direct,
        "ANTHROPIC_API_KEY": "sk-ant-gateway",
    }
    return gateway_ready(start_gateway(children, port, workers, extra), port)


def _pair(
    name: str, direct: str, gateway: str, key: str, callers: int, options: argparse.Namespace
) -> list[Measured]:
    seen: dict[str, list[float]] = {"direct": [], "gateway": []}
    for _ in range(ROUNDS):
        for way, url in (("direct", direct), ("gateway", gateway)):
            used = "sk-ant-direct" if way == "direct" else key
            seen[way] += asyncio.run(load(url, used, callers, options.seconds, options.stream))
    return [_measured(name, way, callers, latencies, options) for way, latencies in seen.items()]


def _measured(
    name: str, way: str, callers: int, latencies: list[float], options: argparse.Namespace
) -> Measured:
    every = sorted(latencies)
    one = Measured(
        engine=name,
        way=way,
        callers=callers,
        stream=options.stream,
        calls=len(every),
        calls_per_s=round(len(every) / (ROUNDS * options.seconds), 1),
        p50_ms=round(every[len(every) // 2] * 1_000, 2),
        p99_ms=round(every[int(len(every) * 0.99)] * 1_000, 2),
    )
    if not options.json:
        print(
            f"{one.engine:10} {one.way:8} {one.callers:4} callers {one.calls_per_s:8.0f} calls/s   "
            f"p50 {one.p50_ms:7.2f} ms  p99 {one.p99_ms:7.2f} ms",
            flush=True,
        )
    return one


def _check(app: Any, bill: Path) -> None:
    """The books hold what the provider billed for the gateway's key, to the nano-dollar, and verify."""
    with app.reading() as connection:
        spent = sum(
            line.amount_nanos for line in reads.statement(connection, "bench") if line.credit == "usage"
        )
    from simulator.bill import by_key
    from simulator.provider import key_hash

    billed = by_key(bill).get(key_hash("sk-ant-gateway"), Decimal(0))
    assert total(bill) >= billed
    assert Decimal(spent) == billed * 10**9, (spent, billed)
    assert verify(app)["ok"]


def ratios(found: list[Measured]) -> dict[str, dict[str, float]]:
    """Return the gateway's share of the direct rate, and the latency that it adds, per row."""
    rows = {(one.engine, one.callers, one.way): one for one in found}
    return {
        f"{engine}-{callers}": {
            "rate_ratio": round(one.calls_per_s / rows[(engine, callers, "direct")].calls_per_s, 3),
            "added_p50_ms": round(one.p50_ms - rows[(engine, callers, "direct")].p50_ms, 2),
            "added_p99_ms": round(one.p99_ms - rows[(engine, callers, "direct")].p99_ms, 2),
        }
        for (engine, callers, way), one in rows.items()
        if way == "gateway"
    }


def main() -> None:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["sqlite", "postgresql"])
    parser.add_argument("--callers", type=lambda text: [int(n) for n in text.split(",")], default=[1, 32])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--postgres-url", default=None)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: list[Measured] = []
    if "sqlite" in options.engines:
        with tempfile.TemporaryDirectory() as folder:
            found += compare("sqlite", f"sqlite:///{folder}/bench.db", options)
    if "postgresql" in options.engines:
        with postgres(options.postgres_url) as new_database:
            found += compare("postgresql", new_database(), options)
    if options.json:
        machine = f"{platform.machine()} {platform.python_version()} {os.cpu_count()} cores"
        print(
            json.dumps({"machine": machine, "measured": [asdict(o) for o in found], "ratios": ratios(found)})
        )
    else:
        print(json.dumps(ratios(found), indent=2))


if __name__ == "__main__":
    main()
