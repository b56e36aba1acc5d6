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
    from outlay.api import Hold, Outlay, open  # noqa: A004 - `outlay.open` is the name
    from outlay.api_async import AsyncHold, AsyncOutlay, open_async
    from outlay.errors import (
        BadInput,
        BooksUnavailable,
        CallRefused,
        ClockAhead,
        OutlayError,
        PolicyInvalid,
        Rejected,
        SchemaMismatch,
    )
    from outlay.open_holds import Decision
    from outlay.sdk_middleware import middleware
    from outlay.strategies.cascade import Cascade
    from outlay.strategies.speculative import Speculative
    from outlay.strategies.steps import RunAttempt, RunResult, Verdict
    from outlay.strategies.verify import JsonSchema, Judge, Length, Matches, StatedConfidence
    from outlay.strategies.workflow import Step, StepResult, Tool, Workflow, WorkflowResult

    __version__: str

__all__ = [
    "AsyncHold",
    "AsyncOutlay",
    "BadInput",
    "BooksUnavailable",
    "CallRefused",
    "Cascade",
    "ClockAhead",
    "Decision",
    "Hold",
    "JsonSchema",
    "Judge",
    "Length",
    "Matches",
    "Outlay",
    "OutlayError",
    "PolicyInvalid",
    "Rejected",
    "RunAttempt",
    "RunResult",
    "SchemaMismatch",
    "Speculative",
    "StatedConfidence",
    "Step",
    "StepResult",
    "Tool",
    "Verdict",
    "Workflow",
    "WorkflowResult",
    "__version__",
    "middleware",
    "open",
    "open_async",
]

_HOMES = {
    "AsyncHold": "outlay.api_async",
    "AsyncOutlay": "outlay.api_async",
    "BadInput": "outlay.errors",
    "BooksUnavailable": "outlay.errors",
    "CallRefused": "outlay.errors",
    "Cascade": "outlay.strategies.cascade",
    "ClockAhead": "outlay.errors",
    "Decision": "outlay.open_holds",
    "Hold": "outlay.api",
    "JsonSchema": "outlay.strategies.verify",
    "Judge": "outlay.strategies.verify",
    "Length": "outlay.strategies.verify",
    "Matches": "outlay.strategies.verify",
    "Outlay": "outlay.api",
    "OutlayError": "outlay.errors",
    "PolicyInvalid": "outlay.errors",
    "Rejected": "outlay.errors",
    "RunAttempt": "outlay.strategies.steps",
    "RunResult": "outlay.strategies.steps",
    "SchemaMismatch": "outlay.errors",
    "Speculative": "outlay.strategies.speculative",
    "StatedConfidence": "outlay.strategies.verify",
    "Step": "outlay.strategies.workflow",
    "StepResult": "outlay.strategies.workflow",
    "Tool": "outlay.strategies.workflow",
    "Verdict": "outlay.strategies.steps",
    "Workflow": "outlay.strategies.workflow",
    "WorkflowResult": "outlay.strategies.workflow",
    "middleware": "outlay.sdk_middleware",
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
