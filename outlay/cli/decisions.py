"""
Decisions: `outlay explain`, `outlay replay`.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import Limit, OfTenant


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "explain")(explain)
    command(app, "replay")(replay)


def explain(
    common: Common,
    decision: Annotated[
        str, typer.Argument(metavar="DECISION_ID", help="From the header outlay-decision-id.")
    ],
) -> Answer:
    """Show why a call was served as it was: reasons, offers, hold, settlement."""
    from outlay.admin.decisions import explain as read

    with common.opened() as app:
        found = read(app, decision)
    return Answer(found, _story(found))


def replay(common: Common, tenant: OfTenant = None, limit: Limit = None) -> Answer:
    """Decide recorded calls again from their recorded inputs, and compare."""
    from outlay.admin.decisions import replay as again

    with common.opened() as app:
        found = again(app, tenant=tenant, limit=limit)
    status = 0 if found["same"] == found["checked"] else 1
    different = Rows(
        (("id", "decision"), ("why", "difference")), found["different"], "Every one is the same."
    )
    return Answer(found, (f"{found['checked']} checked, {found['same']} the same.", different), status)


def _story(found: dict[str, Any]) -> tuple[Block, ...]:
    nested = {"reasons", "offers", "inputs"}
    plain = tuple((name, value) for name, value in found.items() if name not in nested)
    reasons = Rows(
        (("code", "reason"), ("text", "because"), ("numbers", "numbers")), found.get("reasons") or ()
    )
    offers = found.get("offers") or []
    columns = ("tier", "model", "effort", "max_tokens", "cost_bound_usd")
    table = Rows(tuple((name, name.replace("_usd", " USD").replace("_", " ")) for name in columns), offers)
    return (Pairs(plain), reasons, table)
