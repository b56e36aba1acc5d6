"""
Decisions: `outlay explain`, `outlay replay`.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, describe, table
from outlay.cli.params import OfTenant

Decision = Annotated[
    str | None, typer.Argument(metavar="DECISION_ID", help="From the header outlay-decision-id.")
]
Listed = Annotated[bool, typer.Option("--list", help="List the newest decisions instead.")]
LISTED = 20
_STORY = ("inputs", "offers", "reasons", "attempts", "scores")
_OF_CALL = {"held_usd": "held_for_call_usd"}
_IN_FLIGHT = {"held_usd": "held_in_flight_usd", "expected_held_usd": "expected_in_flight_usd"}
"""Both are `held_usd` in JSON, where they stand apart: in the decision, and in the numbers of a reason."""
_OFFER = ("tier", "model", "effort", "max_tokens", "cost_bound_usd", "expected_cost_usd")
_ATTEMPT = ("attempt", "strategy", "id", "outcome", "code", "asked", "served", "cost_usd")
_SCORE = ("value", "weight", "source", "model", "actor", "at", "comment", "counts")
_WRONG = "\nIf that is not what the provider billed: outlay settle {id} USD --reason TEXT, up or down."
_LINE = ("id", "at", "tenant", "outcome", "asked", "served", "cost_usd", "because")


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "explain")(explain)
    command(app, "replay")(replay)


def explain(
    common: Common,
    decision: Decision = None,
    listed: Listed = False,
    tenant: OfTenant = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=1_000, help="List at most so many.")
    ] = None,
) -> Answer:
    """Show why a call was served as it was: reasons, offers, hold, settlement."""
    from outlay.admin.decisions import explain as read

    _check(decision, tenant, limit, listed=listed)
    with common.opened() as app:
        if decision is None:
            return _list(app, tenant, LISTED if limit is None else limit)
        found = read(app, decision)
    return Answer(found, _story(found))


def replay(
    common: Common,
    tenant: OfTenant = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most the newest so many.")] = None,
    archive: Annotated[
        str | None,
        typer.Option("--archive", metavar="FILE", help="Read a file of outlay db archive instead."),
    ] = None,
) -> Answer:
    """Make recorded decisions again, at the policy version and the prices of their time, and compare."""
    from outlay.admin.replay import replay as again
    from outlay.cli.progress import counted

    with common.opened() as app, counted("decisions") as progress:
        found = again(app, tenant=tenant, limit=limit, archive=archive, progress=progress)
    seen = found["checked"] + found["not_routed"]
    none = "No difference." if found["checked"] else f"Nothing was compared: {_nothing(seen, archive)}."
    different = table(found["different"], ("id", "why"), none)
    said = (
        f"{found['checked']} decided again, {found['same']} came out the same, {found['differing']} did not."
    )
    apart = f"{found['not_routed']} without inputs: {found['own_offers']} with offers of their caller's own, "
    apart += f"{found['refused_before']} refused before the choice."
    return Answer(found, (different, said, apart), 0 if found["differing"] == 0 else 1)


def _nothing(seen: int, archive: str | None) -> str:
    """Say why there was nothing to decide again."""
    where = "the log" if archive is None else archive
    return f"{where} has no decisions" if seen == 0 else f"no decision of {where} has inputs"


def _check(decision: str | None, tenant: str | None, limit: int | None, *, listed: bool) -> None:
    """Either one decision, or a list with its filters."""
    from outlay.errors import BadInput

    if decision is None and not listed:
        raise BadInput("decision", None, "missing", "Give its id; the newest are in: outlay explain --list")
    given = [name for name, value in (("tenant", tenant), ("limit", limit)) if value is not None]
    if decision is not None and (listed or given):
        field = "list" if listed else given[0]
        raise BadInput(field, None, "is not for a single decision", f"Leave --{field} or the id out.")


def _list(app: Any, tenant: str | None, limit: int) -> Answer:
    from outlay.admin.decisions import list_decisions

    found = list_decisions(app, tenant=tenant, limit=limit)
    rows = [_line(row) for row in found["decisions"]]
    return Answer(found, (table(rows, _LINE, "No decisions yet."),))


def _line(row: dict[str, Any]) -> dict[str, Any]:
    names = {side: (row[side] or {}).get("model") for side in ("asked", "served")}
    return {**row, **names, "because": [reason["code"] for reason in row["reasons"]]}


def _story(found: dict[str, Any]) -> tuple[Block, ...]:
    plain = {_OF_CALL.get(name, name): value for name, value in found.items() if name not in _STORY}
    why = [{**one, "numbers": _apart(one.get("numbers") or {})} for one in found.get("reasons") or ()]
    reasons = table(why, ("code", "text", "numbers"), "No reason was needed.")
    offers = table(found.get("offers") or (), _OFFER, "No offer was made.")
    blocks = (*describe(plain), "\nreasons:", reasons, "\noffers, best first:", offers)
    if found.get("scores"):
        blocks = (*blocks, "\nscores:", table(found["scores"], _SCORE))
    if found.get("settlement"):
        blocks = (*blocks, _WRONG.format_map(found["hold"]))
    attempts = [_line({"reasons": (), **row}) for row in found.get("attempts") or ()]
    return blocks if not attempts else (*blocks, "\nattempts:", table(attempts, _ATTEMPT, ""))


def _apart(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Name what calls in flight hold otherwise than what is held for the call."""
    return {_IN_FLIGHT.get(name, name): value for name, value in numbers.items()}
