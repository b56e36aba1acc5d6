"""
Values that strategies and verifiers are made with: what means nothing is refused before any call is paid for.
"""

import math
from typing import Any, Final

from outlay.errors import BadInput

TIERS_MAX: Final = 5


def share(value: object, field: str) -> None:
    """
    See that a value is a part of 1, from 0 to 1.
    """
    if not _number(value) or not 0 <= value <= 1:  # type: ignore[operator]  # it is a number
        raise BadInput(field, value, "is no share", "Give a number from 0 to 1.")


def text(value: object, field: str, fix: str) -> None:
    """
    See that a value is text.
    """
    if not isinstance(value, str):
        raise BadInput(field, value, "is no text", fix)


def whole(value: object, field: str, least: int) -> None:
    """
    See that a value is a whole number, and not too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadInput(field, value, "is no such number", f"Give a whole number, at least {least}.")


def duration(value: object, field: str) -> None:
    """
    See that a value is a number of seconds.
    """
    if not _number(value) or not 0 <= value < math.inf:  # type: ignore[operator]  # it is a number
        raise BadInput(field, value, "is no duration", "Give seconds, 0 or more.")


def sequence(value: object, kinds: tuple[type, ...], field: str, fix: str) -> None:
    """
    See that a value lists nothing but such things.
    """
    if not isinstance(value, tuple | list) or not all(isinstance(one, kinds) for one in value):
        raise BadInput(field, value, "is no such list", fix)


def name(value: object) -> None:
    """
    See that a value can name something.
    """
    if not isinstance(value, str) or not value:
        raise BadInput("name", value, "is no name", "Give text that is not empty.")


def tiers(value: Any) -> None:
    """
    See that there are tiers, and not too many.

    Raises:
        BadInput: There are none, too many, one twice, or what is no name.
    """
    fine = isinstance(value, tuple) and all(isinstance(one, str) and one for one in value)
    if not fine or not 0 < len(value) <= TIERS_MAX or len(set(value)) < len(value):
        raise BadInput("tiers", value, "are no tiers to try", f"Name 1 to {TIERS_MAX} tiers, each once.")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
