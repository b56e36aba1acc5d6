"""
Outlay: a budget-aware cost controller for LLM applications.

    import outlay

    with outlay.open("sqlite:///books.db") as books:
        books.create_tenant("acme", credit="20", daily_budget="5")
        client = anthropic.Anthropic(middleware=[outlay.middleware(books, tenant="acme")])

Importing this package loads nothing else; each name is loaded at its first use.
"""

from typing import TYPE_CHECKING, Any

from outlay.siblings import check_siblings

if TYPE_CHECKING:
    from outlay.api import Outlay, open  # noqa: A004 - `outlay.open` is the name
    from outlay.api_async import AsyncOutlay, open_async
    from outlay.errors import (
        BadInput,
        BooksUnavailable,
        CallRefused,
        OutlayError,
        PolicyInvalid,
        Rejected,
        SchemaMismatch,
    )
    from outlay.open_holds import AsyncHold, Decision, Hold
    from outlay.provider import middleware

    __version__: str

__all__ = [
    "AsyncHold",
    "AsyncOutlay",
    "BadInput",
    "BooksUnavailable",
    "CallRefused",
    "Decision",
    "Hold",
    "Outlay",
    "OutlayError",
    "PolicyInvalid",
    "Rejected",
    "SchemaMismatch",
    "__version__",
    "middleware",
    "open",
    "open_async",
]

_HOMES = {
    "AsyncHold": "outlay.open_holds",
    "AsyncOutlay": "outlay.api_async",
    "BadInput": "outlay.errors",
    "BooksUnavailable": "outlay.errors",
    "CallRefused": "outlay.errors",
    "Decision": "outlay.open_holds",
    "Hold": "outlay.open_holds",
    "Outlay": "outlay.api",
    "OutlayError": "outlay.errors",
    "PolicyInvalid": "outlay.errors",
    "Rejected": "outlay.errors",
    "SchemaMismatch": "outlay.errors",
    "middleware": "outlay.provider",
    "open": "outlay.api",
    "open_async": "outlay.api_async",
}

check_siblings(__file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("outlay")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
