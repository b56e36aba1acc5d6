"""
Tenants: who spends, what each has left, its statement, who set what; top up, set the budget, freeze, create.
"""

import uuid
from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from dashboard import changes, frame, kinds, session
from dashboard.frame import Card
from dashboard.money_text import (
    NONE,
    dollars,
    exact,
    moment,
    percent,
    plain,
    share,
    times_of,
    usd,
    words,
    zoned,
)
from dashboard.standing import budgets_table, scheduled_text, state_text, warn, why_list
from outlay import fields, reports
from outlay.admin import money, tenants
from outlay.clock import now_us
from outlay.errors import BadInput, OutlayError
from outlay.reports_budgets import BudgetWindow
from outlay.reports_money import Line, TenantRow

LINES: Final = 100


def show() -> None:
    """
    Show the page.
    """
    tenant = frame.tenant()
    orders = frame.header("Tenants" if tenant is None else tenant)
    rows, error = session.attempt(lambda: reports.tenants(session.books()))
    if rows is None:
        session.show_error(error)
        return
    _new_key()
    with orders:
        if st.button("New tenant", icon=":material/add:", type="secondary" if rows else "primary"):
            _open("create")
        if frame.dialog_is("create"):
            _create_dialog()
    if not rows:
        frame.no_tenant_yet()
        return
    chosen = next((row for row in rows if row.tenant == tenant), None)
    if chosen is None:
        _table(rows)
    else:
        _one(chosen)


def _table(rows: tuple[TenantRow, ...]) -> None:
    money, written = frame.money_columns(
        {
            "Available": [row.credits.available_nanos for row in rows],
            **frame.only_where_some("Held", [row.credits.held_nanos for row in rows]),
            **frame.only_where_some("Owed", [row.credits.debt_nanos for row in rows]),
            "Spent today": [0 if row.day is None else row.day.spent_nanos for row in rows],
            "Budget": [None if row.day is None else row.day.limit_nanos for row in rows],
        },
        Budget="Of the day; empty: no limit",
    )
    st.dataframe(
        {
            "Tenant": [row.tenant for row in rows],
            "State": [state_text(row) for row in rows],
            **money,
            "Left": [None if row.day is None else percent(row.day.remaining_ratio) for row in rows],
            "Zone": [row.timezone for row in rows],
        },
        column_config={
            **written,
            "Left": st.column_config.ProgressColumn(
                format="%d %%", min_value=0, max_value=100, width="small"
            ),
        },
        hide_index=True,
        placeholder=NONE,
    )
    why_list(rows, reports.ALL_ZONE)
    st.caption("Choose a tenant in the sidebar (» opens it) for its statement, or to top it up.")


def _one(row: TenantRow) -> None:
    with st.container(horizontal=True):
        if st.button("Top up", type="primary", icon=":material/add_card:"):
            _open("top up")
        if st.button("Set daily budget", icon=":material/event:"):
            _open("budget")
        if st.button("Unfreeze" if row.frozen else "Freeze", icon=":material/ac_unit:"):
            _open("freeze")
    for name, dialog in (("top up", _top_up_dialog), ("budget", _budget_dialog), ("freeze", _freeze_dialog)):
        if frame.dialog_is(name):
            dialog(row)
    warn(row, row.timezone)
    _cards(row)
    if later := scheduled_text(row, row.timezone):
        st.caption(plain(f"Credit to come: {later}."))
    _budgets(row)
    _statement(row)
    changes.show(row.tenant, row.timezone)


def _budgets(row: TenantRow) -> None:
    st.subheader("Budgets")
    lines, error = session.attempt(lambda: reports.budgets(session.books(), row.tenant))
    if error is not None:
        session.show_error(error)
    elif lines:
        budgets_table(lines, row.timezone)
    else:
        st.caption(
            f"None: only the credit bounds what is spent. `outlay budget set {row.tenant} 5` sets one."
        )


def _cards(row: TenantRow) -> None:
    day, credit, zone = row.day, row.credits, row.timezone
    spent, of, resets = NONE, "no daily budget", zone
    if day is not None:
        spent, of = usd(day.spent_nanos), _of(day)
        resets = f"day ends {moment(day.resets_us, zone)}"
    owed = "repaid by the next top-up" if credit.debt_nanos > 0 else "no debt"
    frame.cards(
        (
            Card(
                "Credit available",
                usd(credit.available_nanos),
                f"{usd(credit.held_nanos)} held for calls",
                f"Exactly {exact(credit.available_nanos)}.",
                "red" if credit.available_nanos <= 0 else "off",
            ),
            Card("Owed", usd(credit.debt_nanos), owed, f"Exactly {exact(credit.debt_nanos)}."),
            Card("Spent today", spent, of, "In the tenant's own day."),
            Card(
                "State",
                state_text(row),
                resets,
                f"Opened {zoned(row.opened_us, zone, year=True)}. Its day ends at midnight there.",
            ),
        )
    )


