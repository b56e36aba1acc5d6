"""
Decisions made again: from their stored inputs, under the policy version and at the prices of their time.

A decision that does not come out as it was is told with what was stored and what comes out now. What the
router never decided (offers of the caller's own, refusals before the choice) is counted apart.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection

from outlay import fields
from outlay.admin import log_pages
from outlay.admin.common import known_tenant
from outlay.admin.decisions import readable
from outlay.errors import PolicyInvalid, translated
from outlay.prices_sql import stored_prices
from outlay.refusals import from_router, told_as
from outlay.wiring import App
from pricing.stored import digest
from pricing.table import PriceTable
from router.codec import CodecError, Inputs, from_json, to_json
from router.codec import replay as choose_again
from router.policy import Policy
from router.types import Choice, Reason, Refusal

SHOWN: Final = 100
NO_INPUTS: Final = ("", "{}")
_COUNT_MAX: Final = 2**31
_COLUMNS: Final = (
    "id", "tenant", "at_us", "outcome", "code", "inputs", "prices", "policy_tenant", "policy_version",
    "offers", "level", "priority", "asked_tier", "ratio", "gauge", "counterfactual", "would", "reasons",
)  # fmt: skip
_PLAIN: Final = {
    "level": "another level of degradation",
    "priority": "another priority",
    "asked_tier": "another tier asked for",
    "ratio": "another share left",
    "gauge": "another budget decides",
}
Progress = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    A decision that does not come out again as it was.
    """

    why: str
    stored: object = None
    replayed: object = None


