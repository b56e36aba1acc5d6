"""
Stored models: what they say of a prompt, when they say nothing, and which texts are refused.
"""

import json
from math import exp, log
from typing import Any

import pytest

from router.learned import CLASS_MEASURES, LearnedModel
from router.learned_read import NODES_MAX, LearnedError, read_model, version_of
from router.prompt_shape import HEAD_CHARS, PLAIN, SHAPE, TAIL_CHARS, excerpt, shape, terms

PROMPT = "Which is a planet?\nA. Mars\nB. Moon\nAnswer:"


def table(**changed: Any) -> dict[str, Any]:
    """A model whose every part says something simple."""
    measures = [[0.0, 0.0, 0.0, 0.0]] * PLAIN
    return {
        "format": 1,
        "shape": list(SHAPE),
        "base": [0.5, 0.6],
        "classes": {"quiz": [0.4, 0.9, 30, 0.0, 0.0], "rare": [0.5, 0.6, 3, 0.0, 0.0]},
        "blend": [0.0, 1.0, 0.0, 0.0],
        "guard": {
            "class_count_min": 10,
            "coverage_min": 0.0,
            "shape_low": [-1e9] * len(SHAPE),
            "shape_high": [1e9] * len(SHAPE),
            "outside_max": 0,
        },
        "words": {"bias": [0.0, 0.0], "terms": {"Mars": [2.0, 0.0, 1.5]}, "shape": measures},
        "trees": [[[len(SHAPE), 0.45, 1, 2], [0.75], [0.5]], [[-0.25]]],
        **changed,
    }


def model(**changed: Any) -> LearnedModel:
    """That model, read."""
    return read_model(json.dumps(table(**changed)))


def test_the_table_says_the_gain_of_the_class() -> None:
    """P(large right) - P(small right); a class that is not in it has the mean of all."""
    assert model().gain(PROMPT, "quiz") == pytest.approx(0.5)
    assert model().gain(PROMPT, None) == pytest.approx(0.1)


def test_words_say_the_difference_of_two_shares() -> None:
    """The only known word, a vector of length 1, weighs 1.5 for the large tier and 0 for the small."""
    found = model(blend=[0.0, 0.0, 1.0, 0.0]).gain(PROMPT, "quiz")
    assert found == pytest.approx(1 / (1 + exp(-1.5)) - 0.5)


def test_a_tree_goes_left_up_to_its_threshold() -> None:
    """The split is on the small tier's share in the class: 0.4 goes left to 0.75, 0.5 goes right."""
    trees = model(blend=[0.0, 0.0, 0.0, 1.0])
    assert trees.gain(PROMPT, "quiz") == pytest.approx(0.75 - 0.25)
    assert trees.gain(PROMPT, None) == pytest.approx(0.5 - 0.25)


def test_a_gain_stays_a_difference_of_shares() -> None:
    """Whatever the weights sum up to, it is between -1 and 1."""
    assert model(blend=[0.0, 1e6, 0.0, 0.0]).gain(PROMPT, "quiz") == 1.0


@pytest.mark.parametrize(
    ("task", "guard", "why"),
    [
        ("essay", {}, "'essay' has 0 of the 10 examples"),
        (None, {}, "None has 0 of the 10 examples"),
        ("rare", {}, "'rare' has 3 of the 10 examples"),
        ("quiz", {"coverage_min": 0.5}, "knows 8% of the words, under 50%"),
        ("quiz", {"shape_high": [0.0] * len(SHAPE), "outside_max": 2}, "measures of the prompt outside"),
    ],
    ids=["unknown class", "no class", "rare class", "foreign words", "foreign shape"],
)
def test_foreign_traffic_gets_no_gain(task: str | None, guard: dict[str, Any], why: str) -> None:
    """A model says where it does not know, so that nothing is downgraded on its word."""
    scored = model(guard={**table()["guard"], **guard}).score(PROMPT, task)
    assert scored.gain is None
    assert why in scored.why


def test_familiar_traffic_gets_its_gain() -> None:
    """The same number as `gain`, and nothing to explain."""
    scored = model().score(PROMPT, "quiz")
    assert (scored.gain, scored.why) == (model().gain(PROMPT, "quiz"), "")


def test_the_risk_is_that_only_the_large_tier_is_right() -> None:
    """A gain of 0.5, plus the share 0.4 x (1 - 0.9) of the class where only the small one is; 0 to 1."""
    assert model().score(PROMPT, "quiz").risk == pytest.approx(0.5 + 0.4 * 0.1)
    assert model().score(PROMPT, "essay").risk is None
    assert model(blend=[-1.0, 0.0, 0.0, 0.0]).score(PROMPT, "quiz").risk == 0.0
    assert model(blend=[1.0, 0.0, 0.0, 0.0]).score(PROMPT, "quiz").risk == 1.0


