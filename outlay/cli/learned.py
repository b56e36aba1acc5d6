"""
`outlay train` and `outlay classifier list|show`: the learned classifier.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Block, Pairs, Rows
from outlay.cli.params import OfTenant

group = typer.Typer(help="Trained classifiers: what expects how much a call gains from a larger tier.")

File = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE", help="CSV or JSON Lines with prompt, task, weak and strong (0 to 1)."
    ),
]
Prompts = Annotated[
    str | None,
    typer.Option(
        "--prompts", metavar="FILE", help="CSV or JSON Lines with decision and prompt: of --tenant's calls."
    ),
]
Split = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Only rows whose column split says so.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, help="Of the random parts of training.")]
Owner = Annotated[
    str | None,
    typer.Option(
        "--tenant", metavar="TENANT", help="Whose classifier it is; without --file also whose scores."
    ),
]
_LIST = (
    ("version", "version"),
    ("tenant", "tenant"),
    ("at", "at"),
    ("examples", "examples"),
    ("apgr", "apgr"),
    ("automatic", "automatic"),
)
_PROMISES = (
    ("promise", "may fail"),
    ("max_risk", "max_risk"),
    ("share", "to the smaller tier"),
    ("judged", "failed"),
    ("state", "state"),
)
_STATES = {"not_enough": "not enough evidence"}


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "train")(train)
    app.add_typer(group, name="classifier")


def train(
    common: Common,
    file: File = None,
    tenant: Owner = None,
    prompts: Prompts = None,
    split: Split = None,
    seed: Seed = 0,
) -> Answer:
    """
    Train the learned classifier on examples in a file, or on a tenant's own scored decisions.

    With --file it reads prompts that both tiers have answered, and scores; with --prompts only prompts, and
    takes the scores from the books. Both need the extra learned (scikit-learn). With --tenant alone it learns
    from the scores by task class and no more, as Outlay keeps no prompts.
    """
    made = _trained(common, file, tenant, prompts, split, seed)
    joined = [f"{made['joined']['text']}."] if "joined" in made else []
    warnings = [f"warning: {one}" for one in made["warnings"]]
    return Answer(made, ("The classifier is stored.", *joined, *_described(made), *warnings))


def _trained(
    common: Common, file: str | None, tenant: str | None, prompts: str | None, split: str | None, seed: int
) -> dict[str, Any]:
    """Learn from what was named: one of examples, a tenant's prompts and scores, its scores alone."""
    from outlay.admin import classifiers
    from outlay.errors import BadInput
    from outlay.learned.from_prompts import read_prompts
    from outlay.learned.reading import read_examples

    actor = common.actor
    if file is not None and prompts is not None:
        raise BadInput("prompts", prompts, "stands beside --file", "Keep one of the two.")
    if split is not None and file is None:
        raise BadInput("split", split, "stands without --file", "Only the rows of --file have splits.")
    if file is not None:
        examples = read_examples(file, split)
        with common.opened() as app:
            return classifiers.train_classifier(app, examples, tenant=tenant, seed=seed, actor=actor)
    if tenant is None:
        if prompts is not None:
            fix = "Name the tenant whose calls they are."
            raise BadInput("tenant", None, "--prompts needs --tenant", fix)
        fix = "Name --file, or --tenant for its scored decisions."
        raise BadInput("file", None, "no examples, and no tenant to learn from", fix)
    asked = None if prompts is None else read_prompts(prompts)
    with common.opened() as app:
        if asked is None:
            return classifiers.train_on_scores(app, tenant, actor=actor)
        return classifiers.train_on_prompts(app, asked, tenant=tenant, seed=seed, actor=actor)


@command(group, "list")
def list_classifiers(common: Common, tenant: OfTenant = None) -> Answer:
    """List the stored classifiers, the newest first."""
    from outlay.admin.classifiers import classifiers

    with common.opened() as app:
        found = classifiers(app, tenant)
    rows = [
        {**row, "examples": row["quality"]["examples"], "apgr": (row["quality"]["ranking"] or {}).get("apgr")}
        for row in found["classifiers"]
    ]
    return Answer(found, (Rows(_LIST, rows, "No classifier has been trained yet."),))


@command(group, "show")
def show(common: Common, version: Annotated[str, typer.Argument(metavar="VERSION")]) -> Answer:
    """Show what a classifier was trained on, how it ranked what it had not seen, and its task classes."""
    from outlay.admin.classifiers import show_classifier

    with common.opened() as app:
        found = show_classifier(app, version)
    columns = tuple((name, name) for name in ("task", "weak", "strong", "examples"))
    rows = [{"task": name, **row} for name, row in found["classes"].items()]
    return Answer(found, (*_described(found), Rows(columns, rows, "It knows no task class.")))


def _described(found: dict[str, Any]) -> tuple[Block, ...]:
    quality = dict(found["quality"])
    ranking, proposals = quality.pop("ranking") or {}, quality.pop("proposals")
    named = ("version", "tenant", "data_hash", "automatic", "at", "replayed")
    said = {name: found[name] for name in named if name in found}
    return Pairs(tuple({**said, **quality, **ranking}.items())), *_promised(proposals)


def _promised(proposals: list[dict[str, Any]]) -> tuple[Block, ...]:
    """Say up to which risk the smaller tier may serve for each promise, and how a policy says so."""
    if not proposals:
        return ()
    sure = f"{proposals[0]['confidence']:.0%} sure, from examples that the model had not seen"
    head = f"Calls that fail because the smaller tier served (only the larger would have been right); {sure}:"
    proven = [one for one in proposals if one["max_risk"] is not None]
    fix = "None is proven. Train on more examples, or keep the larger tier."
    if proven:
        first = proven[0]
        fix = f"For at most {first['promise']:.0%}: [routing.learned] max_risk = {first['max_risk']}"
    return head, Rows(_PROMISES, [_promise(one) for one in proposals]), fix


def _promise(one: dict[str, Any]) -> dict[str, Any]:
    proven = one["max_risk"] is not None
    return {
        "promise": f"{one['promise']:.0%}",
        "max_risk": one["max_risk"],
        "share": f"{one['share']:.0%}" if proven else None,
        "judged": f"{one['failed']} of {one['n']}" if proven else None,
        "state": _STATES.get(one["state"], one["state"]),
    }