class Past:
    """
    The policies and prices of old decisions.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._prices: dict[str, PriceTable | None] = {digest(app.prices): app.prices}

    def policy(self, connection: Connection, row: Mapping[str, Any]) -> Policy | Difference:
        """
        Return the policy version of a decision, or why it cannot be had.
        """
        owner, version = row["policy_tenant"], row["policy_version"]
        try:
            with translated():
                found = self._app.policies.policy(connection, owner, version)
        except PolicyInvalid as error:
            return Difference(f"policy version {version} of {owner} is not valid any more: {error}")
        return Difference(f"policy version {version} of {owner} is missing") if found is None else found

    def prices(self, connection: Connection, row: Mapping[str, Any]) -> PriceTable | Difference:
        """
        Return the prices that a decision was made with; those of today where none were kept.
        """
        name = row.get("prices", "")
        if name == "":
            return self._app.prices
        if name not in self._prices:
            self._prices[name] = stored_prices(connection, name)
        found = self._prices[name]
        return Difference(f"the prices {name} are missing") if found is None else found


def replay(
    app: App,
    *,
    tenant: str | None = None,
    limit: int | None = None,
    archive: str | None = None,
    shown: int = SHOWN,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """
    Make stored decisions again, each under its policy version and at its prices.

    Args:
        limit: At most the newest so many (of an archive: the first so many); None takes all.
        archive: A file of `outlay db archive` to read instead of the log.
        shown: Name at most so many differences; all are counted.
        progress: Told how many decisions have been looked at.
    Returns:
        checked, same, differing (how many), different (the first of them: id, why, stored, replayed),
        not_routed (no inputs: own_offers and refused_before together), todays_prices (decisions of which no
        prices were kept; they are compared at those of this process), prices (decisions by version).
    """
    most = None if limit is None else fields.whole(limit, "limit", 1, _COUNT_MAX)
    told: Counter[str] = Counter()
    prices: Counter[str] = Counter()
    different: list[dict[str, Any]] = []
    past = Past(app)
    for page in _limited(_pages(app, tenant, archive), most):
        with translated(), app.reading() as connection:
            for row in page:
                kind, found = _looked_at(connection, past, row, prices)
                told[kind] += 1
                if found is not None and len(different) < shown:
                    different.append(_told(row["id"], found))
        if progress is not None:
            progress(told.total())
    checked = told["same"] + told["different"]
    return {
        "checked": checked,
        "same": told["same"],
        "differing": told["different"],
        "different": different,
        "not_routed": told.total() - checked,
        "own_offers": told["own_offers"],
        "refused_before": told["refused_before"],
        "todays_prices": prices.pop("", 0),
        "prices": dict(prices),
    }


def _pages(app: App, tenant: str | None, archive: str | None) -> Iterator[Sequence[log_pages.Row]]:
    if tenant is not None:
        with translated(), app.reading() as connection:
            tenant = known_tenant(connection, tenant).tenant
    if archive is not None:
        return log_pages.archived(archive, tenant=tenant)
    return log_pages.newest_first(app, _COLUMNS, tenant=tenant)


def _limited(pages: Iterator[Sequence[log_pages.Row]], most: int | None) -> Iterator[Sequence[log_pages.Row]]:
    left = most
    for page in pages:
        yield page if left is None else page[:left]
        left = None if left is None else left - len(page)
        if left is not None and left <= 0:
            return


def _looked_at(
    connection: Connection, past: Past, row: Mapping[str, Any], prices: "Counter[str]"
) -> tuple[str, Difference | None]:
    """Say what became of one decision, and count the prices that it was made with."""
    if row["inputs"] in NO_INPUTS:
        return "refused_before" if row["outcome"] == "refused" else "own_offers", None
    table, policy = past.prices(connection, row), past.policy(connection, row)
    for found in (policy, table):
        if isinstance(found, Difference):
            return "different", found
    assert isinstance(policy, Policy)
    assert isinstance(table, PriceTable)
    prices[table.version if row.get("prices") else ""] += 1
    difference = again(row, policy, table)
    return "same" if difference is None else "different", difference


def again(row: Mapping[str, Any], policy: Policy, prices: PriceTable) -> Difference | None:
    """
    Make one decision again; None where it comes out as it was.
    """
    try:
        inputs = from_json(Inputs, row["inputs"])
        return compared(row, choose_again(inputs, policy, prices))
    except CodecError as error:
        return Difference(str(error))
    except LookupError as error:
        return Difference(f"cannot be decided any more: {error}")


def compared(row: Mapping[str, Any], made: Choice | Refusal) -> Difference | None:
    """
    Compare a stored decision with the same decision made again: offers, level, road not taken, reasons.
    """
    if isinstance(made, Refusal):
        code = from_router(row["id"], made).code
        stored = _read(row["offers"]) or []
        if not stored and row["code"] in told_as(row["id"], made):
            return None
        return Difference(f"now refused: {code}", stored or row["code"], code)
    found = _other_text("other offers", row["offers"], made.offers)
    for name, why in _PLAIN.items():
        if found is None and row[name] != getattr(made, name):
            found = Difference(why, row[name], getattr(made, name))
    found = found or _other_text("another road not taken", row["counterfactual"], made.counterfactual)
    would = None if made.would is None else to_json(made.would)
    stored_would = (_read(row["would"]) or {}).get("router")
    if found is None and stored_would != _read(would):
        found = Difference("enforcement would have done something else", stored_would, _read(would))
    return found or _other_reasons(row["reasons"], made.reasons)


def _other_text(why: str, stored: str | None, value: object) -> Difference | None:
    """Compare a value with its stored text; equal texts need no reading."""
    text = to_json(value)
    if text == stored or _read(stored) == _read(text):
        return None
    return Difference(why, _read(stored), _read(text))


def _other_reasons(stored: str, made: Sequence[Reason]) -> Difference | None:
    """Find the reasons of the choice within the stored ones, by code and numbers: words may improve."""
    found = [(one["code"], one["numbers"]) for one in _read(stored) or ()]
    wanted = [(one["code"], one["numbers"]) for one in _read(to_json(made))]
    if any(found[at : at + len(wanted)] == wanted for at in range(len(found) - len(wanted) + 1)):
        return None
    return Difference("other reasons", _read(stored), _read(to_json(made)))


def _read(text: str | None) -> Any:
    return None if text is None or text == "" else json.loads(text)


def _told(decision_id: str, found: Difference) -> dict[str, Any]:
    return {
        "id": decision_id,
        "why": found.why,
        "stored": readable(found.stored, "UTC"),
        "replayed": readable(found.replayed, "UTC"),
    }
