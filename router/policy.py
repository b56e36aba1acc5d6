"""
The policy file: read, checked as a whole, described as JSON Schema, and reviewed for likely mistakes.
"""

import tomllib
from importlib.resources import files
from typing import Any

from pydantic import ValidationError

from router.lint import lint
from router.policy_check import cross_problems
from router.policy_model import Policy
from router.problems import PolicyError, Problem, from_pydantic

__all__ = ["Policy", "PolicyError", "Problem", "default_policy_text", "lint", "load_policy", "policy_schema"]

_MAX_BYTES = 1_000_000


def load_policy(toml_text: str) -> Policy:
    """
    Read a policy file.

    Raises:
        PolicyError: With every problem of the file, not only the first.
    """
    raw = _parse(toml_text)
    problems: list[Problem] = []
    policy: Policy | None = None
    try:
        policy = Policy.model_validate(raw)
    except ValidationError as error:
        problems.extend(from_pydantic(error))
    told = {problem.field for problem in problems}
    problems.extend(problem for problem in cross_problems(raw) if problem.field not in told)
    if policy is None or problems:
        raise PolicyError(problems)
    return policy


def _parse(toml_text: str) -> dict[str, Any]:
    if len(toml_text) > _MAX_BYTES:
        raise PolicyError(
            [Problem("policy", f"{len(toml_text)} characters", "too long", "Keep it under 1 MB.")]
        )
    try:
        return tomllib.loads(toml_text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise PolicyError([Problem("policy", "", f"not TOML: {why}", "Correct the syntax there.")]) from error


def default_policy_text() -> str:
    """
    Give the policy that holds until the operator applies one of their own.
    """
    return files("router").joinpath("data/default_policy.toml").read_text(encoding="utf-8")


def policy_schema() -> dict[str, Any]:
    """
    Describe the policy file as JSON Schema, for editors and for the API.
    """
    schema = Policy.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Outlay policy"}
