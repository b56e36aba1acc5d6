"""
Proving the books: every invariant of the ledger, the chains of the circuit, that each served call has
its hold, and that the roll-up counts what the log has.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select

from circuit.journal import check_chains, replay
from ledger import tables
from ledger.rows import OPEN, SETTLED
from ledger.seals import SealFileError, check_export
from ledger.verify import PROBLEMS_MAX
from ledger.verify import verify as verify_ledger
from outlay.corrected import corrected
from outlay.errors import BadInput, translated
from outlay.fields import instant_text, usd
from outlay.tables import decision, policy
from outlay.tallies import differing
from outlay.wiring import App

_SPENT: Final = ("served", "broken")


def verify(app: App, *, seal: str | None = None) -> dict[str, Any]:
    """
    Check everything that is stored against everything else; reads only.

    Args:
        seal: File with seals that `outlay seal export` wrote, to be compared as well.
    Returns:
        ok, checks (by name), tenants, transfers, problems (the first hundred, each a sentence).
    """
    kept = None if seal is None else _read(seal)
    with translated(), app.reading() as connection:
        books = verify_ledger(connection)
        found = {
            "circuit": list(_circuit(app)),
            "decisions": list(_decisions(connection)),
            "policies": list(_policies(connection)),
            "tallies": list(_tallies(connection)),
        }
        if kept is not None and seal is not None:
            found["seal_file"] = _sealed(connection, seal, kept)
    told = [f"{check}: {problem}" for check, problems in found.items() for problem in problems]
    return {
        "ok": books.ok and not told,
        "checks": {**books.checks, **{check: not problems for check, problems in found.items()}},
        "tenants": books.tenants,
        "transfers": books.transfers,
        "problems": [*books.problems, *told][:PROBLEMS_MAX],
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("seal", path, "cannot be read", "Name a file made by: outlay seal export.") from error


def _sealed(connection: Connection, path: str, kept: str) -> list[str]:
    """
    Compare the chains with a copy of their seals that was kept elsewhere.
    """
    try:
        return list(check_export(connection, kept))
    except SealFileError as error:
        fix = "Use an unchanged copy of a file made by: outlay seal export."
        raise BadInput("seal", path, str(error), fix) from error


def _circuit(app: App) -> Iterator[str]:
    """
    Check the hash chains, and that breakers and switches stand where their events led.
    """
    standing = app.circuit.standing()
    events = app.circuit.events(limit=None)  # read second: a change in between is explained, too
    yield from check_chains(events)
    told = replay(events)
    breakers = {breaker.scope: breaker for breaker in told.breakers}
    switches = {switch.scope: switch for switch in told.switches}
    for breaker in standing.breakers:
        led = breakers.get(breaker.scope)
        if led is None or (led != breaker and led.version <= breaker.version):
            yield f"the breaker of {breaker.scope} is {breaker.state}, where no event led it"
    for switch in standing.switches:
        turned = switches.get(switch.scope)
        if turned is None or (turned != switch and turned.epoch <= switch.epoch):
            yield f"the switch of {switch.scope} stands where no event led it"


def _decisions(connection: Connection) -> Iterator[str]:
    """
    Find calls that the provider served and that have no hold, an open one, or one settled at another cost
    that no order told; those that one told are the ones that the sums of spending correct.
    """
    hold, told = tables.hold, corrected(connection)
    query = (
        select(
            decision.c.id,
            decision.c.tenant,
            decision.c.cost_nanos,
            hold.c.tenant,
            hold.c.state,
            hold.c.actual,
            decision.c.hold_id,
        )
        .select_from(decision.outerjoin(hold, hold.c.id == decision.c.hold_id))
        .where(decision.c.outcome.in_(_SPENT))
    )
    for decision_id, tenant, cost_nanos, holder, state, actual, hold_id in connection.execute(query):
        if holder is None:
            yield f"decision {decision_id} was served without a hold"
        elif holder != tenant:
            yield f"decision {decision_id} of {tenant} has a hold of {holder}"
        elif state == OPEN:
            yield f"decision {decision_id} was served, and its hold is still open"
        elif state == SETTLED and actual != cost_nanos and (hold_id, actual) not in told:
            yield f"decision {decision_id} cost {usd(cost_nanos)}, its hold is settled at {usd(actual)} USD"


def _tallies(connection: Connection) -> Iterator[str]:
    """
    Find stretches of time whose decisions are not counted in the roll-up as the log has them.
    """
    for tenant, starts_us in differing(connection, PROBLEMS_MAX):
        yield f"decisions of {tenant} from {instant_text(starts_us)} on are not counted as the log has them"


def _policies(connection: Connection) -> Iterator[str]:
    """
    Find gaps in the versions of a policy.
    """
    query = select(policy.c.tenant, policy.c.version).order_by(policy.c.tenant, policy.c.version)
    before = ("", 0)
    for tenant, version in connection.execute(query):
        wanted = before[1] + 1 if tenant == before[0] else 1
        if version != wanted:
            yield f"policy version {wanted} of {tenant} is missing"
        before = (tenant, version)
