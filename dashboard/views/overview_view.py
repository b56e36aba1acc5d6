"""
Overview: what is left, where the money of the period went, what was refused, and the switch that stops it.
"""

from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from circuit.types import FOREVER_US, GLOBAL, BreakerState, State, Switch
from dashboard import charts, frame, pace_chart, session, standing, theme
from dashboard.frame import Card, Tone
from dashboard.money_text import (
    COMPARED,
    NONE,
    compared,
    exact,
    moment,
    percent,
    plain,
    plural,
    share,
    times_of,
    usd,
    zoned,
)
from dashboard.standing import state_text
from outlay import reports, reports_calls
from outlay.admin import breakers
from outlay.reports import Overview
from outlay.reports_budgets import TENANT
from outlay.reports_calls import Count
from outlay.reports_money import TenantRow
from outlay.tables import EVERYBODY

REFRESH_S: Final = 5
REFUSALS_SHOWN: Final = 6


def show() -> None:
    """
    Show the page.
    """
    tenant = frame.tenant()
    with frame.header("Overview" if tenant is None else tenant):
        _switch_button(tenant)
    span = frame.span()

    @st.fragment(run_every=REFRESH_S)
    def live() -> None:
        seen, error = session.attempt(lambda: reports.overview(session.books(), tenant, span=span))
        if error is not None:
            session.show_error(error)
        elif seen is None or not seen.tenants:
            frame.no_tenant_yet()
        else:
            _figures(seen)

    live()


def _figures(seen: Overview) -> None:
    _banners(seen)
    _metrics(seen)
    _budget(seen)
    calls = reports_calls.total(seen.outcomes) + reports_calls.total(seen.refusals)
    if calls == 0:
        frame.no_calls_yet()
    else:
        _traffic(seen)
    _guards(seen)
    st.caption(
        f"As of {zoned(seen.now_us, seen.period.zone, seconds=True)}, refreshed every {REFRESH_S} seconds."
    )


def _banners(seen: Overview) -> None:
    for switch in seen.switches:
        whose = "All spending" if switch.scope == GLOBAL else f"Spending of {plain(_scope(switch.scope))}"
        since = f"since {zoned(switch.changed_us, seen.period.zone, year=True)} by {plain(switch.actor)}"
        st.error(f"**{whose} is halted** {since}: {plain(switch.reason)}", icon=":material/front_hand:")
    one = None if seen.tenant is None else seen.tenants[0]
    if one is not None and (one.stops or seen.policy.enforcement != "observe"):
        standing.warn(one, seen.period.zone)
    if seen.policy.enforcement == "observe":
        told = standing.observed_text(one, seen.period.zone)
        st.info(f"{told} {_verdicts(seen)}", icon=":material/visibility:")


def _verdicts(seen: Overview) -> str:
    """Say what enforcement would have done with the served calls of the period, and how to have it."""
    found, advice = seen.observed, "Turn enforcement on on the Policy page."
    if found is None or found.calls == 0:
        return advice
    whose, which = "" if seen.tenant is None else "its ", "newest " if found.more else ""
    done = f"would have refused {found.refused:,}, and served {found.lowered:,} by another model"
    return f"Of {whose}{which}{plural(found.calls, 'served call')} of the period enforcement {done}. {advice}"


def _metrics(seen: Overview) -> None:
    period = frame.period_text(seen.period)
    money, saved = seen.credits, seen.savings
    served = next((count.count for count in seen.outcomes if count.name == "served"), 0)
    refused = reports_calls.total(seen.refusals)
    owed = f", {usd(money.debt_nanos)} owed" if money.debt_nanos > 0 else ""
    spent, color, text = _day_texts(seen)
    frame.cards(
        (
            Card(
                "Credit available",
                usd(money.available_nanos),
                f"{usd(money.held_nanos)} held for calls{owed}",
                f"Exactly {exact(money.available_nanos)}: posted credit less what calls in flight hold.",
                "red" if owed else "off",
            ),
            Card("Spent today", usd(seen.spent_today_nanos), spent, text, color),
            Card(
                f"Saved, {period}",
                usd(saved.saved_nanos),
                compared(saved, "downgrade"),
                f"{exact(saved.asked_cost_nanos)} as asked, less {exact(saved.cost_nanos)} as served. "
                f"{COMPARED}",
            ),
            Card(
                f"Calls served, {period}",
                f"{served:,}",
                f"{refused:,} refused",
                "Refused calls cost nothing; the codes below say why.",
                "red" if refused > 0 else "off",
            ),
        )
    )


