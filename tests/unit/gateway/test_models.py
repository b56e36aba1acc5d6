"""
The models that a gateway offers: those of the policy, in Anthropic's shape.
"""

from typing import Any

import anthropic.types
import pytest

from gateway.errors import ApiError
from gateway.models import _page, describe
from router.policy import default_policy_text, load_policy

MODELS = describe(load_policy(default_policy_text()))


def test_models_are_those_of_the_policy_and_the_names_of_its_tiers() -> None:
    """Every listed id can be asked for, none twice."""
    policy = load_policy(default_policy_text())
    ids = [model["id"] for model in MODELS]
    assert ids == [*policy.model_ranks, *policy.asked_names]
    assert len(ids) == len(set(ids))


def test_models_have_the_fields_of_the_sdk() -> None:
    """The SDK reads each of them without a missing field (of capabilities only what the facts know)."""
    for model in MODELS:
        info = anthropic.types.ModelInfo.model_validate({**model, "capabilities": None}, strict=False)
        assert info.type == "model"
        assert info.max_tokens is not None
        assert info.max_tokens > 0


def test_pages_follow_the_cursor_in_both_directions() -> None:
    """after_id and before_id walk the whole list without gaps."""
    ids = [model["id"] for model in MODELS]
    seen: list[str] = []
    query: dict[str, str] = {"limit": "3"}
    more = True
    while more:
        page, more = _page(MODELS, query)
        seen += [model["id"] for model in page]
        query["after_id"] = seen[-1]
    assert seen == ids
    page, more = _page(MODELS, {"limit": "2", "before_id": ids[3]})
    assert [model["id"] for model in page] == ids[1:3]
    assert more


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "-1"}, {"limit": "x"}, {"after_id": "nope"}]
)
def test_a_wrong_page_is_400(query: dict[str, Any]) -> None:
    """Limits out of range and unknown cursors are named."""
    with pytest.raises(ApiError) as caught:
        _page(MODELS, query)
    assert caught.value.details["field"] in query
