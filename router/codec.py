"""
The router's values as JSON, so that a stored decision can be explained, and replayed to the same choice.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pricing.table import PriceTable
from router.choose import choose
from router.types import Choice, Headroom, Known, Profile, Refusal

if TYPE_CHECKING:
    from router.policy_model import Policy

T = TypeVar("T")


class CodecError(ValueError):
    """
    Text that is not the JSON of the value it should be.
    """


@dataclass(frozen=True, slots=True)
class Inputs:
    """
    Everything that `choose` decides by, besides the policy and the prices, which have versions of their own.
    """

    profile: Profile
    headroom: Headroom
    level: int
    unhealthy: Mapping[str, int]
    now_us: int
    known: Known = field(default_factory=Known)


def replay(inputs: Inputs, policy: "Policy", prices: PriceTable) -> Choice | Refusal:
    """
    Make a stored decision again.
    """
    return choose(
        inputs.profile,
        inputs.headroom,
        policy,
        prices,
        level=inputs.level,
        unhealthy=inputs.unhealthy,
        now_us=inputs.now_us,
        known=inputs.known,
    )


def to_json(value: object) -> str:
    """
    Write a value of the router as compact JSON with sorted keys; equal values give equal text.
    """
    return json.dumps(value, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def from_json(kind: type[T], text: str) -> T:
    """
    Read a value of the router back.

    Raises:
        CodecError: the text is not the JSON of such a value.
    """
    try:
        value: T = _reader_of(kind)(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CodecError(f"not a stored {kind.__name__}: {error}") from error
    return value


def _plain(value: object) -> object:
    """Turn what JSON does not know into what it does; the encoder goes on from there."""
    if is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _names(type(value))}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


@cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _reader_of(kind: Any) -> Callable[[Any], Any]:
    return _reader(kind)


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Build the function that reads values of a type; each type is looked at once."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _union_reader(args)
    if origin is tuple:
        return _tuple_reader(args)
    if origin is frozenset:
        item = _reader(args[0])
        return lambda raw: frozenset(item(part) for part in raw)
    if origin in (Mapping, dict):
        value = _reader(args[1])
        return lambda raw: {key: value(part) for key, part in raw.items()}
    if is_dataclass(kind):
        return _dataclass_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return _scalar_reader(kind)


def _scalar_reader(kind: type) -> Callable[[Any], Any]:
    def read(raw: Any) -> Any:
        if type(raw) is kind:
            return raw
        if kind is float and type(raw) is int:
            return float(raw)
        raise TypeError(f"{raw!r} is not {kind.__name__}")

    return read


def _union_reader(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    inner = [arg for arg in args if arg is not type(None)]
    if all(arg in (int, float, str, bool) for arg in inner):
        return lambda raw: raw
    assert len(inner) == 1, "the router's values hold no other unions"
    read = _reader(inner[0])
    return lambda raw: None if raw is None else read(raw)


def _tuple_reader(args: tuple[Any, ...]) -> Callable[[Any], Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        item = _reader(args[0])
        return lambda raw: tuple(item(part) for part in raw)
    readers = [_reader(arg) for arg in args]
    return lambda raw: tuple(read(part) for read, part in zip(readers, raw, strict=True))


def _dataclass_reader(kind: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(kind)
    readers = {one.name: hints[one.name] for one in fields(kind)}

    def read(raw: Any) -> Any:
        return kind(**{name: _reader(readers[name])(part) for name, part in raw.items()})

    return read