def _day_texts(seen: Overview) -> tuple[str, Tone, str]:
    """Say of what the spending of today is a part, with the colour and the explanation."""
    exactly = f"Exactly {exact(seen.spent_today_nanos)}"
    if seen.tenant is None:
        low = seen.low_budgets
        told = f"{exactly}, each tenant in its own day. Budgets are counted that limit all calls of a "
        told += "tenant, in any window; those of keys, tasks, users and tags are on the tenant's own page."
        below = f"{plural(low, 'budget')} under 20 % left" if low else "no budget under 20 % left"
        return below, "orange" if low else "off", told
    day = seen.tenants[0].day
    if day is None or day.limit_nanos is None:
        return (
            "no daily budget",
            "off",
            f"{exactly}. This tenant's day has no limit; its credit and its other budgets bound it.",
        )
    color: Tone = "red" if day.remaining_nanos == 0 else "orange" if day.is_low else "off"
    resets = f"Resets {zoned(day.resets_us, seen.period.zone)}."
    return f"of {usd(day.limit_nanos)}, {share(day.remaining_ratio)} left", color, f"{exactly}. {resets}"


def _budget(seen: Overview) -> None:
    if seen.tenant is None:
        st.subheader("Tenants today")
        _tenants(seen.tenants, seen.period.zone)
        return
    _day(seen)
    if any(line.scope != TENANT or line.window != "day" for line in seen.budgets):
        st.subheader("All budgets")
        standing.budgets_table(seen.budgets, seen.period.zone)


def _day(seen: Overview) -> None:
    day = seen.tenants[0].day
    st.subheader("Budget of the day")
    if not seen.burn or day is None:
        limit = None if day is None else day.limit_nanos
        said = "The daily budget is $0.00: nothing may be spent." if limit == 0 else "No daily budget is set."
        st.info(f"{plain(said)} Set one on the Tenants page.")
        return
    whole, ink = seen.period.grain != "step", theme.ink(st.context.theme.type)
    st.altair_chart(
        charts.burn_down(seen.burn, seen.policy.bands, day, seen.period.zone, ink, whole_day=whole),
        width="stretch",
    )
    whose = "for everybody" if seen.policy.tenant == EVERYBODY else f"of {plain(seen.tenants[0].tenant)}"
    st.caption(
        f"Share of {plain(usd(day.limit_nanos))} that is left. "
        f"Bands: policy version {seen.policy.version} {whose}{_steps_active(seen.level)}."
    )
    if seen.pace is not None:
        st.subheader("Spent against a usual day")
        st.altair_chart(pace_chart.against_curve(seen.pace, seen.period.zone), width="stretch")
        st.caption(pace_chart.told(seen.pace, seen.period.zone))


def _steps_active(level: int | None) -> str:
    if level is None:
        return ""
    return f"; {'no step' if level == 0 else plural(level, 'step')} active at the last call"


def _tenants(rows: Sequence[TenantRow], zone: str) -> None:
    money, written = frame.money_columns(
        {
            "Credit": [row.credits.available_nanos for row in rows],
            "Spent today": [0 if row.day is None else row.day.spent_nanos for row in rows],
            "Budget": [None if row.day is None else row.day.limit_nanos for row in rows],
        },
        Budget="Of the day; empty: no limit",
        Credit="Available now",
    )
    st.dataframe(
        {
            "Tenant": [row.tenant for row in rows],
            "State": [state_text(row) for row in rows],
            **money,
            "Left": [None if row.day is None else percent(row.day.remaining_ratio) for row in rows],
            "Day ends": [NONE if row.day is None else moment(row.day.resets_us, zone) for row in rows],
        },
        column_config={
            **written,
            "Left": st.column_config.ProgressColumn(
                format="%d %%", min_value=0, max_value=100, width="small"
            ),
            "Day ends": st.column_config.TextColumn(help="Each tenant's day is one of its own time zone"),
        },
        hide_index=True,
        placeholder=NONE,
    )
    st.caption(
        f"{times_of(zone)} Days and budgets are those of each tenant's own time zone. A tenant is running "
        "until nothing is left, also under 20 %; its state says what stops it."
    )
    standing.why_list(rows, zone)


