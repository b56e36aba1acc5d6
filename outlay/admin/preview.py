"""
Preview of a policy: what it would have done to the traffic of the last days, by tenant and task.

It reads and writes nothing back. How the estimate is made, and what it cannot know, is said in
docs/how-to/preview.md.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import nice
from typing import Any, Final

from sqlalchemy import Connection, func, select

from ledger import reads
from outlay import fields
from outlay.admin import log_pages
from outlay.admin.common import known_tenant
from outlay.admin.policies import loaded, warnings_of
from outlay.admin.preview_text import answer
from outlay.admin.replay import Past
from outlay.clock import now_us
from outlay.engine import CREDIT_FULL_DAYS
from outlay.errors import translated
from outlay.settings import Settings
from outlay.tables import EVERYBODY, refusal_count
from outlay.tables import decision as table
from outlay.whatif.bill import as_booked
from outlay.whatif.found import Found
from outlay.whatif.recorded import COLUMNS, Recorded, read
from outlay.whatif.simulate import Simulation, as_recorded
from outlay.whatif.sums import OTHERS
from outlay.wiring import App, open_app
from pricing.table import PriceTable
from router.codec import CodecError
from router.policy import Policy

DAYS: Final = 7
DAYS_MAX: Final = 92
DECISIONS_MAX: Final = 200_000
SHOWN: Final = 100
_SHOWN_MAX: Final = 10_000
_DAY_US: Final = 86_400 * 1_000_000
Progress = Callable[[int, int], object]


def preview_policy(
    app: App,
    text: str,
    *,
    days: int = DAYS,
    tenant: str | None = None,
    shown: int = SHOWN,
    most: int = DECISIONS_MAX,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """
    Say what a policy would have done to the calls of the last days, had it been in force; nothing is written.

    Args:
        text: The policy file.
        tenant: As for `apply_policy`: None means everybody without a policy of their own.
        shown: Name at most so many changed calls; all are counted.
        most: Look at no more decisions than so many; a longer period is shortened to the newest.
        progress: Told how many of how many decisions have been looked at.
    Returns:
        from, to, shortened, decisions, total, tenants (each with its tasks), changes, changed, changed_by,
        kept, risks, notes, warnings.
    Raises:
        PolicyInvalid: The policy is not valid.
        Rejected: `unknown_tenant`.
    """
    policy, days = loaded(text), fields.whole(days, "days", 1, DAYS_MAX)
    shown, most = fields.whole(shown, "shown", 0, _SHOWN_MAX), fields.whole(most, "most", 1, DECISIONS_MAX)
    found, total = _begun(app, policy, tenant, days, most)
    past = Past(app)
    simulation = Simulation(
        policy, app.prices, sets_day=found.tenant is not None, full_credit=_full_credit(app, found.to_us)
    )
    for page in log_pages.oldest_first(app, COLUMNS, tenant=found.tenant, from_us=found.from_us):
        with translated(), app.reading() as connection:
            _note_own_policies(app, connection, page, found)
            for row in page:
                if row["at_us"] < found.to_us:
                    _one(connection, past, simulation, row, found, shown)
        if progress is not None:
            progress(min(found.decisions, total), total)
    tasks = {task for one in found.sums.tasks.values() for task in one} - {"", OTHERS}
    return {**answer(found), "warnings": warnings_of(policy, tasks)}


def preview_apart(app: App, text: str, *, days: int = DAYS, tenant: str | None = None) -> dict[str, Any]:
    """
    Preview a policy in a process of its own, so that a server's calls do not wait for it.

    Raises:
        As `preview_policy`.
    """
    loaded(text)
    fields.whole(days, "days", 1, DAYS_MAX)
    if tenant is not None:
        with translated(), app.reading() as connection:
            known_tenant(connection, tenant)
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=nice, initargs=(10,)) as pool:
        return pool.submit(_alone, app.settings, text, days, tenant).result()


def _alone(settings: Settings, text: str, days: int, tenant: str | None) -> dict[str, Any]:
    app = open_app(settings)
    try:
        return preview_policy(app, text, days=days, tenant=tenant)
    finally:
        app.close()


def _begun(app: App, policy: Policy, tenant: str | None, days: int, most: int) -> tuple[Found, int]:
    """Find the period, shortened where it holds too many decisions, and how many there are."""
    to_us = now_us()
    with translated(), app.reading() as connection:
        name = None if tenant is None else known_tenant(connection, tenant).tenant
        from_us = to_us - days * _DAY_US
        oldest = _oldest(connection, name, most)
        shortened = oldest is not None and oldest > from_us
        from_us = max(from_us, oldest or 0)
        found = Found(policy, name, days, from_us, to_us, shortened)
        found.zones = {row.tenant: row.timezone for row in reads.tenants(connection)}
        found.only_counted = _only_counted(connection, name, from_us)
    return found, log_pages.count(app, tenant=name, from_us=from_us)


def _oldest(connection: Connection, tenant: str | None, most: int) -> int | None:
    """Find the oldest decision that is still looked at; None where all are."""
    query = select(table.c.at_us).order_by(table.c.at_us.desc()).offset(most - 1).limit(1)
    query = query if tenant is None else query.where(table.c.tenant == tenant)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def _only_counted(connection: Connection, tenant: str | None, from_us: int) -> int:
    """Count the refusals of storms, which have no records."""
    counts = refusal_count.c
    query = select(func.coalesce(func.sum(counts.count), 0)).where(counts.minute_us >= from_us)
    query = query if tenant is None else query.where(counts.tenant == tenant)
    return int(connection.execute(query).scalar_one())


def _full_credit(app: App, at_us: int) -> Callable[[str], int | None]:
    """Tell what credits count as full by the mean spending, as calls are told; looked up once a tenant."""
    known: dict[str, int | None] = {}

    def full(tenant: str) -> int | None:
        if tenant not in known:
            with translated(), app.reading() as connection:
                mean = reads.mean_daily_spend_nanos(connection, tenant, at_us)
            known[tenant] = mean * CREDIT_FULL_DAYS if mean else None
        return known[tenant]

    return full


def _note_own_policies(
    app: App, connection: Connection, page: Sequence[Mapping[str, Any]], found: Found
) -> None:
    """Look up, once for each tenant, whether a policy for everybody reaches it."""
    for tenant in {row["tenant"] for row in page} - found.own_policy.keys():
        own = found.tenant is None and app.policies.applied(connection, tenant).tenant != EVERYBODY
        found.own_policy[tenant] = own


def _one(
    connection: Connection,
    past: Past,
    simulation: Simulation,
    row: Mapping[str, Any],
    found: Found,
    shown: int,
) -> None:
    """Look at one decision, and add up what would have come of it."""
    found.decisions += 1
    if found.own_policy.get(row["tenant"], False):
        found.kept["own_policy"] += 1
        return
    recorded, why = _read(row)
    then, ranks = as_recorded(recorded), found.policy.tier_ranks
    if why is None:
        policy, prices = past.policy(connection, row), past.prices(connection, row)
        if isinstance(policy, Policy) and isinstance(prices, PriceTable):
            ranks = policy.tier_ranks
            _note_inputs(recorded, policy, found)
            then = simulation.step(recorded, policy, prices)
        else:
            why = "unreadable"
    if why is not None:
        found.kept[why] += 1
    then = as_booked(recorded, then)
    changed = found.sums.add(recorded, then, ranks, found.policy.tier_ranks)
    if changed and len(found.changes) < shown:
        found.changes.append((recorded, then))


def _read(row: Mapping[str, Any]) -> tuple[Recorded, str | None]:
    """Read a row; also say why it stays as it is, if it does."""
    try:
        recorded = read(row)
    except CodecError:
        return Recorded(row, None), "unreadable"
    if recorded.inputs is not None:
        return recorded, None
    return recorded, "refused_before" if recorded.served is None else "own_offers"


def _note_inputs(recorded: Recorded, policy: Policy, found: Found) -> None:
    """Remember the policy, and whether the new one finds what it goes by."""
    assert recorded.inputs is not None
    found.policies.setdefault(id(policy), policy)
    if not recorded.is_first:
        return
    if found.policy.routing.classifier in ("learned", "llm") and recorded.inputs.profile.prediction is None:
        found.unpredicted += 1
    if found.policy.degradation.mode == "pace" and recorded.inputs.known.pace is None:
        found.unprojected += 1
