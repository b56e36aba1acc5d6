"""The policy form changes what it shows and nothing else: comments, order and unknown tables survive."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.policy_edit import PolicyForm, StepForm, read, tiers, without_budget, write
from router.policy import default_policy_text, load_policy

TEXT = default_policy_text()


def test_an_unchanged_form_leaves_the_file_as_it_is() -> None:
    """Reading and writing back is the same file, byte for byte."""
    assert write(TEXT, read(TEXT)) == TEXT


def test_a_threshold_changes_one_line() -> None:
    """Only the line of the changed field differs; every comment stays."""
    form = read(TEXT)
    steps = (replace(form.steps[0], below=0.6), *form.steps[1:])
    changed = write(TEXT, replace(form, steps=steps))
    differing = [
        (old, new) for old, new in zip(TEXT.splitlines(), changed.splitlines(), strict=True) if old != new
    ]
    assert differing == [("below = 0.50", "below = 0.6")]


def test_what_a_file_leaves_to_the_default_stays_left() -> None:
    """A changed threshold writes no mode and no table that the file did without; a changed mode does."""
    short = '[[degradation.steps]]\nbelow = 0.5\nmax_tier = "small"\n'
    form = read(short)
    changed = write(short, replace(form, steps=(replace(form.steps[0], below=0.4),)))
    assert changed == short.replace("0.5", "0.4")
    assert read(write(short, replace(form, enforcement="observe", mode="pace"))).mode == "pace"


def test_a_step_is_added_at_the_end() -> None:
    """A new step is a table of its own behind the others, and the file is a good policy."""
    form = read(TEXT)
    added = replace(form, steps=(*form.steps, StepForm(below=0.01, max_tokens=512)))
    policy = load_policy(write(TEXT, added))
    assert [step.below for step in policy.degradation.steps] == [0.5, 0.2, 0.05, 0.01]
    assert policy.degradation.steps[-1].max_tokens == 512


def test_a_step_is_removed() -> None:
    """Removing the middle step keeps the others as they were, and what stands behind the steps."""
    form = read(TEXT)
    text = write(TEXT, replace(form, steps=(form.steps[0], form.steps[2])))
    policy, before = load_policy(text), load_policy(TEXT)
    assert policy.degradation.steps == (before.degradation.steps[0], before.degradation.steps[2])
    assert policy.limits == before.limits
    assert policy.breaker == before.breaker


def test_all_steps_can_go_and_come_back() -> None:
    """Without any step the list is gone from the file; a step given later starts it again."""
    form = read(TEXT)
    bare = write(TEXT, replace(form, steps=()))
    assert load_policy(bare).degradation.steps == ()
    again = write(bare, replace(read(bare), steps=(StepForm(below=0.3, max_tier="small"),)))
    assert load_policy(again).degradation.steps[0].max_tier == "small"


def test_fields_of_a_step_are_set_and_cleared() -> None:
    """Each field of a step can be given, changed and left out again."""
    form = read(TEXT)
    step = replace(
        form.steps[1],
        map=(("large", "medium"),),
        effort="low",
        only=("high",),
        max_tier=None,
        max_tokens=None,
    )
    text = write(TEXT, replace(form, steps=(form.steps[0], step, form.steps[2])))
    made = load_policy(text).degradation.steps[1]
    assert (dict(made.map), made.effort, made.only, made.max_tier, made.max_tokens) == (
        {"large": "medium"}, "low", ("high",), None, None,
    )  # fmt: skip
    assert read(text).steps[1] == step


def test_an_inline_list_of_steps_is_understood() -> None:
    """Steps written as an inline array are read, changed, reordered and added to."""
    inline = 'tiers = { a = { models = ["claude-haiku-5-5"] } }\nrouting = { default_tier = "a" }\n'
    inline += "degradation = { steps = [{ below = 0.5, max_tokens = 10 }] }\n"
    form = read(inline)
    changed = write(inline, replace(form, steps=(replace(form.steps[0], below=0.4),)))
    assert load_policy(changed).degradation.steps[0].below == 0.4
    more = write(inline, replace(form, steps=(StepForm(below=0.7, map=(), max_tokens=9), *form.steps)))
    assert [step.below for step in load_policy(more).degradation.steps] == [0.7, 0.5]


def test_a_policy_without_the_tables_gets_them() -> None:
    """A minimal file gains only what the form sets."""
    minimal = '[tiers.a]\nmodels = ["claude-haiku-5-5"]\n[routing]\ndefault_tier = "a"\n'
    policy = load_policy(write(minimal, PolicyForm(enforcement="observe", mode="off")))
    assert policy.enforcement.mode == "observe"
    assert policy.degradation.mode == "off"


def test_a_tenants_own_policy_does_not_bring_a_budget() -> None:
    """The fields of [budget] go, its comments and what follows stay."""
    text = without_budget(TEXT)
    assert load_policy(text).budget.model_fields_set == set()
    assert "# daily_usd" in text
    assert "# Thresholds on the remaining share" in text


def test_tiers_stand_in_the_order_of_the_file() -> None:
    """The form offers tiers from the highest down."""
    assert tiers(TEXT) == ("large", "medium", "small")


_STEPS = st.lists(
    st.builds(
        StepForm,
        below=st.integers(1, 100).map(lambda percent: percent / 100),
        map=st.sampled_from([(), (("large", "small"),), (("large", "medium"), ("medium", "small"))]),
        max_tier=st.sampled_from([None, "medium", "small"]),
        max_tokens=st.one_of(st.none(), st.integers(0, 10**6)),
        effort=st.sampled_from([None, "low", "high"]),
        only=st.sampled_from([(), ("critical",), ("critical", "high")]),
        place=st.none(),
    ),
    max_size=4,
)


@given(
    _STEPS,
    st.sampled_from(["enforce", "observe"]),
    st.sampled_from(["steps", "off"]),
    st.permutations([0, 1, 2]),
)
def test_what_is_written_is_read_back(
    new: list[StepForm], enforcement: str, mode: str, order: list[int]
) -> None:
    """Any form, with old steps in any order before new ones, reads back as it was written."""
    before = read(TEXT)
    kept = [before.steps[place] for place in order[: len(order) - len(new) % 3]]
    form = PolicyForm(enforcement, mode, 0.05, (*kept, *new))
    found = read(write(TEXT, form))
    places = tuple(replace(step, place=place) for place, step in enumerate(form.steps))
    assert found == replace(form, steps=places)


def test_text_that_is_no_toml_is_not_read() -> None:
    """The form reads only what the router accepts; the file tab shows the syntax error."""
    with pytest.raises(ValueError, match="line 1"):
        read("= 3")