def _of(day: BudgetWindow) -> str:
    if day.limit_nanos is None:
        return "no daily budget"
    return f"of {usd(day.limit_nanos)}, {share(day.remaining_ratio)} left"


def _statement(row: TenantRow) -> None:
    head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
    head.subheader("Statement", width="content")
    calls = head.toggle("Single calls", value=True, key="statement_calls")
    places: list[int | None] = st.session_state.setdefault(f"statement_{row.tenant}", [None])
    lines, error = session.attempt(
        lambda: reports.statement(
            session.books(), row.tenant, limit=LINES, before_seq=places[-1], calls=calls
        )
    )
    if lines is None:
        session.show_error(error)
        return
    if not lines:
        st.caption("No money has moved yet. Top the tenant up to let it spend.")
        return
    _lines(lines, row.timezone)
    st.caption(f"{times_of(row.timezone)} {kinds.told(line.kind for line in lines)}")
    with st.container(horizontal=True):
        if st.button("Newer", disabled=len(places) == 1, icon=":material/chevron_left:"):
            places.pop()
            st.rerun()
        if st.button("Older", disabled=len(lines) < LINES, icon=":material/chevron_right:"):
            places.append(lines[-1].seq)
            st.rerun()


def _lines(lines: tuple[Line, ...], zone: str) -> None:
    owing = any(line.debt_change_nanos != 0 for line in lines)
    owed = {"Change of debt": [exact(line.debt_change_nanos) for line in lines]} if owing else {}
    st.dataframe(
        {
            "Time": [moment(line.at_us, zone, seconds=True, year=True) for line in lines],
            "Kind": [words(line.kind) for line in lines],
            "Change": [exact(line.change_nanos) for line in lines],
            "Credit after": [exact(line.balance_nanos) for line in lines],
            **owed,
            **frame.only_where_some("Who", [line.actor or None for line in lines]),
            **frame.only_where_some("Reason", [line.reason or None for line in lines]),
            "Call": [line.hold_id for line in lines],
        },
        column_config={
            "Change": st.column_config.TextColumn(alignment="right"),
            "Credit after": st.column_config.TextColumn(alignment="right"),
            "Change of debt": st.column_config.TextColumn(alignment="right"),
            "Call": st.column_config.TextColumn(help="Explain it on the Routing page"),
        },
        hide_index=True,
        placeholder=NONE,
    )


def _open(dialog: str) -> None:
    """Open a dialog with an idempotency key of its own: its order, sent twice, is carried out once."""
    frame.open_dialog(dialog)
    st.session_state["order_key"] = f"dashboard-{uuid.uuid4()}"  # noqa: TID251 - an id of the shell, no decision


@st.dialog("Top up", on_dismiss=frame.close_dialog)
def _top_up_dialog(row: TenantRow) -> None:
    st.markdown(f"**{plain(row.tenant)}** has {plain(exact(row.credits.available_nanos))} available.")
    value = st.text_input("Amount in USD", key="top_up_amount", placeholder="25.00")
    kind = st.segmented_control(
        "Kind", list(money.KINDS), default=money.KINDS[0], required=True, key="top_up_kind",
        help="paid: money received. promo: a grant that costs nobody; it may expire.",
    )  # fmt: skip
    typed = st.text_input(
        "Expires", key="top_up_expires", placeholder="never, or a date as 2027-01-31",
        disabled=kind != "promo",
        help=f"Of promo credit only. A date means its first moment in {row.timezone}.",
    )  # fmt: skip
    expires = typed.strip() if kind == "promo" else ""
    reason = st.text_input("Reason", key="top_up_reason", placeholder="invoice 7")
    if st.button("Add credit", type="primary"):
        _carried_out(
            lambda: money.top_up(
                session.books(), row.tenant, value.strip(), kind=str(kind), expires=expires or None,
                idempotency_key=st.session_state["order_key"], reason=reason, actor=session.actor(),
            ),
            lambda made: f"{row.tenant} was topped up; its credit is {dollars(made['credit_usd'])}.",
            lambda: fields.positive(value.strip(), "amount"),
            lambda: _ends(expires, row.timezone),
            lambda: fields.reason(reason),
        )  # fmt: skip