NAN, MANY = float("nan"), [[0.1]] * (NODES_MAX + 1)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"format": 2}, "format"),
        ({"format": True}, "format"),
        ({"shape": ["length"]}, "shape"),
        ({"more": 1}, "text"),
        ({"base": [0.5]}, "base"),
        ({"base": [0.5, "0.6"]}, "base"),
        ({"base": [0.5, NAN]}, "base"),
        ({"base": [0.5, 10**400]}, "base"),
        ({"base": [0.5, True]}, "base"),
        ({"classes": []}, "classes"),
        ({"classes": {"quiz": [0.4, 1.2, 30, 0.0, 0.0]}}, "classes.quiz"),
        ({"classes": {"quiz": [0.4, 0.9, 1.5, 0.0, 0.0]}}, "classes.quiz"),
        ({"classes": {"quiz": [0.4, 0.9]}}, "classes.quiz"),
        ({"classes": {"q" * 301: [0.4, 0.9, 1, 0.0, 0.0]}}, "classes"),
        ({"blend": [1.0] * 5}, "blend"),
        ({"guard": {}}, "guard"),
        ({"words": {"bias": [0, 0], "terms": {"a": [1.0]}, "shape": []}}, "words.terms.a"),
        ({"words": {"bias": [0, 0], "terms": {}, "shape": []}}, "words.shape"),
        ({"trees": [[]]}, "trees[0]"),
        ({"trees": [[[0, 0.5, 0, 0]]]}, "trees[0][0]"),
        ({"trees": [[[0, 0.5, 1, 2], [0.1]]]}, "trees[0][0]"),
        ({"trees": [[[0, 0.5, 1.5, 1], [0.1]]]}, "trees[0][0]"),
        ({"trees": [[[-1, 0.5, 1, 1], [0.1]]]}, "trees[0][0]"),
        ({"trees": [[[len(SHAPE) + len(CLASS_MEASURES), 0.5, 1, 1], [0.1]]]}, "trees[0][0]"),
        ({"trees": [MANY]}, "trees[0]"),
        ({"trees": {"weak": []}}, "trees"),
    ],
)
def test_what_is_no_model_is_refused_with_the_field_named(changed: dict[str, Any], field: str) -> None:
    """Sizes, types and ranges are checked before anything is used."""
    with pytest.raises(LearnedError) as refused:
        model(**changed)
    assert str(refused.value).startswith(f"{field}:")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "cos\nsystem\n(S'id'\ntR.", "[" * 100_000])
def test_what_is_not_json_is_refused(text: str) -> None:
    """A pickle is no model either: nothing in a text is ever run."""
    with pytest.raises(LearnedError, match=r"^text:"):
        read_model(text)


def test_a_model_is_named_by_its_text() -> None:
    """One changed number is another version."""
    assert model().version == version_of(json.dumps(table()))
    assert model().version != model(base=[0.5, 0.61]).version


def test_a_long_prompt_is_read_at_both_ends() -> None:
    """What scoring takes has a bound."""
    long = "a" * 50_000 + "b" * 50_000
    assert len(excerpt(long)) == HEAD_CHARS + TAIL_CHARS + 1
    assert excerpt("short") == "short"


@pytest.mark.parametrize("text", ["", " ", "\n\n", "A. ", "?", "日本語\x00", "A. x\n" * 200, "é" * 6_000])
def test_every_text_has_a_shape(text: str) -> None:
    """As many numbers as there are names, all of them finite."""
    found = shape(text)
    assert len(found) == len(SHAPE)
    assert all(abs(value) < 1e6 for value in found)


def test_choices_are_measured_by_what_they_share() -> None:
    """Three choices begin alike and two end alike; numbers count by their size, in the list and before it."""
    text = "Of 99 trains, how many?\nA. at 3 today\nB. at 2.5 today\nC. at 0 once, twice.\nAnswer:"
    found = dict(zip(SHAPE, shape(text), strict=True))
    assert found["items_begin_alike"] == pytest.approx(2 / 3)
    assert found["items_end_alike"] == pytest.approx(1 / 3)
    assert found["items_distinct"] == pytest.approx(4 / 7)
    assert found["items_commas"] == 0.0
    assert found["items_ended"] == pytest.approx(1 / 3)
    assert found["items_largest"] == found["items_range"] == pytest.approx(log(4))
    assert found["body_largest"] == pytest.approx(log(100))
    assert (found["body_distinct_numbers"], found["decimals"]) == (1.0, 1.0)


def test_terms_are_words_signs_and_neighbours() -> None:
    """Capitals are kept: they tell names from words."""
    assert terms("Is 2 > 1?") == ["Is", "2", ">", "1", "?", "Is 2", "2 >", "> 1", "1 ?"]
