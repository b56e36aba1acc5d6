"""
Policy: the degradation thresholds in a form, the whole file as text, older versions; each save is a version.
"""

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import charts, frame, policy_edit, policy_preview, session
from dashboard.money_text import dated, plain, times_of
from dashboard.policy_edit import PolicyForm, StepForm
from outlay import reports
from outlay.admin import policies
from outlay.errors import OutlayError, PolicyInvalid, Rejected
from router.policy import load_policy
from router.problems import Problem
from router.types import EFFORTS, Priority

_SEEN: Final = "policy_seen"
_AS_IS: Final = "—"
_SHARE: Final = re.compile(r"\d+(?:\.\d+)?")
_LABELS: Final = {
    "below": "Below",
    "map": "Tier",
    "max_tier": "Highest tier",
    "max_tokens": "max_tokens at most",
    "effort": "Effort at most",
    "only": "Only priorities",
    "hysteresis": "Hysteresis",
}
_SHARES: Final = ("below", "hysteresis")
"""Fields that the file has as a share of one, and the form in percent."""


def show() -> None:
    """
    Show the page.
    """
    tenant = frame.tenant()
    st.title("Policy")
    shown, error = session.attempt(lambda: policies.show_policy(session.books(), tenant=tenant))
    if shown is None:
        session.show_error(error)
        return
    _tell_of_others(shown, tenant)
    inherits = tenant is not None and shown["tenant"] is None
    _headline(shown, tenant, inherits=inherits)
    base = policy_edit.without_budget(shown["text"]) if inherits else str(shown["text"])
    form, text, history = st.tabs(["Thresholds", "File", "History"])
    with form:
        _thresholds(shown, base, tenant)
    with text:
        _file(shown, base, tenant)
    with history:
        _history(shown, tenant)


def _tell_of_others(shown: dict[str, Any], tenant: str | None) -> None:
    """Say so where somebody else saved a version since the form was filled: it shows that one now."""
    now = (tenant, shown["tenant"], shown["version"])
    before = st.session_state.get(_SEEN)
    if before is not None and before[0] == tenant and before != now:
        st.warning(
            f"{plain(shown['actor'])} saved version {shown['version']} meanwhile. "
            "The form shows it; make your change again."
        )
    st.session_state[_SEEN] = now


def _headline(shown: dict[str, Any], tenant: str | None, *, inherits: bool) -> None:
    version = f"version {shown['version']} by {plain(shown['actor'])}"
    version = version if shown["version"] else "the packaged default"
    if tenant is None:
        st.caption(f"For every tenant without a policy of its own: {version}.")
    elif inherits:
        st.caption(
            f"{plain(tenant)} has no policy of its own; the one for everybody holds ({version}). "
            "What you save here becomes its own; its budget and time zone stay."
        )
    else:
        st.caption(f"{plain(tenant)}'s own: {version}.")


def _thresholds(shown: dict[str, Any], base: str, tenant: str | None) -> None:
    draft = f"{tenant}/{shown['tenant']}/{shown['version']}"
    before = policy_edit.read(base)
    tiers = policy_edit.tiers(base)
    problems_of: _Places = {}
    bar = st.container()
    modes, said = _modes(draft, before), st.container().error
    steps = _steps(draft, before, tiers, problems_of)
    problems_of["degradation"] = said  # behind the steps, whose names begin with it
    edited = replace(modes, steps=steps)
    text = base if edited == before else policy_edit.write(base, edited)
    checked, error = session.attempt(lambda: policies.validate_policy(text))
    if isinstance(error, PolicyInvalid):
        _show_problems(error.problems, problems_of)
    elif error is not None:
        session.show_error(error)
    else:
        bar.altair_chart(charts.bands_bar(reports.bands(load_policy(text))), width="stretch")
    _save(_Draft(shown, base, text, tenant, "form"), checked)


def _modes(draft: str, before: PolicyForm) -> PolicyForm:
    """Ask for what concerns all steps. Numbers have no bounds: a browser keeps one out of them to itself."""
    left, middle, right = frame.form_row(f"{draft}/modes", [1, 1, 1])
    enforcement = left.segmented_control(
        "Enforcement",
        ["enforce", "observe"],
        default=before.enforcement,
        required=True,
        key=f"{draft}/enforcement",
        help="observe refuses and degrades nothing, books every call, and records what enforcement would "
        "have done",
    )
    mode = middle.segmented_control(
        "Degradation",
        ["steps", "pace", "off"],
        default=before.mode,
        required=True,
        key=f"{draft}/mode",
        help="pace: spread the money over the day, with the steps as bounds; "
        "off: calls keep their tier until the money is gone",
    )
    hysteresis = right.number_input(
        f"{_LABELS['hysteresis']}, %",
        value=float(before.hysteresis * 100),
        step=1.0,
        format="%g",
        key=f"{draft}/hysteresis",
        help="How far the remaining share must rise above a threshold before its step is left",
    )
    return PolicyForm(str(enforcement), str(mode), round(hysteresis / 100, 6))


