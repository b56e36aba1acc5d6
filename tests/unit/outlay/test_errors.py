"""
The public errors: each lower error has one, and what they say can be acted on.
"""

import importlib
import inspect
import pkgutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import exc

import circuit.types
import ledger.errors
import pricing.money
from outlay import errors
from outlay.errors import (
    BadInput,
    BooksUnavailable,
    CallRefused,
    ClockAhead,
    OutlayError,
    PolicyInvalid,
    Rejected,
    SchemaMismatch,
    public_error,
    translated,
)
from router.problems import PolicyError, Problem


def lower_errors() -> Iterator[type[BaseException]]:
    """Every public error class that a package below defines."""
    for name in ("pricing", "ledger", "router", "circuit"):
        package = importlib.import_module(name)
        for found in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{name}.{found.name}")
            for label, kind in inspect.getmembers(module, inspect.isclass):
                own = kind.__module__ == module.__name__ and not label.startswith("_")
                if own and issubclass(kind, BaseException):
                    yield kind


def instance(kind: type[BaseException]) -> BaseException:
    """An error of a class, whatever its constructor wants."""
    made = kind.__new__(kind)
    made.args = ("something is wrong",)
    return made


LOWER = sorted(set(lower_errors()), key=lambda kind: f"{kind.__module__}.{kind.__name__}")


def test_the_packages_below_have_errors() -> None:
    """
    The search for lower errors finds them, so that the test below is not empty.
    """
    names = {kind.__name__ for kind in LOWER}
    assert {"MoneyError", "LedgerError", "PolicyError", "CircuitError", "UnknownPrice"} <= names


@pytest.mark.parametrize("kind", LOWER, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_lower_error_has_an_entry_of_its_own(kind: type[BaseException]) -> None:
    """
    A new error class below fails here until somebody decides what it means to callers.
    """
    assert f"{kind.__module__}.{kind.__qualname__}" in errors._PUBLIC
    assert isinstance(public_error(instance(kind)), OutlayError)


def test_every_entry_names_a_class_that_exists() -> None:
    """
    The table has no entry for a class that was renamed or removed.
    """
    for name in errors._PUBLIC:
        module, _, label = name.rpartition(".")
        assert inspect.isclass(getattr(importlib.import_module(module), label)), name


@pytest.mark.parametrize(
    ("lower", "public"),
    [
        (ledger.errors.StoreUnavailable("locked"), BooksUnavailable),
        (ledger.errors.ClockAhead(9, 1, by_database=True), ClockAhead),
        (ledger.errors.OutcomeUnknown("lost"), BooksUnavailable),
        (ledger.errors.OperationFailed("poison"), Rejected),
        (ledger.errors.LedgerClosed("closed"), BooksUnavailable),
        (circuit.types.StoreUnavailable("no answer"), BooksUnavailable),
        (pricing.money.MoneyError("no"), BadInput),
        (PolicyError([Problem("a", "b", "c", "d")]), PolicyInvalid),
        (exc.OperationalError("SELECT secret", {}, sqlite3.OperationalError("disk full")), BooksUnavailable),
        (exc.TimeoutError("pool"), BooksUnavailable),
        (exc.DatabaseError("SELECT secret", {}, sqlite3.DatabaseError("not a database")), BooksUnavailable),
        (PermissionError(13, "Permission denied"), BooksUnavailable),
        (sqlite3.OperationalError("database is locked"), BooksUnavailable),
    ],
)
def test_lower_errors_become_public_ones(lower: Exception, public: type[OutlayError]) -> None:
    """
    What callers catch does not depend on the package that failed, and keeps its cause.
    """
    with pytest.raises(public) as caught, translated():
        raise lower
    assert caught.value.__cause__ is lower
    assert "SELECT secret" not in str(caught.value)


def test_what_nobody_promised_passes_unchanged() -> None:
    """
    A programming error is not dressed up, and a public error is not wrapped again.
    """
    integrity = exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError("twice"))
    for error in (KeyError("x"), Rejected("code", "text"), ZeroDivisionError(), integrity):
        with pytest.raises(type(error)) as caught, translated():
            raise error
        assert caught.value is error


def test_an_unknown_outcome_says_how_to_find_out() -> None:
    """
    After a lost COMMIT the caller is told to ask with the same key, not that nothing happened.
    """
    public = public_error(ledger.errors.OutcomeUnknown("lost around COMMIT"))
    assert "same key" in str(public)


def test_problems_of_a_policy_are_kept() -> None:
    """
    All problems of a policy arrive, each with its field.
    """
    public = public_error(
        PolicyError([Problem("a.b", "1", "wrong", "do"), Problem("c", "", "missing", "add")])
    )
    assert isinstance(public, PolicyInvalid)
    assert [problem.field for problem in public.problems] == ["a.b", "c"]
    assert "a.b: wrong (found: 1). do" in str(public)


def test_bad_input_names_field_value_and_fix() -> None:
    """
    Bad input says where, what and how to mend it, on one line and cut to a sane length.
    """
    error = BadInput("credit", "-5", "not an amount", "Write 5.")
    assert str(error) == 'credit: not an amount (found: "-5"). Write 5.'
    long = BadInput("x", "a\nb" + "c" * 1_000, "bad", "")
    assert len(str(long)) < 120
    assert "\n" not in str(long)


def test_bad_input_has_no_value_where_nothing_was_given() -> None:
    """
    What is missing has no value, neither in words nor for programs; a text "None" is one.
    """
    assert BadInput("credit", None, "missing", "Give credit.").value is None
    assert str(BadInput("credit", None, "missing", "Give credit.")) == "credit: missing. Give credit."
    assert BadInput("credit", "None", "not an amount", "Write 5.").value == '"None"'


def test_a_schema_mismatch_names_both_revisions() -> None:
    """
    The operator sees what was found, what is wanted, and the command that mends it.
    """
    assert "0002" in str(SchemaMismatch("0002", "0003", "run: outlay db upgrade"))
    assert "no books yet" in str(SchemaMismatch(None, "0003", "run: outlay db upgrade"))


def test_the_tree_is_one() -> None:
    """
    One except clause catches everything that Outlay raises on purpose.
    """
    for kind in (BadInput, PolicyInvalid, Rejected, BooksUnavailable, SchemaMismatch, CallRefused):
        assert kind.__mro__[1] is OutlayError


def test_importing_the_errors_is_light() -> None:
    """
    `outlay.errors` loads neither SQLAlchemy nor pydantic.
    """
    code = "import sys, outlay.errors; print('sqlalchemy' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
