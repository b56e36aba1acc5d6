"""
Values that fit a JSON schema, for tool inputs and structured output; and what schemas the API takes.

Covers what the API's structured output covers: types, enum, const, anyOf, local $ref, object properties,
arrays. Keywords beyond that are ignored.
"""

from collections.abc import Mapping
from typing import Any

from simulator.errors import invalid

_DEPTH_MAX = 12
_ITEMS_MAX = 10
_SCALARS: Mapping[str, object] = {
    "string": "simulated",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}
_FORMATS = {
    "date": "2026-11-01",
    "date-time": "2026-11-01T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def check_schema(schema: Any, where: str, depth: int = 0) -> None:
    """
    Check that every object of a structured output's schema is closed.

    Raises:
        ApiError: 400, naming the place.
    """
    if not isinstance(schema, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    if depth > _DEPTH_MAX:
        raise invalid(f"{where}: the schema is nested too deeply")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise invalid(f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false")
    for name in ("properties", "$defs", "definitions"):
        for key, value in _mapping(schema.get(name)).items():
            check_schema(value, f"{where}.{name}.{key}", depth + 1)
    for at, value in enumerate(_list(schema.get("anyOf"))):
        check_schema(value, f"{where}.anyOf.{at}", depth + 1)
    if "items" in schema:
        check_schema(schema["items"], f"{where}.items", depth + 1)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def example(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """
    Return a value that fits *schema*: required and optional properties all present, arrays of one item.

    What is no schema fits a text: tools may be described in any way.
    """
    schema = _mapping(schema)
    root = schema if root is None else root
    if depth > _DEPTH_MAX:
        return None
    if "const" in schema:
        return schema["const"]
    if enum := _list(schema.get("enum")):
        return enum[0]
    if isinstance(schema.get("$ref"), str):
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if choices := _list(schema.get(name)):
            return example(choices[0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        required = _list(schema.get("required"))
        near = depth <= _DEPTH_MAX // 2
        wanted = {
            key: value for key, value in _mapping(schema.get("properties")).items() if near or key in required
        }
        return {key: example(value, root, depth + 1) for key, value in wanted.items()}
    if kind == "array":
        least = schema.get("minItems", 1)
        size = least if type(least) is int else 1
        return [example(schema.get("items"), root, depth + 1) for _ in range(min(size, _ITEMS_MAX))]
    if kind == "string":
        return _FORMATS.get(str(schema.get("format")), _SCALARS["string"])
    return _SCALARS.get(str(kind))


def _resolve(reference: str, root: Any) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
