"""
The public errors, and the one table that turns errors of the parts below into them.

    OutlayError
    +-- BadInput             the input is wrong; names the field, the value and the fix
    +-- PolicyInvalid        a policy file with problems, all of them at once
    +-- Rejected             well-formed, but refused; a stable code and the numbers that explain it
    +-- BooksUnavailable     the database cannot be reached, stays locked or is full
    |   `-- ClockAhead       this process's clock is ahead: nothing is booked by it
    +-- SchemaMismatch       the database is not at the revision that this Outlay works with
    `-- CallRefused          a call that was not let through; raised by the in-process API only
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from outlay.calls import Refused
    from router.problems import Problem

_SHOWN: Final = 80
_LINE: Final = 500
_TAIL: Final = 340


class OutlayError(Exception):
    """
    Root of all that Outlay raises on purpose.
    """


class BadInput(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    Input that cannot be used; nothing was written.
    """

    def __init__(
        self, field: str, value: object, message: str, fix: str, *, code: str = "outlay_invalid_request"
    ) -> None:
        """
        Name the field, show its value, say what is wrong and what to write instead.
        """
        self.field, self.message, self.fix, self.code = field, message, fix, code
        self.value = None if value is None else shown(value)
        found = "" if value is None else f" (found: {self.value})"
        super().__init__(" ".join(part for part in (f"{field}: {message}{found}.", fix) if part))

    @property
    def details(self) -> dict[str, object]:
        """
        Say the same in parts, as an answer of the gateway and an error of the SDK carry them.
        """
        parts = {"error_code": self.code, "field": self.field, "value": self.value, "fix": self.fix}
        return {name: part for name, part in parts.items() if part is not None}


