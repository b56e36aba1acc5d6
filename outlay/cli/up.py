"""
`outlay up`: gateway and dashboard together, and with `--demo` a day of simulated traffic through them.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import print_answer
from outlay.words import plural

if TYPE_CHECKING:
    from rich.console import Console

    from outlay.demo.children import Children
    from outlay.demo.run import Demo
    from outlay.settings import Settings

DASHBOARD_PORT = 8788
WIDTH_PIPED = 170
_WATCH_S = 0.3

DemoFlag = Annotated[bool, typer.Option("--demo", help="Play the packaged day in books of its own.")]
Exit = Annotated[bool, typer.Option("--exit", help="End after the demo's summary.")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65_535, help="Of the gateway.")]
DashboardPort = Annotated[
    int | None, typer.Option("--dashboard-port", min=1, max=65_535, help="Of the dashboard.")
]
NoDashboard = Annotated[bool, typer.Option("--no-dashboard", help="Start the gateway only.")]
Keep = Annotated[
    Path | None, typer.Option("--keep", metavar="DIR", help="Keep the demo's books, bill and logs here.")
]
Calls = Annotated[int | None, typer.Option("--calls", help="Calls of the demo, 200 to 2640.")]


def register(app: typer.Typer) -> None:
    """
    Put the command on the command line.
    """
    command(app, "up")(up)


def up(
    common: Common,
    demo: DemoFlag = False,
    end: Exit = False,
    port: Port = None,
    dashboard_port: DashboardPort = None,
    no_dashboard: NoDashboard = False,
    keep: Keep = None,
    calls: Calls = None,
) -> Answer:
    """Start the gateway and the dashboard, and keep them up until Ctrl-C; --demo shows them at work."""
    if demo:
        return _demo(common, end, _options(common, port, dashboard_port, no_dashboard, keep, calls))
    _refuse_demo_options({"exit": end or None, "keep": keep, "calls": calls})
    return _serve(common, port, dashboard_port or DASHBOARD_PORT, dashboard=not no_dashboard)


def _refuse_demo_options(given: Mapping[str, object]) -> None:
    from outlay.errors import BadInput

    for name, value in given.items():
        if value is not None:
            raise BadInput(name, value, "belongs to the demo", "add --demo, or leave it out")


# the demo


def _options(
    common: Common,
    port: int | None,
    dashboard_port: int | None,
    no_dashboard: bool,
    keep: Path | None,
    calls: int | None,
) -> Any:
    from outlay.demo.run import CALLS, CALLS_MAX, CALLS_MIN, Options
    from outlay.errors import BadInput

    if common.database_url is not None:
        fix = "leave --database-url out; --keep DIR keeps the demo's database"
        raise BadInput("database_url", common.database_url, "the demo makes books of its own", fix)
    count = CALLS if calls is None else calls
    if not CALLS_MIN <= count <= CALLS_MAX:
        raise BadInput("calls", calls, "is out of range", f"use {CALLS_MIN} to {CALLS_MAX}")
    return Options(count, port, dashboard_port or 0, not no_dashboard, keep)


def _demo(common: Common, end: bool, options: Any) -> Answer:
    from outlay.demo.run import run_demo

    console = _console(errors=common.as_json)
    answers: list[Answer] = []

    def then(played: "Demo", children: "Children") -> None:
        answer = _answer(played, staying=not end)

        def tell() -> None:
            if not common.as_json:
                _show(played, console, staying=not end)
            elif not end:
                _print_json(answer.data)

        if end:
            tell()
            answers.append(answer)
        else:
            _stay(children, tell)

    ok = run_demo(options, os.environ, console, then)
    if answers:
        return answers[0]
    raise typer.Exit(0 if ok else 1)


def _answer(played: "Demo", *, staying: bool) -> Answer:
    from outlay.demo.summary import as_dict

    data = {
        **as_dict(played.summary),
        "verify": dict(played.verification),
        "play_s": round(played.play_s, 1),
        "total_s": round(played.total_s, 1),
        **({"gateway": played.gateway, "dashboard": played.link, "key": played.key} if staying else {}),
    }
    return Answer(data, (), 0 if played.ok else 1)


def _show(played: "Demo", console: "Console", *, staying: bool) -> None:
    from outlay.demo.table import show

    show(played.summary, console)
    found = played.verification
    said = "[green]ok[/green]" if found["ok"] else "[bold red]NOT OK[/bold red]"
    console.print(
        f"[bold]outlay verify:[/bold] {said}; {plural(len(found['checks']), 'check')} over "
        f"{plural(found['tenants'], 'tenant')} and {plural(found['transfers'], 'transfer')}",
        highlight=False,
    )
    for problem in found["problems"]:
        console.print(f"  {problem}", highlight=False, markup=False)
    console.print(f"Played in {played.play_s:.1f} s; {played.total_s:.1f} s from the start", highlight=False)
    if staying:
        _print_addresses(console, played.gateway, played.link, played.key)
        console.print("Nothing here costs money: the provider is simulated. Ctrl-C stops and removes it all.")


# without the demo


def _serve(common: Common, port: int | None, dashboard_port: int, *, dashboard: bool) -> Answer:
    import tempfile

    from outlay.demo import servers
    from outlay.demo.children import Children, stopped_by_signals

    settings = common.settings()
    port = port or settings.port
    servers.refuse_ports(port, dashboard_port if dashboard else None)
    tenants = _tenants(settings)
    environ = {**os.environ, "OUTLAY_DATABASE_URL": settings.database_url}
    console = _console(errors=False)
    with (
        tempfile.TemporaryDirectory(prefix="outlay-up-") as folder,
        stopped_by_signals(),
        Children(Path(folder), environ) as children,
    ):
        gateway = servers.start_gateway(children, port, 1, {})
        shown = servers.start_dashboard(children, dashboard_port, {}) if dashboard else None
        url = servers.gateway_ready(gateway, port)
        link = None if shown is None else servers.dashboard_link(shown)

        def tell() -> None:
            if common.as_json:
                _print_json({"gateway": url, "dashboard": link, "tenants": tenants})
                return
            _print_addresses(console, url, link, None)
            _print_first_steps(console, settings, tenants)

        _stay(children, tell)
    raise typer.Exit(0)


def _tenants(settings: "Settings") -> list[str]:
    """Upgrade the database, or say what is wrong with it in one sentence; then name its tenants."""
    from outlay.admin.tenants import list_tenants
    from outlay.wiring import open_app

    app = open_app(settings, migrate=True)
    try:
        return [str(row["tenant"]) for row in list_tenants(app)["tenants"]]
    finally:
        app.close()


def _print_first_steps(console: "Console", settings: "Settings", tenants: list[str]) -> None:
    """Say what is still missing before a call can be paid."""
    if not tenants:
        console.print("There is no tenant yet. This makes one, and prints its key:")
        console.print("  outlay tenant create acme --credit 20 --daily-budget 5", highlight=False)
    if settings.upstream_key is None:
        console.print(
            "ANTHROPIC_API_KEY was not set for this process: the provider will refuse every call.",
            highlight=False,
        )
    console.print("Ctrl-C stops both.")


# both


def _print_json(data: Mapping[str, Any]) -> None:
    print_answer(data, (), None, as_json=True)
    sys.stdout.flush()


def _console(*, errors: bool) -> "Console":
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDTH_PIPED)


def _print_addresses(console: "Console", url: str, link: str | None, key: str | None) -> None:
    shown = key or "<key of a tenant>"
    console.print("\nAn application is put behind the gateway by its environment:")
    console.print(f"  export ANTHROPIC_BASE_URL={url}", highlight=False, soft_wrap=True)
    console.print(f"  export ANTHROPIC_API_KEY={shown}", highlight=False, soft_wrap=True, markup=False)
    console.print("  (or ANTHROPIC_AUTH_TOKEN, with the same key)", highlight=False)
    console.print(f"Gateway:   {url}", highlight=False)
    if link is not None:
        console.print(f"Dashboard: {link} (opens once)", highlight=False, soft_wrap=True)


def _stay(children: "Children", tell: Callable[[], None]) -> None:
    """
    Tell that all is up, and stay so until Ctrl-C.

    Raises:
        ChildFailed: A server has ended by itself.
    """
    from outlay.demo.children import ChildFailed

    try:
        tell()
        while (said := children.fallen()) is None:
            time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        return
    raise ChildFailed(said)
