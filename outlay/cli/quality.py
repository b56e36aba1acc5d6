"""
`outlay score`, `outlay calibration`: how good answers were, and what that proves.
"""

from typing import Annotated

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import table
from outlay.cli.params import OfTenant, Once

Decision = Annotated[str, typer.Argument(metavar="DECISION_ID", help="From the header outlay-decision-id.")]
Value = Annotated[
    str, typer.Argument(metavar="SCORE", help="0 (wrong) to 1 (right), true, false, pass or fail.")
]
Source = Annotated[
    str, typer.Option("--source", metavar="NAME", help="Who judged; of each source the newest score counts.")
]
Weight = Annotated[
    str, typer.Option("--weight", metavar="SHARE", help="Over 0 and at most 1; 1 is a judge who is sure.")
]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Kept with the score.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="MODEL", help="Whose answer, if you tried another than the one that served."
    ),
]
_COLUMNS = ("tenant", "task_class", "tier", "n", "failed", "bound", "state", "needed")


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "score")(score)
    command(app, "calibration")(calibration)


def score(
    common: Common,
    decision: Decision,
    score: Value,
    source: Source = "user",
    weight: Weight = "1",
    comment: Comment = "",
    model: Model = None,
    idempotency_key: Once = None,
) -> Answer:
    """Say how good the answer of a call was; scores prove what may be downgraded."""
    from outlay.admin.quality import score as attach

    with common.opened() as app:
        made = attach(
            app, decision, score, source=source, weight=weight, comment=comment, model=model,
            idempotency_key=idempotency_key, actor=common.actor,
        )  # fmt: skip
    return in_pairs(made)


def calibration(common: Common, tenant: OfTenant = None) -> Answer:
    """Show what scores prove of each task class: proven, not_enough or infeasible."""
    from outlay.admin.quality import calibration as read

    with common.opened() as app:
        found = read(app, tenant)
    rows = [{**row, "bound": f"{row['bound']:.1%}"} for row in found["classes"]]
    return Answer(found, (table(rows, _COLUMNS, "No downgraded call has been scored yet."),))