_Places = dict[str, Callable[[str], object]]


def _steps(
    draft: str, before: PolicyForm, tiers: Sequence[str], problems_of: _Places
) -> tuple[StepForm, ...]:
    """Show the steps that the draft has; steps are added and removed in the session, not in the file."""
    names: list[str] = st.session_state.setdefault(
        f"{draft}/steps", [str(place) for place in range(len(before.steps))]
    )
    found: list[StepForm] = []
    for place, name in enumerate(names):
        known = before.steps[int(name)] if name.isdigit() else StepForm(below=_next_threshold(found))
        with st.container(border=True):
            if _removed(f"{draft}/step {name}", place):
                names.remove(name)
                st.rerun()
            found.append(_step(f"{draft}/step {name}", known, tiers))
            problems_of[f"degradation.steps[{place}]"] = st.container().error
    if st.button("Add step", key=f"{draft}/add", icon=":material/add:"):
        names.append(f"new {st.session_state.get(f'{draft}/added', 0)}")
        st.session_state[f"{draft}/added"] = st.session_state.get(f"{draft}/added", 0) + 1
        st.rerun()
    return tuple(found)


def _removed(key: str, place: int) -> bool:
    row = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    row.markdown(f"**Step {place + 1}**", width="content")
    return row.button("Remove", key=f"{key}/remove", icon=":material/delete:", type="tertiary")


def _next_threshold(found: Sequence[StepForm]) -> float:
    return round(found[-1].below / 2, 3) if found and found[-1].below else 0.5


def _step(key: str, known: StepForm, tiers: Sequence[str]) -> StepForm:
    first, second, third, fourth = frame.form_row(f"{key}/limits", [1, 1, 1, 1])
    below = first.number_input(
        f"{_LABELS['below']}, % left",
        value=float((known.below or 0.0) * 100),
        step=1.0,
        format="%g",
        key=f"{key}/below",
    )
    max_tier = second.selectbox(
        _LABELS["max_tier"], [_AS_IS, *tiers], _index(tiers, known.max_tier), key=f"{key}/max_tier"
    )
    effort = third.selectbox(
        _LABELS["effort"], [_AS_IS, *EFFORTS], _index(EFFORTS, known.effort), key=f"{key}/effort"
    )
    max_tokens = fourth.number_input(
        _LABELS["max_tokens"],
        value=known.max_tokens,
        step=256,
        placeholder="as asked",
        key=f"{key}/max_tokens",
    )
    *places, last = frame.form_row(f"{key}/map", [*(1 for _ in tiers[1:]), 2])
    mapped = _mapping(key, known, tiers, places)
    only = last.multiselect(
        _LABELS["only"], [str(priority) for priority in Priority], list(known.only), key=f"{key}/only",
        placeholder="all are served", help="Calls of other priorities are refused",
    )  # fmt: skip
    return replace(
        known,
        below=round(below / 100, 6),
        map=mapped,
        max_tier=None if max_tier == _AS_IS else max_tier,
        effort=None if effort == _AS_IS else effort,
        max_tokens=max_tokens,
        only=tuple(only),
    )


def _mapping(
    key: str, known: StepForm, tiers: Sequence[str], places: Sequence[DeltaGenerator]
) -> tuple[tuple[str, str], ...]:
    """Ask for each tier but the lowest which one serves instead; keep the order of the file."""
    before = dict(known.map)
    chosen: dict[str, str] = {}
    for place, (column, tier) in enumerate(zip(places, tiers[:-1], strict=True)):
        lower = tiers[place + 1 :]
        target = column.selectbox(
            f"Instead of {tier}", [_AS_IS, *lower], _index(lower, before.get(tier)), key=f"{key}/map {tier}"
        )
        if target != _AS_IS:
            chosen[tier] = target
    ordered = [*(name for name in before if name in chosen), *(name for name in chosen if name not in before)]
    return tuple((name, chosen[name]) for name in ordered)


def _index(options: Sequence[str], value: str | None) -> int:
    return 0 if value is None or value not in options else options.index(value) + 1


def _show_problems(problems: Sequence[Problem], problems_of: _Places) -> None:
    """Show each problem at the fields it is about; what concerns none of the form stands below."""
    for problem in problems:
        step = next((name for name in problems_of if problem.field.startswith(name)), None)
        part = problem.field.removeprefix(step or "").lstrip(".").split(".")[0]
        where = _LABELS.get(part, part) if step is not None else problem.field
        told = problem.text.removeprefix(f"{problem.field}: ")
        told = _SHARE.sub(_in_percent, told) if part in _SHARES else told
        say = problems_of[step] if step is not None else st.error
        say(plain(f"{where}: {told}" if where else told))


def _in_percent(share: re.Match[str]) -> str:
    """Write a share of the file in the unit of the form."""
    return f"{float(share[0]) * 100:g} %"


