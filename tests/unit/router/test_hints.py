"""
Names in one normal form, wherever they enter.
"""

import unicodedata
from dataclasses import replace

import pytest

from router.hints import canonical
from router.policy import default_policy_text, load_policy
from router.types import Hints

NAME = "crm/ü"
NFD = unicodedata.normalize("NFD", NAME)


def test_hints_keep_names_in_the_normal_form_c() -> None:
    """Task, role, session and tags; a changed copy as well."""
    said = Hints(task=NFD, role=NFD, session=NFD, tags=((NFD, NFD),))
    assert said == Hints(task=NAME, role=NAME, session=NAME, tags=((NAME, NAME),))
    assert replace(Hints(), task=NFD).task == NAME


@pytest.mark.parametrize("name", ["", "crm/note", NAME, "Ü", "ﬁ"])
def test_other_names_stay_other_names(name: str) -> None:
    """Capitals and look-alikes are not taken for the same name."""
    assert canonical(name) == name


def test_a_policy_routes_a_task_in_either_form() -> None:
    """The table is kept in the form that calls are compared in."""
    policy = load_policy(default_policy_text() + f'\n[routing.tasks."{NFD}"]\ntier = "large"\n')
    assert policy.routing.route(NAME) is not None
