"""
JSON schemas: whether one can be used at all, and whether a value fits it.

References are looked up in the schema itself and among the published metaschemas; nothing is ever fetched.
`JsonSchema` loads this when it is made, as few need it.
"""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import validators  # type: ignore[import-untyped]  # no stubs
from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]  # no stubs
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # no stubs
from referencing import Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from outlay.errors import BadInput

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_schema(schema: object) -> None:
    """
    See that answers can be judged by a schema.

    Raises:
        BadInput: It is no JSON object, no schema of its dialect, or refers to what it does not hold.
    """
    problem = _problem(schema)
    if problem:
        fix = "Give a JSON schema as a mapping, whole in itself: references are looked up, never fetched."
        raise BadInput("schema", None, problem, fix)


def misfit(schema: Mapping[str, Any], value: object) -> str:
    """
    Say where and by which rule a value does not fit; empty where it does.
    """
    kind = validators.validator_for(schema)
    try:
        found = next(iter(kind(schema, registry=REGISTRY).iter_errors(value)), None)
    except Unresolvable:
        return "the schema cannot be followed: a reference leads nowhere"
    except RecursionError:
        return "the schema cannot be followed: it refers to itself without end"
    # never the message: it quotes the answer, which is not kept
    return "" if found is None else f"{found.json_path} fails {found.validator}"


def _problem(schema: object) -> str:
    if not isinstance(schema, Mapping):
        return "is no mapping"
    try:
        whole = json.loads(json.dumps(schema))
    except (TypeError, ValueError, RecursionError):
        return "is no JSON"
    dialect = whole.get("$schema")
    kind = validators.validator_for(whole, default=None) if isinstance(dialect, str | None) else None
    if kind is None and dialect is not None:
        return "names an unknown dialect in $schema"
    try:
        (kind or validators.validator_for(whole)).check_schema(whole)
    except SchemaError as error:
        return f"is no schema: {error.json_path} fails {error.validator}"
    return _dangling(whole)


def _dangling(schema: Mapping[str, Any]) -> str:
    """Name a reference that leads nowhere."""
    root = Resource.from_contents(schema, default_specification=DRAFT202012)
    waiting = [(root, REGISTRY.resolver_with_root(root))]
    while waiting:
        part, resolver = waiting.pop()
        contents = part.contents
        named = [contents.get(key) for key in _REFERENCES] if isinstance(contents, Mapping) else []
        for reference in (one for one in named if isinstance(one, str)):
            try:
                resolver.lookup(reference)
            except (Unresolvable, ValueError):
                return f"refers to {reference[:100]}, which it does not hold"
        waiting += [(sub, resolver.in_subresource(sub)) for sub in part.subresources()]
    return ""
