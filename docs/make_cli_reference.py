"""
Writes docs/reference/cli.md from the commands themselves: `python docs/make_cli_reference.py`.

A test fails while the file differs from what this script would write.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from outlay.cli.frame import PANEL
from outlay.cli.main import build

TARGET = Path(__file__).parent / "reference" / "cli.md"
HEAD = """\
# Command line

Made by `python docs/make_cli_reference.py` from the commands themselves; do not edit by hand.

Money is decimal text in US dollars (`12.50`); `none` means no limit, `0` means nothing may be spent. Dates
without a time begin at midnight in the tenant's time zone. Every change records who made it.

| exit status | meaning |
|---|---|
| 0 | done |
| 1 | refused, failed, or a check found something wrong |
| 2 | the command line cannot be used; nothing was done |

Errors go to standard error, with the field, its value and the fix. With `--json` an answer on standard output
is JSON and nothing else, and so is an error on standard error.

## Options of every command

"""


def text() -> str:
    """
    Write the whole page.
    """
    root: Any = typer.main.get_command(build())
    commands = list(_walk(root, "outlay"))
    shared = [param for param in commands[0][1].params if _panel(param) == PANEL]
    parts = [HEAD, _table(shared)]
    for name, command in commands:
        parts.append(f"\n## `{name}`\n\n{_said(command.help)}\n\n```\n{_usage(name, command)}\n```\n")
        own = [param for param in command.params if _panel(param) != PANEL and param.name != "help"]
        if own:
            parts.append("\n" + _table(own))
    return "".join(parts)


def _walk(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    for child, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _walk(command, f"{name} {child}")
        else:
            yield f"{name} {child}", command


def _panel(param: Any) -> str | None:
    panel: str | None = getattr(param, "rich_help_panel", None)
    return panel


def _is_argument(param: Any) -> bool:
    return not param.opts[0].startswith("-")


def _usage(name: str, command: Any) -> str:
    words = [name]
    for param in command.params:
        if _panel(param) == PANEL or param.name == "help":
            continue
        shown = param.metavar if _is_argument(param) else _option(param)
        words.append(shown if param.required else f"[{shown}]")
    return " ".join(words)


def _option(param: Any) -> str:
    names = " | ".join((*param.opts, *param.secondary_opts))
    return names if getattr(param, "is_flag", False) else f"{names} {param.metavar or 'N'}"


def _table(params: list[Any]) -> str:
    rows = ["| | | default |\n|---|---|---|\n"]
    for param in params:
        shown = param.metavar if _is_argument(param) else _option(param)
        rows.append(f"| `{shown.replace('|', chr(92) + '|')}` | {_said(param.help)} | {_default(param)} |\n")
    return "".join(rows)


def _default(param: Any) -> str:
    if param.required:
        return "required"
    return "" if param.default in (None, False, "") or callable(param.default) else f"`{param.default}`"


def _said(sentence: str | None) -> str:
    return " ".join((sentence or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