class PolicyInvalid(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    A policy that cannot be used; nothing was written.
    """

    def __init__(self, problems: "Sequence[Problem]") -> None:
        """
        Keep the problems, each with field, value, message and fix.
        """
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text for problem in self.problems))


class Rejected(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    A well-formed order that was refused; nothing was written.
    """

    def __init__(self, code: str, message: str, details: Mapping[str, object] | None = None) -> None:
        """
        Keep the stable code, and details that are ready for JSON (money as decimal text, `*_usd`).
        """
        self.code, self.message = code, message
        self.details: Mapping[str, object] = {} if details is None else details
        super().__init__(message)


class BooksUnavailable(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    The books could not be read or written; the same order may be sent again with the same key.

    Attributes:
        code: Names the cause to clients.
    """

    code = "outlay_books_unavailable"


class ClockAhead(BooksUnavailable):
    """
    The clock of this machine is ahead: nothing is sent or booked by it.
    """

    code = "outlay_clock_ahead"


class SchemaMismatch(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    The database is at another revision than this Outlay; None for a database without tables of ours.
    """

    def __init__(self, found: str | None, wanted: str, fix: str) -> None:
        """
        Name both revisions and the remedy.
        """
        self.found, self.wanted, self.fix = found, wanted, fix
        where = "holds no books yet" if found is None else f"is at revision {found}"
        self.message = f"the database {where}, this Outlay needs {wanted}"
        super().__init__(f"{self.message}; {fix}")


class CallRefused(OutlayError):  # noqa: N818 - says what is so; the name is part of the public API
    """
    A call that Outlay did not let through.
    """

    def __init__(self, refused: "Refused") -> None:
        """
        Keep the refusal with its code, status and details.
        """
        self.refused = refused
        super().__init__(f"{refused.code}: {refused.message}")


def shown(value: object) -> str:
    """
    Show a refused value, in quotes where it is text, cut to a sane length and without control characters.

    A path is not cut: what matters of it stands at its end.
    """
    text = f'"{value}"' if isinstance(value, str | PurePath) else repr(value)
    text = text if text.isprintable() else text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= _SHOWN or isinstance(value, PurePath) else text[: _SHOWN - 1] + "…"


def brief(value: Any) -> Any:
    """
    Cut the long lines of a message or of its details to their beginning and end, where the fix stands.
    """
    if isinstance(value, Mapping):
        return {name: brief(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [brief(inner) for inner in value]
    if not isinstance(value, str) or len(value) <= _LINE:
        return value
    return "\n".join(_cut(line) for line in value.split("\n"))


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[: _LINE - _TAIL]} … {line[-_TAIL:]}"


@contextmanager
def translated() -> Iterator[None]:
    """
    Raise the public error in place of one of the parts below; what is not in the table passes unchanged.
    """
    try:
        yield
    except OutlayError:
        raise
    except Exception as error:
        public = public_error(error)
        if public is None:
            raise
        raise public from error


def public_error(error: BaseException) -> OutlayError | None:
    """
    Return the public error for one of the parts below; None for what nobody promised.
    """
    for kind in type(error).__mro__:
        make = _PUBLIC.get(f"{kind.__module__}.{kind.__qualname__}")
        public = None if make is None else make(error)
        if public is not None:
            return public
    return None


def unavailable_code(error: OutlayError) -> str:
    """
    Name what keeps the books from being used.
    """
    return error.code if isinstance(error, BooksUnavailable) else BooksUnavailable.code


def stopped_by(error: BaseException) -> str:
    """
    Name what kept a call from being sent, for its record.
    """
    if isinstance(error, OutlayError):
        return unavailable_code(error).removeprefix("outlay_")
    return "internal_error" if isinstance(error, Exception) else "interrupted"


def _input(field: str, fix: str = "") -> "_Make":
    return lambda error: BadInput(field, None, _said(error), fix)


def _rejected(code: str) -> "_Make":
    return lambda error: Rejected(code, _said(error))


def _unavailable(error: BaseException) -> OutlayError:
    return BooksUnavailable(_said(error))


def _unreachable(error: BaseException) -> OutlayError:
    """Leave out SQLAlchemy's text, which quotes the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return BooksUnavailable(f"the database did not answer: {_said(cause).splitlines()[0]}")


def _database(error: BaseException) -> OutlayError | None:
    """Take what is no more than a DatabaseError (not a database file); its kinds are other stories."""
    return _unreachable(error) if type(error).__name__ == "DatabaseError" else None


def _os(error: BaseException) -> OutlayError:
    return BooksUnavailable(f"the database cannot be opened: {error}")


def _clock_ahead(error: BaseException) -> OutlayError:
    return ClockAhead(_said(error))


def _outcome_unknown(error: BaseException) -> OutlayError:
    return BooksUnavailable(f"{_said(error)}; it may or may not be written: ask again with the same key")


def _policy(error: BaseException) -> OutlayError:
    return PolicyInvalid(getattr(error, "problems", ()))


def _said(error: BaseException) -> str:
    """Return what an error says; a LookupError would quote its text."""
    said = error.args[0] if error.args else ""
    return said.strip().rstrip(".") if isinstance(said, str) and said.strip() else type(error).__name__


_Make = Callable[[BaseException], OutlayError | None]

# By name, so that raising an error loads neither SQLAlchemy nor pydantic. A test compares the names with
# every error class of the packages below.
_PUBLIC: Final[Mapping[str, _Make]] = {
    "pricing.money.MoneyError": _input("amount"),
    "pricing.usage.UsageError": _input("usage"),
    "pricing.tally.RequestInvalid": _input("request"),
    "pricing.facts.UnknownModel": _input("model"),
    "pricing.facts.UnknownGeo": _input("geo"),
    "pricing.table.UnknownPrice": _input("model"),
    "pricing.overrides.OverridesError": _input("prices"),
    "pricing.compile.CompileError": _rejected("prices_unusable"),
    "pricing.stored.StoredPricesError": _rejected("record_unreadable"),
    "ledger.errors.LedgerError": _unavailable,
    "ledger.errors.StoreUnavailable": _unavailable,
    "ledger.errors.ClockAhead": _clock_ahead,
    "ledger.errors.OutcomeUnknown": _outcome_unknown,
    "ledger.errors.OperationFailed": _rejected("operation_failed"),
    "ledger.errors.LedgerClosed": _unavailable,
    "ledger.sqlite_file.BooksMoved": _unreachable,
    "ledger.sqlite_file.BooksInherited": _unreachable,
    "ledger.drivers.RowMissing": _rejected("operation_failed"),
    "ledger.drivers.Changed": _rejected("operation_failed"),
    "ledger.drivers.Unanswered": _unavailable,
    "ledger.connect.DatabaseUrlError": _input("database_url"),
    "ledger.seals.SealFileError": _input("seal"),
    "router.codec.CodecError": _rejected("record_unreadable"),
    "router.learned_read.LearnedError": _input("classifier", "Train it again: outlay train."),
    "router.problems.PolicyError": _policy,
    "circuit.types.CircuitError": _unavailable,
    "circuit.types.StoreUnavailable": _unavailable,
    "outlay.settings.SettingsError": _input("environment"),
    "sqlalchemy.exc.OperationalError": _unreachable,
    "sqlalchemy.exc.InterfaceError": _unreachable,
    "sqlalchemy.exc.DatabaseError": _database,
    "sqlalchemy.exc.DisconnectionError": _unreachable,
    "sqlalchemy.exc.TimeoutError": _unreachable,
    "sqlite3.OperationalError": _unreachable,
    "sqlite3.DatabaseError": _database,
    "builtins.OSError": _os,
}
