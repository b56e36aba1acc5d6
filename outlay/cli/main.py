"""
The command line `outlay`: the tree of its commands, and the one way out of it.

Commands import what they need when they run, so that `outlay --help` stays quick.
"""

import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from outlay.cli import (
    books,
    breakers,
    decisions,
    doctor,
    keys,
    learned,
    lots,
    money,
    policies,
    quality,
    routes,
    servers,
    tenants,
)
from outlay.cli.failures import FAILED, STOPPED, report


class Root(TyperGroup):
    """
    The root of the tree; every failure of every command ends here.
    """

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> None:  # type: ignore[override]
        """
        Run one command line and leave with its exit status.
        """
        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        sys.exit(self._status(given, prog_name or "outlay", extra))

    def _status(self, args: list[str], name: str, extra: dict[str, Any]) -> int:
        try:
            _refuse_undecodable(args)
            ended = super().main(args, name, **extra)
            if ended == STOPPED:
                raise KeyboardInterrupt
            return ended if isinstance(ended, int) else 0
        except Exception as error:  # noqa: BLE001 - the one place that lets nothing through
            return report(error, args)
        except KeyboardInterrupt as stop:
            return report(stop, args)
        except SystemExit as ended:  # uvicorn has statuses of its own
            return 0 if ended.code in (0, None) else FAILED


def _refuse_undecodable(args: Sequence[str]) -> None:
    """Refuse bytes that are no text, before a database or a file name meets them."""
    for arg in args:
        if not arg.isascii() and arg != arg.encode("utf-8", "replace").decode("utf-8"):
            raise typer.BadParameter(f"{arg!a} is not UTF-8 text")


def build() -> typer.Typer:
    """
    Build the tree of commands.
    """
    app = typer.Typer(
        name="outlay",
        cls=Root,
        no_args_is_help=True,
        add_completion=False,
        help="Outlay: credits, daily budgets and routing for LLM applications.",
    )
    for module in _groups():
        module.register(app)
    _register_up(app)
    return app


def _groups() -> tuple[Any, ...]:
    """The groups of commands, in the order in which help shows them."""
    of_books = servers, books, tenants, keys, money, lots
    return *of_books, policies, routes, breakers, decisions, quality, learned, doctor


def _register_up(app: typer.Typer) -> None:
    from importlib.util import find_spec

    if find_spec("outlay.cli.up") is not None:
        from importlib import import_module

        import_module("outlay.cli.up").register(app)


def main() -> None:
    """
    Run the command line of this process.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    build()()


if __name__ == "__main__":
    main()