def _traffic(seen: Overview) -> None:
    left, right = frame.pair(3, 2)
    with left:
        st.subheader("Cost by served tier")
        if seen.spend:
            st.altair_chart(charts.spend_by_tier(seen.spend, seen.policy.tiers, seen.period), width="stretch")
            st.caption(f"What the provider billed, {frame.period_text(seen.period)}{_unseen(seen)}.")
        else:
            st.caption("No call was served in this period.")
    with right:
        st.subheader("Refusals")
        _counted(seen.refusals, theme.REFUSED_COLOR, "Nothing was refused.")
        st.subheader("Downgrades")
        _counted(seen.downgrades, theme.TIER_COLORS[2], "Every call was served by the tier it asked for.")
        if seen.downgrades:
            st.caption("Calls of a lower tier that name the reason, failed ones too; one can name several.")


def _unseen(seen: Overview) -> str:
    """Say how calls are counted whose end nobody saw, where there are some."""
    uncertain = next((count.count for count in seen.outcomes if count.name == "uncertain"), 0)
    if uncertain == 0:
        return ""
    calls = plural(uncertain, "call")
    return f"; {calls} whose end nobody saw at what was captured, or at what was told later"


def _counted(counts: Sequence[Count], color: str, empty: str) -> None:
    if not counts:
        st.caption(empty)
        return
    muted = theme.muted(st.context.theme.type)
    st.altair_chart(charts.counts(counts, color, muted, most=REFUSALS_SHOWN), width="stretch")


def _guards(seen: Overview) -> None:
    st.subheader("Breakers")
    if not seen.breakers:
        st.caption("All closed: no runaway and no failing model.")
        return
    zone = seen.period.zone
    st.dataframe(
        {
            "Scope": [_scope(breaker.scope) for breaker in seen.breakers],
            "State": [breaker.state.replace("_", " ") for breaker in seen.breakers],
            "Since": [moment(breaker.changed_us, zone) for breaker in seen.breakers],
            "Until": [_until(breaker, zone) for breaker in seen.breakers],
            "Why": [breaker.reason for breaker in seen.breakers],
        },
        column_config={"Why": st.column_config.TextColumn(width="large")},
        hide_index=True,
    )
    st.caption(times_of(zone))


def _until(breaker: BreakerState, zone: str) -> str:
    if breaker.state is State.HALF_OPEN:
        return "its next calls decide"
    if breaker.state in (State.FORCED_OPEN, State.DISABLED) or breaker.until_us in (None, FOREVER_US):
        return "somebody resets it"
    return moment(breaker.until_us, zone, seconds=True)


def _scope(scope: str) -> str:
    kind, _, name = scope.partition(":")
    return name if name else "all tenants" if kind == GLOBAL else NONE


def _switch_button(tenant: str | None) -> None:
    """Offer what the switch of this page's scope can do now."""
    thrown, _ = session.attempt(lambda: reports.halted(session.books(), tenant))
    if thrown is not None:
        if st.button("Resume spending", type="primary", icon=":material/play_arrow:"):
            frame.open_dialog("resume")
        if frame.dialog_is("resume"):
            _resume_dialog(tenant, thrown)
        return
    if st.button("Halt spending", icon=":material/front_hand:"):
        frame.open_dialog("halt")
    if frame.dialog_is("halt"):
        _halt_dialog(tenant)


@st.dialog("Halt spending", on_dismiss=frame.close_dialog)
def _halt_dialog(tenant: str | None) -> None:
    whose = "**every tenant**" if tenant is None else f"**{plain(tenant)}**"
    st.markdown(
        f"New calls of {whose} are refused at once, until somebody resumes. Calls in flight end as usual."
    )
    reason = st.text_input("Reason", key="halt_reason", placeholder="What has happened?")
    if st.button("Halt now", type="primary", icon=":material/front_hand:"):
        _carried_out(
            lambda: breakers.halt(session.books(), tenant=tenant, reason=reason, actor=session.actor()),
            "Spending is halted.",
        )


@st.dialog("Resume spending", on_dismiss=frame.close_dialog)
def _resume_dialog(tenant: str | None, thrown: Switch) -> None:
    st.markdown(f"Halted by {plain(thrown.actor)}: {plain(thrown.reason)}")
    reason = st.text_input("Reason", key="resume_reason", placeholder="What was mended?")
    if st.button("Resume now", type="primary", icon=":material/play_arrow:"):
        _carried_out(
            lambda: breakers.resume(session.books(), tenant=tenant, reason=reason, actor=session.actor()),
            "Spending goes on.",
        )


def _carried_out(order: Callable[[], object], said: str) -> None:
    """Carry out the order of a dialog and close it; where it was refused, say there what is wrong."""
    _, error = session.attempt(order)
    if error is not None:
        session.show_error(error)
        return
    frame.flash(said)
    st.rerun()