def _ends(expires: str, zone: str) -> None:
    """Read when a credit ends; empty is never. Of the field alone: the books decide again."""
    if expires and fields.instant_us(expires, "expires", zone) <= now_us():
        raise fields.passed("expires", expires)


@st.dialog("Set daily budget", on_dismiss=frame.close_dialog)
def _budget_dialog(row: TenantRow) -> None:
    st.markdown(f"What **{plain(row.tenant)}** may spend in a day, in force at once.")
    value = st.text_input("Limit in USD", key="budget_limit", placeholder="5.00, or none for no limit")
    reason = st.text_input("Reason", key="budget_reason")
    if st.button("Set budget", type="primary"):
        _carried_out(
            lambda: money.set_budget(
                session.books(), row.tenant, value.strip(), reason=reason,
                idempotency_key=st.session_state["order_key"], actor=session.actor(),
            ),
            lambda made: f"The daily budget of {row.tenant} is {_limit(made['limit_usd'])}.",
            lambda: fields.limit(value.strip(), "limit"),
            lambda: fields.reason(reason),
        )  # fmt: skip


def _limit(limit_usd: str | None) -> str:
    return "unlimited" if limit_usd is None else dollars(limit_usd)


@st.dialog("Freeze or unfreeze", on_dismiss=frame.close_dialog)
def _freeze_dialog(row: TenantRow) -> None:
    frozen = not row.frozen
    st.markdown(
        "Every call of a frozen tenant is refused." if frozen else "The tenant's calls are let through again."
    )
    if st.button(f"{'Freeze' if frozen else 'Unfreeze'} {row.tenant}", type="primary"):
        _carried_out(
            lambda: tenants.set_tenant(session.books(), row.tenant, frozen=frozen, actor=session.actor()),
            lambda _: f"{row.tenant} is {'frozen' if frozen else 'no longer frozen'}.",
        )


@st.dialog("New tenant", on_dismiss=frame.close_dialog)
def _create_dialog() -> None:
    name = st.text_input("Name", key="new_name", placeholder="acme").strip()
    credit = st.text_input("Opening credit in USD", key="new_credit", value="0").strip()
    budget = st.text_input(
        "Daily budget in USD", key="new_budget", placeholder="as the policy says; none for no limit"
    ).strip()
    zone = st.text_input(
        "Time zone", key="new_zone", placeholder="as the policy says, e.g. Europe/Berlin"
    ).strip()
    if st.button("Create tenant", type="primary"):
        made = _made(
            lambda: tenants.create_tenant(
                session.books(), name, credit=credit, daily_budget=budget or None, timezone=zone or None,
                actor=session.actor(),
            ),
            lambda: fields.tenant_name(name),
            lambda: fields.money(credit, "credit"),
            lambda: fields.limit(budget or fields.NO_LIMIT, "daily_budget"),
            lambda: fields.timezone(zone or "UTC"),
        )  # fmt: skip
        if made is not None:
            st.session_state["new_key"] = made
            frame.close_dialog()
            st.rerun()


def _new_key() -> None:
    """Show the secret of a new tenant's key, once."""
    made = st.session_state.pop("new_key", None)
    if made is None:
        return
    with st.container(border=True):
        st.markdown(f"**{plain(made['tenant'])} was created.** This is its key; it is shown only now:")
        st.code(made["key"], language=None)


def _carried_out(
    order: Callable[[], dict[str, Any]],
    said: Callable[[dict[str, Any]], str],
    *each_field: Callable[[], object],
) -> None:
    made = _made(order, *each_field)
    if made is not None:
        frame.flash(plain(said(made)))
        st.rerun()


def _made(order: Callable[[], dict[str, Any]], *each_field: Callable[[], object]) -> dict[str, Any] | None:
    """Carry out the order of a dialog; else the dialog stays as it is and tells everything that is wrong."""
    errors = session.wrong(*each_field)
    if not errors:
        made, error = session.attempt(order)
        if error is None:
            return made
        errors = [error]
    for one in errors:
        _said(one)
    return None


_FIELDS: Final = {
    "amount": "Amount in USD",
    "expires": "Expires",
    "reason": "Reason",
    "limit": "Limit in USD",
    "tenant": "Name",
    "credit": "Opening credit in USD",
    "daily_budget": "Daily budget in USD",
    "timezone": "Time zone",
}


def _said(error: OutlayError) -> None:
    """Show an error under the name that its field has on the page."""
    if isinstance(error, BadInput):
        st.error(plain(f"{_FIELDS.get(error.field, error.field)}: {error.message}. {error.fix}".strip()))
    else:
        session.show_error(error)
