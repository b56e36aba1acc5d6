"""
The one place where a failure becomes an exit status and a sentence.

    0  done
    1  refused or failed: the order was understood
    2  usage or bad input: nothing was tried
    130  stopped by Ctrl-C

Whatever is raised, no traceback reaches the terminal unless `--debug` asks for it.
"""

import dataclasses
import json
import re
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import typer

from outlay.cli.output import safe
from outlay.words import plural

FAILED, USAGE, STOPPED = 1, 2, 130
_FOR_PROGRAMS: Final = ("made",)
"""Details that the message says in words."""
_SECRET: Final = re.compile(r"(://[^:/@\s]*):[^@\s]*@")


@dataclass(frozen=True, slots=True)
class Failure:
    """
    A failure as scripts and people see it.
    """

    status: int
    code: str
    message: str
    field: str | None = None
    value: str | None = None
    fix: str | None = None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def report(error: BaseException, args: Sequence[str]) -> int:
    """
    Tell a failure on standard error and return the exit status.
    """
    from outlay.errors import brief

    found = classify(error, debug="--debug" in args, args=args)
    cut = {one.name: brief(getattr(found, one.name)) for one in dataclasses.fields(found)}
    failure = Failure(**cut)
    if "--debug" in args and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    text = as_json(failure) if "--json" in args else as_text(failure)
    print(_SECRET.sub(r"\1:***@", text), file=sys.stderr)
    return failure.status


def as_json(failure: Failure) -> str:
    """
    Write a failure as one line of JSON.
    """
    names = ("code", "field", "value", "message", "fix", "details")
    return json.dumps({"error": {name: getattr(failure, name) for name in names}})


def as_text(failure: Failure) -> str:
    """
    Write a failure for people: what is wrong, where, and what to do.
    """
    head = f"{failure.field}: " if failure.code == "bad_input" and failure.field is not None else ""
    first, *rest = [safe(line) for line in f"{head}{failure.message}".split("\n")]
    lines = [f"error: {first}", *(f"  {line}" for line in rest)]
    if "problems" in failure.details:
        return "\n".join(lines)  # each of them says its field, value and fix
    fix = failure.fix or ""
    said = fix.lower() in failure.message.lower()
    named = (("field", failure.field), ("value", failure.value), ("fix", "" if said else fix))
    lines += [f"  {name}: {safe(value)}" for name, value in named if value]
    left_out = (failure.field, *_FOR_PROGRAMS)
    more = [(name, value) for name, value in failure.details.items() if name not in left_out]
    return "\n".join((*lines, *(f"  {name}: {safe(value)}" for name, value in more)))


def classify(error: BaseException, *, debug: bool = False, args: Sequence[str] = ()) -> Failure:
    """
    Find out what kind of failure an exception is; `args` is the command line.
    """
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Failure(STOPPED, "stopped", "Stopped.")
    if isinstance(error, typer.TyperException):
        return usage_failure(error, args)
    if isinstance(error, OSError):  # not of the books: those were translated where they were opened
        return _system(error)
    from outlay.errors import OutlayError, public_error

    known = error if isinstance(error, OutlayError) else public_error(error)
    if known is not None:
        return _public(known)
    return _unexpected(error, debug=debug)


def usage_failure(error: typer.TyperException, args: Sequence[str] = ()) -> Failure:
    """
    Describe what typer found wrong with the command line.
    """
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    fix = f"see: {context.command_path} --help" if context is not None else "see: outlay --help"
    option = getattr(error, "option_name", None)
    if option is not None and re.match(r"-[0-9.]", option):
        whole = next((arg for arg in args if arg.startswith(option)), option)
        return _negative(whole, context, fix)
    name = param.name if param is not None else option
    message = error.format_message() or "a command is missing"
    return Failure(error.exit_code, "usage", message, field=name, fix=fix)


def _negative(found: str, context: Any, fix: str) -> Failure:
    """A number below zero looks like an option to the parser; name the argument that it was meant for."""
    params = context.command.params if context is not None else ()
    meant = next((param for param in params if param.metavar in _NUMBERS), None)
    unknown = "a number is never negative", "write it without a sign"
    message, write = unknown if meant is None else _NUMBERS[meant.metavar]
    if any(param.name == "take" for param in params):
        write = f'{write}: leave the sign out, and add "--take" to take it'
    name = None if meant is None else meant.name
    return Failure(USAGE, "bad_input", message, field=name, value=found, fix=f"{write}; {fix}")


