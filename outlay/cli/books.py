"""
The books themselves: `outlay db upgrade|current|check`, `outlay verify`, `outlay version`.
"""

from typing import Any

import typer

from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Pairs, Rows

group = typer.Typer(help="The database: its schema and its revision.")


def register(app: typer.Typer) -> None:
    """
    Put these commands on the command line.
    """
    command(app, "verify")(verify)
    command(app, "version")(version)
    app.add_typer(group, name="db")


@command(group, "upgrade")
def upgrade(common: Common) -> Answer:
    """Bring the database to the schema of this version."""
    from outlay import schema
    from outlay.database import refuse_foreign

    url = common.settings().database_url
    refuse_foreign(url)
    found = schema.upgrade(url)
    wanted = schema.head()
    said = f"The database is at {wanted}" + (", as it was." if found == wanted else ".")
    return Answer({"found": found, "revision": wanted, "changed": found != wanted}, (said,))


@command(group, "current")
def current(common: Common) -> Answer:
    """Show the revision of the database, and the one that this version needs."""
    from outlay import schema
    from outlay.database import revision

    found, wanted = revision(common.settings().database_url), schema.head()
    data = {"revision": found, "wanted": wanted, "current": found == wanted}
    return Answer(data, (Pairs(tuple(data.items())),))


@command(group, "check")
def check(common: Common) -> Answer:
    """Fail unless the database is at the revision that this version needs."""
    from outlay import schema
    from outlay.database import revision
    from outlay.errors import SchemaMismatch

    url = common.settings().database_url
    if revision(url) is None:
        raise SchemaMismatch(None, schema.head(), schema.UPGRADE)
    schema.check(url)
    return Answer({"ok": True, "revision": schema.head()}, (f"The database is at {schema.head()}.",))


def verify(common: Common) -> Answer:
    """Check every rule of the books: sums, hash chains, decisions and their holds."""
    from outlay.admin.books import verify as check_all

    with common.opened() as app:
        found = check_all(app)
    return Answer(found, _verified(found), 0 if found["ok"] else 1)


def version(_common: Common) -> Answer:
    """Show the versions of Outlay, of Python and of the prices."""
    import platform
    from importlib.metadata import version as installed

    data = {
        "outlay": installed("outlay"),
        "python": platform.python_version(),
        "prices": f"genai-prices {installed('genai-prices')}",
    }
    return Answer(data, (Pairs(tuple(data.items())),))


def _verified(found: dict[str, Any]) -> tuple[Any, ...]:
    checks = [{"check": name, "result": "ok" if ok else "FAILED"} for name, ok in found["checks"].items()]
    problems = tuple(f"problem: {problem}" for problem in found.get("problems", ()))
    said = "The books are right" if found["ok"] else "The books are NOT right"
    table = Rows((("check", "check"), ("result", "result")), checks)
    return (table, *problems, f"{said}; tenants: {found['tenants']}, transfers: {found['transfers']}.")
