"""
Demand by quarter-hours and the worth of upgrades: written with each settlement, read for pacing.

What a call adds is read off its decision record, so that whoever closes it counts it; the ledger writes a
closing's rows once, however often the closing is repeated.
"""

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from ledger.read_models import AccountRow
from ledger.types import Attachment, Gauge
from outlay.demand import (
    DAY_US,
    HISTORY_DAYS,
    WORTH_DAYS,
    DemandRow,
    Past,
    WorthRow,
    local_slot,
    pace,
    past,
    quarter_start,
)
from outlay.statements import marked
from outlay.tables import demand, upgrade_worth
from pricing.table import PriceTable
from router.demand import Pace, PaceState
from router.policy import Policy
from router.worth import bin_of, worth

FRESH_US: Final = 2_000_000
"""A reading of the running day is good for so long; what is left of the money is read for each call."""
TENANTS_MAX: Final = 2_000
RUNNING_US: Final = 25 * 4 * 15 * 60 * 1_000_000
"""The longest local day."""
_BILLED: Final = ("served", "broken")
_DEMAND: Final = """SELECT quarter_us, tier, calls, asked_nanos, least_nanos, cost_nanos FROM outlay_demand
 WHERE tenant = ? AND quarter_us >= ? AND quarter_us <= ?"""
_WORTH: Final = (
    "SELECT day_us, bin, extra_nanos FROM outlay_worth WHERE tenant = ? AND day_us >= ? AND day_us <= ?"
)


def attachments(row: Mapping[str, object] | None) -> tuple[Attachment, ...]:
    """
    Give what a closed call adds to its tenant's demand, from its decision record.
    """
    if row is None or row["outcome"] not in _BILLED or not isinstance(row["cost_nanos"], int):
        return ()
    at_us, cost = row["at_us"], row["cost_nanos"]
    assert isinstance(at_us, int), "records carry the instant of the decision"
    road = json.loads(str(row["counterfactual"])) if row["counterfactual"] else {}
    asked, least = _as_asked(road, row, cost)
    common = {"tenant": row["tenant"]}
    sums = {"calls": 1, "asked_nanos": asked, "least_nanos": least, "cost_nanos": cost}
    place = {"quarter_us": quarter_start(at_us), "tier": road.get("routed_tier") or ""}
    found = Attachment(demand, {**common, **place, **sums}, add=tuple(sums))
    gain, extra = road.get("gain"), (road.get("routed_nanos") or 0) - (road.get("least_nanos") or 0)
    if gain is None or extra <= 0:
        return (found,)
    value = {"day_us": at_us - at_us % DAY_US, "bin": bin_of(worth(gain, extra)), "extra_nanos": extra}
    return found, Attachment(upgrade_worth, {**common, **value}, add=("extra_nanos",))


def _as_asked(road: Mapping[str, Any], row: Mapping[str, object], cost: int) -> tuple[int, int]:
    """
    Give what a call would have cost with money to spare, and on the cheapest tier: its cost, in the
    proportions that were expected when it was decided.
    """
    routed, least = road.get("routed_nanos"), road.get("least_nanos")
    served = next((one for one in json.loads(str(row["offers"])) if _is_served(one, row)), None)
    expected = 0 if served is None else served.get("expected_cost_nanos", 0)
    if routed is None or least is None or expected <= 0:
        return cost, cost
    return cost * routed // expected, cost * least // expected


def _is_served(offer: Mapping[str, Any], row: Mapping[str, object]) -> bool:
    return offer.get("model") == row["served_model"] and offer.get("max_tokens") == row["max_tokens"]


@dataclass(slots=True)
class _Seen:
    """What was read of a tenant, and when."""

    past: Past
    read_us: int
    today: Sequence[DemandRow]
    worth: Sequence[WorthRow]


@dataclass(frozen=True, slots=True)
class Money:
    """
    A tenant's money as one reading saw it, and where its pacing stands.
    """

    account: AccountRow | None
    gauges: tuple[Gauge, ...]
    state: PaceState


class Demand:
    """
    Reads the demand of tenants; keeps what changes once a day.
    """

    def __init__(self, dialect: str) -> None:
        self._demand, self._worth = (marked(text, dialect) for text in (_DEMAND, _WORTH))
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def of(
        self, connection: Connection, money: Money, policy: Policy, prices: PriceTable, at_us: int
    ) -> Pace | None:
        """
        Return what pacing goes by; None where the policy does not ask for it.
        """
        account = money.account
        if account is None or policy.degradation.mode != "pace":
            return None
        seen = self._fresh(connection, account.tenant, account.timezone, at_us)
        return pace(
            seen.past,
            seen.today,
            seen.worth,
            money.gauges,
            policy,
            prices,
            at_us,
            multiplier_ppm=account.multiplier_ppm,
            state=money.state,
        )

    def _fresh(self, connection: Connection, tenant: str, zone: str, at_us: int) -> _Seen:
        seen, today = self._seen.get(tenant), local_slot(zone, quarter_start(at_us))[1]
        if seen is not None and (seen.past.zone, seen.past.today) == (zone, today):
            if 0 <= at_us - seen.read_us < FRESH_US:
                return seen
            known = seen.past
        else:
            known = past(self.rows(connection, tenant, at_us - HISTORY_DAYS * DAY_US, at_us), zone, at_us)
        running = self.rows(connection, tenant, at_us - RUNNING_US, at_us)
        made = _Seen(known, at_us, running, self._worths(connection, tenant, at_us))
        self._seen[tenant] = made
        self._seen.move_to_end(tenant)
        if len(self._seen) > TENANTS_MAX:
            self._seen.popitem(last=False)
        return made

    def rows(self, connection: Connection, tenant: str, from_us: int, until_us: int) -> tuple[DemandRow, ...]:
        """
        Return the stored sums of a stretch of time.
        """
        found = connection.exec_driver_sql(self._demand, (tenant, from_us, until_us)).all()
        return tuple(
            DemandRow(int(row[0]), str(row[1]), *(int(amount) for amount in row[2:])) for row in found
        )

    def _worths(self, connection: Connection, tenant: str, at_us: int) -> tuple[WorthRow, ...]:
        since_us = at_us - WORTH_DAYS * DAY_US
        found = connection.exec_driver_sql(self._worth, (tenant, since_us, at_us)).all()
        return tuple(WorthRow(*(int(amount) for amount in row)) for row in found)
