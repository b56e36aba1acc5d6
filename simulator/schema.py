"""
Values that fit a JSON schema, for tool inputs and structured output; and what schemas the API takes.

Covers what the API's structured output covers: types, enum, const, anyOf, local $ref, object properties,
arrays. Keywords beyond that are ignored.
"""

from collections.abc import Mapping
from typing import Any

from simulator.errors import invalid

_DEPTH_MAX = 12
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
        for key, value in (schema.get(name) or {}).items():
            check_schema(value, f"{where}.{name}.{key}", depth + 1)
    for at, value in enumerate(schema.get("anyOf") or ()):
        check_schema(value, f"{where}.anyOf.{at}", depth + 1)
    if "items" in schema:
        check_schema(schema["items"], f"{where}.items", depth + 1)


def example(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """
    Return a value that fits *schema*: required and optional properties all present, arrays of one item.
    """
    root = schema if root is None else root
    if depth > _DEPTH_MAX:
        return None
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if "$ref" in schema:
        return example(_resolve(schema["$ref"], root), root, depth + 1)
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            return example(schema[name][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        required = schema.get("required") or ()
        near = depth <= _DEPTH_MAX // 2
        return {
            key: example(value, root, depth + 1)
            for key, value in properties.items()
            if near or key in required
        }
    if kind == "array":
        size = schema.get("minItems", 1)
        return [example(schema.get("items") or {}, root, depth + 1) for _ in range(min(size, 10))]
    if kind == "string":
        return _FORMATS.get(schema.get("format", ""), _SCALARS["string"])
    return _SCALARS.get(kind)


def _resolve(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
