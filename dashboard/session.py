"""
What every page needs: the books, who is acting, and one way to carry out an order and show what came of it.
"""

import os
from collections.abc import Callable
from typing import Final, TypeVar

import streamlit as st

from outlay.errors import BadInput, BooksUnavailable, OutlayError, PolicyInvalid, Rejected, SchemaMismatch
from outlay.settings import Settings
from outlay.wiring import App, open_app

ACTOR_VARIABLE: Final = "OUTLAY_DASHBOARD_ACTOR"
"""Set by the server of the dashboard; pages that are run by anything else refuse to show the books."""

T = TypeVar("T")


@st.cache_resource(show_spinner=False)
def _opened(settings: Settings) -> App:
    return open_app(settings)


def books() -> App:
    """
    Return the books of this process, opened at the first use.
    """
    return _opened(Settings.from_env(os.environ))


def actor() -> str:
    """
    Return in whose name changes are recorded.
    """
    return os.environ[ACTOR_VARIABLE]


def is_guarded() -> bool:
    """
    Tell whether the page is served by the dashboard's own server, behind its gate.
    """
    return ACTOR_VARIABLE in os.environ


def attempt(order: Callable[[], T]) -> tuple[T | None, OutlayError | None]:
    """
    Carry out an order; return what came of it, or the error that its form should show.
    """
    try:
        return order(), None
    except OutlayError as error:
        return None, error


def wrong(*fields: Callable[[], object]) -> list[OutlayError]:
    """
    Read every field of a form, and return the error of each that cannot be read: all are told at once.
    """
    return [error for _, error in map(attempt, fields) if error is not None]


def show_error(error: OutlayError | None) -> None:
    """
    Show what is wrong and what to do about it; nothing where nothing is.
    """
    if error is not None:
        st.error(error_text(error), icon=":material/error:")


def error_text(error: OutlayError) -> str:
    """
    Say in one or two sentences what is wrong and what mends it.
    """
    if isinstance(error, BadInput):
        said = f"**{error.field}**: {error.message}"
        return f"{said}. {error.fix}" if error.fix else f"{said}."
    if isinstance(error, PolicyInvalid):
        return "  \n".join(f"**{p.field}**: {p.message}. {p.fix}" for p in error.problems)
    if isinstance(error, BooksUnavailable):
        return f"The books cannot be reached: {error}. Nothing was changed as far as is known; try again."
    if isinstance(error, SchemaMismatch | Rejected):
        return str(error)
    return str(error)