_NUMBERS: Final[Mapping[str, tuple[str, str]]] = {
    "USD": ("not an amount in USD", "An amount is never negative"),
    "SCORE": ("a score is never negative", "write a number from 0 to 1, true, false, pass or fail"),
    "VERSION": (
        "a version is never negative",
        f"write a whole number from 0 to {2**31}; see: outlay policy history",
    ),
}
"""Arguments that are numbers, by their metavar: what is wrong, as said of any other text, and the fix."""


def _public(error: BaseException) -> Failure:
    from outlay import errors

    if isinstance(error, errors.BadInput):
        return _bad_input(error)
    if isinstance(error, errors.PolicyInvalid):
        return _policy(error)
    if isinstance(error, errors.Rejected):
        return _rejected(error)
    if isinstance(error, errors.SchemaMismatch):
        found = {"found": error.found, "wanted": error.wanted}
        return Failure(FAILED, "schema_mismatch", error.message, fix=error.fix, details=found)
    if isinstance(error, errors.ClockAhead):
        return Failure(FAILED, "clock_ahead", str(error), fix="set the clock; see: outlay doctor")
    if isinstance(error, errors.BooksUnavailable):
        fix = "check OUTLAY_DATABASE_URL, then ask again; see: outlay doctor"
        return Failure(FAILED, "books_unavailable", str(error), fix=fix)
    return Failure(FAILED, "refused", str(error))


def _bad_input(error: Any) -> Failure:
    value = None if error.value is None else error.value.removeprefix('"').removesuffix('"')
    return Failure(USAGE, "bad_input", error.message, error.field, value, error.fix or None)


def _policy(error: Any) -> Failure:
    problems = [dataclasses.asdict(problem) for problem in error.problems]
    first: Mapping[str, str | None] = problems[0] if problems else dict.fromkeys(("field", "value", "fix"))
    message = f"the policy has {plural(len(problems), 'problem')}\n{error}"
    return Failure(
        USAGE,
        "policy_invalid",
        message,
        first["field"],
        first["value"],
        first["fix"],
        {"problems": problems},
    )


def _rejected(error: Any) -> Failure:
    details = dict(error.details)
    field, fix = _REFUSED.get(error.code, (None, None))
    fix = details.pop("fix", fix)
    value = details.get(field) if field is not None else None
    shown = None if value is None else str(value)
    return Failure(FAILED, error.code, error.message, field, shown, fix, details)


_REFUSED: Final[Mapping[str, tuple[str | None, str]]] = {
    "unknown_tenant": ("tenant", "list them with: outlay tenant list"),
    "tenant_exists": ("tenant", "choose another name; see: outlay tenant show"),
    "unknown_hold": ("hold_id", "ids of holds are in: outlay statement"),
    "unknown_classifier": ("version", "list them with: outlay classifier list"),
    "unknown_decision": ("decision", "the id is in the answer's header outlay-decision-id"),
    "unknown_key": ("key", "list them with: outlay key list"),
    "unknown_version": ("version", "list them with: outlay policy history"),
    "key_conflict": ("idempotency_key", "give another order a key of its own"),
    "hold_closed": ("hold_id", "see: outlay explain"),
    "cost_unconfirmed": ("cost", "check the amount, or confirm it with --yes"),
    "debt_unconfirmed": ("amount", "check the amount, or confirm it with --yes"),
    "unknown_lot": ("lot", "list them with: outlay lot list TENANT"),
    "reversal_exceeds_grant": ("amount", "take back what is left of it, or leave --amount out"),
    "refund_exceeds_charge": ("amount", "refund what is left of the charge, or leave --amount out"),
}
"""What a refusal is about, and what to do."""


def _system(error: OSError) -> Failure:
    what = error.strerror or type(error).__name__
    where = None if error.filename is None else str(error.filename)
    message = what if where is None else f"{what}: {where}"
    return Failure(FAILED, "system_error", message, value=where, fix="check the path and its permissions")


def _unexpected(error: BaseException, *, debug: bool) -> Failure:
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    where = None if debug else _keep_traceback(error)
    fix = f"the traceback is in {where}" if where is not None else "run it with --debug to see the traceback"
    return Failure(FAILED, "unexpected", f"something unexpected went wrong ({said})", fix=fix)


def _keep_traceback(error: BaseException) -> str | None:
    """Write the traceback to a file that only this user can read."""
    text = _SECRET.sub(r"\1:***@", "".join(traceback.format_exception(error)))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="outlay-", suffix=".log", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
    except OSError:
        return None
    return file.name
