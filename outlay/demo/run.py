"""
The demo from start to summary: fresh books, real servers, the play, the comparison with the bill.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from outlay.admin import books as admin_books
from outlay.admin.policies import apply_policy
from outlay.admin.tenants import create_tenant
from outlay.clock import now_us
from outlay.demo import progress, servers
from outlay.demo.books import open_holds, read_books, spent_nanos
from outlay.demo.children import Children, free_port, stopped_by_signals
from outlay.demo.plan import Plan, make_plan
from outlay.demo.player import Played, Player
from outlay.demo.provider_bill import read_bill
from outlay.demo.summary import Summary, summarise
from outlay.demo.trace import load_trace
from outlay.errors import BadInput
from outlay.settings import Settings
from outlay.wiring import App, open_app

ACTOR = "demo"
CALLS = 2_640
CALLS_MIN, CALLS_MAX = 200, CALLS
WORKERS = 1
_SETTLED_TIMEOUT_S = 30.0
_UPSTREAM_KEY = "demo-upstream-key"


@dataclass(frozen=True, slots=True)
class Options:
    """
    How a demo runs; a port that is None is a free one, a folder that is None a temporary one.
    """

    calls: int = CALLS
    port: int | None = None
    dashboard_port: int = 0
    dashboard: bool = True
    keep: Path | None = None


@dataclass(frozen=True, slots=True)
class Demo:
    """
    A demo that has been played.

    Attributes:
        link: Opens the dashboard once; None without a dashboard.
        key: Of the tenant that has money left, for calls of one's own.
        play_s, total_s: How long the play, and everything from the start, took.
    """

    summary: Summary
    verification: Mapping[str, Any]
    gateway: str
    link: str | None
    key: str
    folder: Path
    play_s: float
    total_s: float

    @property
    def ok(self) -> bool:
        """
        Tell whether the books equal the bill and hold together.
        """
        return self.summary.equal and self.verification["ok"] is True


def run_demo(
    options: Options, environ: Mapping[str, str], console: Console, then: Callable[[Demo, Children], None]
) -> bool:
    """
    Play the demo, and call *then* while its servers still run.

    Returns:
        Whether the books equal the bill.
    Raises:
        Rejected: A port is taken, or a server did not come up, or ended by itself.
    """
    started_s = time.monotonic()
    servers.refuse_ports(options.port, options.dashboard_port if options.dashboard else None)
    with _folder(options.keep) as folder, stopped_by_signals(), Children(folder, _clean(environ)) as children:
        app = open_app(Settings(database_url=f"sqlite:///{folder / 'outlay.db'}"), migrate=True)
        try:
            demo = _play(options, app, children, folder, console, started_s)
            then(demo, children)
        finally:
            app.close()
    return demo.ok


def _play(
    options: Options, app: App, children: Children, folder: Path, console: Console, started_s: float
) -> Demo:
    upstream, port = free_port(), options.port or free_port()
    books = {"OUTLAY_DATABASE_URL": app.settings.database_url}
    gateway = servers.start_gateway(children, port, WORKERS, {**books, **_upstream(upstream)})
    dashboard = (
        servers.start_dashboard(children, options.dashboard_port, books) if options.dashboard else None
    )
    console.print("Starting the gateway, the dashboard and the simulated provider ...")
    plan = make_plan(load_trace(), options.calls, app.prices, now_us())
    keys = create_tenants(app, plan)
    url = servers.gateway_ready(gateway, port)
    link = None if dashboard is None else servers.dashboard_link(dashboard)
    console.print(
        f"Playing {len(plan.calls)} calls of {len(plan.tenants)} tenants through {url}", highlight=False
    )
    bill = servers.start_provider(children, upstream, plan.scenario, folder)
    play_s = time.monotonic()
    played = _played(app, plan, url, keys, console)
    play_s = time.monotonic() - play_s
    _wait_until_settled(app)
    summary = summarise(plan, played, read_books(app), read_bill(bill))
    verification = admin_books.verify(app)
    total_s = time.monotonic() - started_s
    return Demo(summary, verification, url, link, keys[plan.tenants[0].name], folder, play_s, total_s)


def create_tenants(app: App, plan: Plan) -> dict[str, str]:
    """
    Create the tenants with their money and policies; gives their keys by name.
    """
    apply_policy(app, plan.policy, actor=ACTOR, note="policy of the demo")
    keys: dict[str, str] = {}
    for tenant in plan.tenants:
        made = create_tenant(
            app,
            tenant.name,
            credit=tenant.credit_usd,
            daily_budget=tenant.budget_usd or "none",
            timezone=tenant.timezone,
            actor=ACTOR,
        )
        keys[tenant.name] = str(made["key"])
        if tenant.policy:
            apply_policy(app, tenant.policy, tenant=tenant.name, actor=ACTOR, note=tenant.story)
    return keys


def _played(app: App, plan: Plan, url: str, keys: Mapping[str, str], console: Console) -> tuple[Played, ...]:
    with progress.shown(console, len(plan.calls), lambda: spent_nanos(app)) as told:
        return asyncio.run(Player(url, keys, told).play(plan.calls))


def _wait_until_settled(app: App) -> None:
    """Wait for calls whose clients have left: the gateway reads their answers to the end."""
    deadline_s = time.monotonic() + _SETTLED_TIMEOUT_S
    while open_holds(app) > 0 and time.monotonic() < deadline_s:
        time.sleep(0.1)


def _upstream(port: int) -> dict[str, str]:
    return {"OUTLAY_UPSTREAM_URL": f"http://127.0.0.1:{port}", "ANTHROPIC_API_KEY": _UPSTREAM_KEY}


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would lead the demo to the user's own books or provider."""
    return {name: value for name, value in environ.items() if not name.startswith(("OUTLAY_", "ANTHROPIC_"))}


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Make the folder of the demo's database, bill and logs; a temporary one is removed at the end."""
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="outlay-demo-"))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    if keep.exists() and (not keep.is_dir() or any(keep.iterdir())):
        raise BadInput("keep", str(keep), "is not a new or empty folder", "name a folder that does not exist")
    keep.mkdir(parents=True, exist_ok=True)
    yield keep.resolve()
