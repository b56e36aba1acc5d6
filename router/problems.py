"""
Problems of a policy file, told so that their reader can mend them: where, what, why, and how.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

from router.policy_model import fields_at

_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """
    One thing that is wrong with a policy.

    Args:
        field: Path of the field, as `degradation.steps[1].below`.
        value: What stands there, shortened; empty where nothing does, or no one value is to blame.
    """

    field: str
    value: str
    message: str
    fix: str

    @property
    def text(self) -> str:
        """
        Write it on one line.
        """
        found = f" (found: {self.value})" if self.value else ""
        return f"{self.field}: {self.message}{found}. {self.fix}"


class PolicyError(ValueError):
    """
    A policy that cannot be used, with all its problems at once.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        """
        Keep the problems, and name each in the text of the error.
        """
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.text for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """
    Say which known word was probably meant, or list them all.
    """
    names = list(known)
    close = get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "None is defined."


def dotted(path: Sequence[str | int]) -> str:
    """
    Write a path as people read it: `degradation.steps[1].below`, `routing.tasks."crm/*"`.
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (part if plain else f'"{part}"')
    return text or "policy"


def shown(value: object) -> str:
    """
    Show a value of the file, shortened.
    """
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def from_pydantic(error: ValidationError) -> tuple[Problem, ...]:
    """
    Turn what pydantic found into problems; one per field. What has wrong members is not called too short
    without them.
    """
    found: dict[str, Problem] = {}
    items = error.errors(include_url=False)
    around = {item["loc"][:depth] for item in items for depth in range(len(item["loc"]))}
    for item in items:
        if item["type"] == "too_short" and item["loc"] in around:
            continue
        path = tuple(part for part in item["loc"] if part != "[key]")
        problem = _problem(path, dict(item))
        found.setdefault(problem.field, problem)
    return tuple(found.values())


def _problem(path: tuple[str | int, ...], item: Mapping[str, Any]) -> Problem:
    kind, value = item["type"], item.get("input")
    where = dotted(path)
    if kind == "extra_forbidden":
        fix = did_you_mean(str(path[-1]), fields_at(path[:-1]))
        return Problem(where, shown(value), "unknown field", fix)
    if kind == "missing":
        return Problem(where, "", "this field is required", f"Add {path[-1]!r}.")
    if kind in ("enum", "literal_error"):
        return _not_a_choice(where, value, item["ctx"]["expected"])
    fix = _FIXES.get(kind, "")
    if kind == "money_text":
        fix = f"Write {_as_money(value)} in quotes."
    if item.get("ctx") in _SHARE_BOUNDS:
        fix = "Write a share, such as 0.5 for one half."
    return Problem(
        where, shown(value), item["msg"][:1].lower() + item["msg"][1:], fix or "Correct the value."
    )


def _not_a_choice(where: str, value: object, expected: str) -> Problem:
    choices = [part.strip("' ") for part in expected.replace(" or ", ",").split(",")]
    return Problem(where, shown(value), f"not one of {', '.join(choices)}", did_you_mean(str(value), choices))


def _as_money(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9
    return f'"{value:.2f}"' if number else '"5.00"'


_SHARE_BOUNDS: Final = ({"gt": 0.0}, {"le": 1.0}, {"lt": 1.0})
"""Of numbers that are shares; those that are counted begin at 1, or have a larger bound."""

_FIXES: Final[Mapping[str, str]] = {
    "money_value": 'Write dollars as decimal text, for example "5.00".',
    "name": 'Choose a name such as "large" or "eu-only".',
    "task_name": 'Write "crm/*" for a group of tasks, or the whole name.',
    "role_name": "Write the whole name.",
    "env_name": 'Write the name only, for example "ANTHROPIC_API_KEY"; never the key itself.',
    "url_value": 'Write an address such as "https://api.anthropic.com".',
    "string_type": "Write text in quotes.",
    "int_type": "Write a whole number, without quotes.",
    "int_from_float": "Write a whole number.",
    "float_type": "Write a number, without quotes.",
    "tuple_type": 'Write a list in brackets, for example ["critical"].',
    "dict_type": "Write a table.",
    "model_type": "Write a table.",
    "model_attributes_type": "Write a table.",
    "too_short": "Name at least one.",
    "finite_number": "Write a finite number.",
}
