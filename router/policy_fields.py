"""
Types of single fields of the policy: what a name, an amount of money or an address must look like.
"""

import re
from typing import Annotated, ClassVar, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from pricing.money import MoneyError, parse_usd
from router.hints import canonical
from router.types import Priority

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TASK: Final = re.compile(r"[^\s*]{0,200}\*?")
_ROLE: Final = re.compile(r"[^\s*]{1,200}")
_ENV: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HOUR_S: Final = 3_600
DAY_S: Final = 86_400


class Table(BaseModel):
    """
    A table of the policy: frozen, strict about types, closed to unknown fields.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True
    )


def _money(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("money_text", "money is decimal text in quotes, never a bare number")
    try:
        parse_usd(value)
    except MoneyError as error:
        raise PydanticCustomError("money_value", "{why}", {"why": str(error)}) from error
    return value


def _matches(pattern: re.Pattern[str], kind: str, why: str) -> BeforeValidator:
    def check(value: object) -> object:
        if not isinstance(value, str) or not value or pattern.fullmatch(value) is None:
            raise PydanticCustomError(kind, "{why}", {"why": why})
        return canonical(value)

    return BeforeValidator(check)


def _url(value: object) -> object:
    if not _is_address(value):
        raise PydanticCustomError("url_value", "not an http or https address without user, query or fragment")
    return value


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not value.isprintable() or " " in value:
        return False
    try:
        parts = urlsplit(value)
        port_known = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = parts.username is None and not parts.query and not parts.fragment
    return port_known and plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def nanos(text: str | None) -> int | None:
    """
    Read an amount of the policy, None where there is none.
    """
    return None if text is None else parse_usd(text)


Usd = Annotated[
    str,
    BeforeValidator(_money),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9})?$", "examples": ["5.00"]}),
]
TierName = Annotated[
    str, _matches(_NAME, "name", "a name has letters, digits, '.', '_' and '-' only, at most 64")
]
Name = TierName
TaskName = Annotated[
    str, _matches(_TASK, "task_name", "at most 200 characters, no blanks, and '*' only as the last one")
]
RoleName = Annotated[str, _matches(_ROLE, "role_name", "at most 200 characters, no blanks and no '*'")]
EnvName = Annotated[str, _matches(_ENV, "env_name", "not the name of an environment variable")]
Url = Annotated[str, BeforeValidator(_url)]
Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Priorities = Annotated[tuple[Annotated[Priority, Field(strict=False)], ...], Field(strict=False)]
Names = Annotated[tuple[str, ...], Field(strict=False)]
