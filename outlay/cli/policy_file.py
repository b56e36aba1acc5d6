"""
Reads a policy file, and edits policy text with its comments and its layout kept.
"""

import sys
import tomllib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from outlay.errors import BadInput, Rejected

BYTES_MAX: Final = 1_000_000


def read_policy(path: str) -> str:
    """
    Read a policy from a file, or from standard input where the path is a dash.

    Raises:
        BadInput: There is no such file, or it is not text of a sane size.
    """
    try:
        raw = _read(path)
    except OSError as error:
        raise BadInput(
            "file", Path(path), f"cannot be read: {error.strerror}", "Name a TOML file."
        ) from error
    if len(raw) > BYTES_MAX:
        raise BadInput("file", Path(path), "is too long", "Keep a policy under 1 MB.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("file", Path(path), "is not UTF-8 text", "Save it as UTF-8.") from error


def _read(path: str) -> bytes:
    """Read a little more than is allowed, so that a pipe without an end is noticed."""
    if path == "-":
        return sys.stdin.buffer.read(BYTES_MAX + 1)
    with open(path, "rb") as file:
        return file.read(BYTES_MAX + 1)


def with_route(text: str, task: str, tier: str, *, drop_budget: bool = False) -> str:
    """
    Return policy text in which a task is served from a tier; the task's other fields stay.

    Whether task and tier can be used is for the policy's own check to say.

    Args:
        drop_budget: Leave `[budget]` out, which in a tenant's own policy would set its day budget.
    Raises:
        Rejected: `policy_not_editable`: the layout of the file does not allow this edit.
    """
    wanted = tomllib.loads(text)
    _route(wanted, task, tier, {})
    edited = _edited(text, task, tier)
    if drop_budget:
        wanted.pop("budget", None)
        edited.pop("budget", None)
    made = str(edited.as_string())
    if tomllib.loads(made) != wanted:
        raise _not_editable()
    return made


def _edited(text: str, task: str, tier: str) -> Any:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    document = tomlkit.parse(text)
    try:
        _route(document, task, tier, tomlkit.inline_table())
    except TOMLKitError as error:
        raise _not_editable() from error
    return document


def _route(document: MutableMapping[str, Any], task: str, tier: str, fresh: MutableMapping[str, Any]) -> None:
    """Put the tier where the task has its entry, or make one."""
    tasks = document.setdefault("routing", {}).setdefault("tasks", {})
    entry = tasks.get(task)
    if isinstance(entry, MutableMapping):
        entry["tier"] = tier
        return
    fresh["tier"] = tier
    tasks[task] = fresh


def _not_editable() -> Rejected:
    fix = "edit the file by hand: outlay policy show > policy.toml, then: outlay policy apply policy.toml"
    return Rejected("policy_not_editable", "the layout of this policy does not allow the edit", {"fix": fix})
