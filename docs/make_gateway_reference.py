"""
Writes the tables of docs/reference/gateway.md that come from code: `python docs/make_gateway_reference.py`.

A table stands between two marks. A test fails while the page differs from what this script would write.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.control import holds, operations
from gateway.control.bodies import Body
from outlay import refusals

sys.path.insert(0, str(Path(__file__).parent))
from order_examples import EXAMPLES

TARGET = Path(__file__).parent / "reference" / "gateway.md"


def text(before: str) -> str:
    """
    Put the tables into a page.
    """
    tables = {"refusals": refusal_rows(), "endpoints": endpoint_rows(), "orders": order_rows()}
    for name, rows in tables.items():
        start, end = f"<!-- {name}: made by docs/make_gateway_reference.py -->\n", f"<!-- end of {name} -->"
        head, _, rest = before.partition(start)
        _, found, tail = rest.partition(end)
        assert found, f"the page has no marks for {name}"
        before = head + start + "\n" + "\n".join(rows) + "\n\n" + end + tail
    return before


def refusal_rows() -> list[str]:
    """
    List every code that refuses a call, with its status, type and whether it may be tried again.
    """
    rows = [
        f"| `{s.code}` | {s.status} | `{s.error_type}` | {'yes' if s.retry else 'no'} |"
        for s in refusals.SHAPES
    ]
    return ["| code | status | error type | retry |", "|---|---|---|---|", *dict.fromkeys(rows)]


_OTHERS = {
    "own_or_viewer": "viewer, or the tenant's own key",
    "own_decision_or_operator": "operator, or the tenant's own key",
    "own_decision_or_viewer": "viewer, or the tenant's own key",
    "tenant_only": "tenant's key",
}


def endpoint_rows() -> list[str]:
    """
    List the control plane's endpoints, and who may use them.
    """
    return ["| request | what it does | who |", "|---|---|---|", *(_endpoint(route) for route in _routes())]


def order_rows() -> list[str]:
    """
    List the orders that have a body: its fields, an example, and the command that does the same.
    """
    bodies = order_bodies()
    rows = [f"| `{request}` | {_fields(bodies[request])} | `{body}` | `{command}` |"
            for request, (body, command) in EXAMPLES.items()]  # fmt: skip
    return [
        "| request | fields, the required ones bold | example | the same command |",
        "|---|---|---|---|",
        *rows,
    ]


def order_bodies() -> dict[str, type[Body]]:
    """
    Return the body of each order that has one, by its request.
    """
    found = {
        f"{' '.join(route.methods)} {route.path}": route.body_field.field_info.annotation
        for route in _routes()
        if route.body_field is not None
    }
    return {name: kind for name, kind in found.items() if inspect.isclass(kind) and issubclass(kind, Body)}


def _routes() -> Iterator[Any]:
    house: Any = None  # routes keep it for later; none is called here
    for router in (*operations.routes(house), holds.routes(house)):
        yield from router.routes


def _fields(body: type[Body]) -> str:
    named = body.model_fields.items()
    return " ".join(f"**`{name}`**" if field.is_required() else f"`{name}`" for name, field in named)


def _endpoint(route: Any) -> str:
    doc = inspect.getdoc(route.endpoint) or ""
    who = next(_who(dependency.call) for dependency in route.dependant.dependencies)
    return f"| `{' '.join(sorted(route.methods))} {route.path}` | {' '.join(doc.split())} | {who} |"


def _who(check: Any) -> str:
    if check.__qualname__.startswith("at_least"):
        return str(inspect.getclosurevars(check).nonlocals["role"])
    return _OTHERS[str(check.__name__)]


if __name__ == "__main__":
    TARGET.write_text(text(TARGET.read_text("utf-8")), encoding="utf-8")