def _file(shown: dict[str, Any], base: str, tenant: str | None) -> None:
    text = st.text_area(
        "Policy file", base, height=520, key=f"file/{tenant}/{shown['tenant']}/{shown['version']}",
        help="TOML; every field is described in docs/reference/policy.md",
    )  # fmt: skip
    checked, error = session.attempt(lambda: policies.validate_policy(text))
    if error is not None:
        session.show_error(error)
    _save(_Draft(shown, base, text, tenant, "file"), checked)


@dataclass(frozen=True)
class _Draft:
    """
    A policy on its way to a version: what is in force, what the edit began with, what it made of it.
    """

    shown: dict[str, Any]
    base: str
    text: str
    tenant: str | None
    key: str


def _save(draft: _Draft, checked: dict[str, Any] | None) -> None:
    """Preview the draft and offer to save it; `checked` is None where it is not valid."""
    for warning in checked["warnings"] if checked is not None else ():
        st.warning(plain(warning))
    changes = _diff(draft.base, draft.text)
    with st.expander("Changes in the file", expanded=bool(changes)):
        st.code(changes or draft.text, language="diff" if changes else "toml")
    if checked is not None:
        policy_preview.show(draft.text, draft.tenant, draft.key)
    note, button = frame.form_row(f"{draft.key}/save", [3, 1])
    said = note.text_input("Note", key=f"{draft.key}_note", placeholder="Why is it changed?")
    pressed = button.button(
        "Save as new version",
        type="primary",
        key=f"{draft.key}_save",
        disabled=checked is None or not changes,
        width="stretch",
    )
    if not changes:
        st.caption("Nothing is changed yet.")
    if pressed and changes:
        _done(session.attempt(lambda: _apply(draft, said)), "Saved as version {version}; it is in force now.")


def _apply(draft: _Draft, note: str) -> dict[str, Any]:
    """Save the draft, unless somebody else saved a version since it was begun."""
    now, shown = policies.show_policy(session.books(), tenant=draft.tenant), draft.shown
    if (now["tenant"], now["version"]) != (shown["tenant"], shown["version"]):
        said = f"{now['actor']} saved version {now['version']} meanwhile: reload the page and change that one"
        raise Rejected("policy_changed", said)
    return policies.apply_policy(
        session.books(), draft.text, tenant=draft.tenant, actor=session.actor(), note=note
    )


def _done(result: tuple[dict[str, Any] | None, OutlayError | None], said: str) -> None:
    made, error = result
    if made is None:
        session.show_error(error)
        return
    st.session_state.pop(_SEEN, None)
    frame.flash(said.format_map(made))
    st.rerun()


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), "in force", "new", lineterm="")
    return "\n".join(lines)


def _history(shown: dict[str, Any], tenant: str | None) -> None:
    found, error = session.attempt(lambda: policies.policy_history(session.books(), tenant))
    if found is None:
        session.show_error(error)
        return
    versions = found["versions"]
    if not versions:
        st.caption("No version was saved yet; what you save appears here and can be taken back.")
        return
    st.dataframe(
        {
            "Version": [row["version"] for row in versions],
            "Saved": [dated(row["at"], frame.zone()) for row in versions],
            "Who": [row["actor"] for row in versions],
            "Note": [row["note"] for row in versions],
        },
        column_config={"Note": st.column_config.TextColumn(width="large")},
        hide_index=True,
    )
    st.caption(times_of(frame.zone()))
    _rollback(shown, tenant, [row["version"] for row in versions])


def _rollback(shown: dict[str, Any], tenant: str | None, versions: Sequence[int]) -> None:
    first = "packaged default" if tenant is None else "policy for everybody"
    choice, button = frame.form_row("rollback", [3, 1])
    version = choice.selectbox(
        "Go back to",
        [*versions, 0],
        format_func=lambda number: f"version {number}" if number else first,
        key="rollback",
    )
    if version or tenant is None:
        old, error = session.attempt(
            lambda: policies.show_policy(session.books(), tenant=tenant, version=version)
        )
        if old is not None and error is None:
            changes = _diff(str(shown["text"]), str(old["text"]))
            st.code(changes or "The same as what is in force.", language="diff" if changes else None)
    if button.button("Roll back", key="rollback_now", width="stretch"):
        frame.open_dialog("rollback")
    if frame.dialog_is("rollback"):
        _rollback_dialog(version, tenant)


@st.dialog("Roll back", on_dismiss=frame.close_dialog)
def _rollback_dialog(version: int, tenant: str | None) -> None:
    ends = tenant is not None and version == 0
    if ends:
        st.markdown(f"{plain(str(tenant))} loses its own policy; the one for everybody holds for it at once.")
    else:
        st.markdown("The older text becomes a new version, in force at once.")
    if st.button("Roll back now", type="primary"):
        result = session.attempt(
            lambda: policies.rollback_policy(session.books(), version, tenant=tenant, actor=session.actor())
        )
        saved = "Saved as version {version}; it is in force now."
        _done(result, "The policy for everybody holds for {tenant} again." if ends else saved)
