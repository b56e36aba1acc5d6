"""
The books themselves: `outlay db`, `outlay verify`, `outlay version`.
"""

from typing import Annotated, Any

import typer

from outlay.cli.frame import Answer, Common, command, in_pairs
from outlay.cli.output import Rows

_TO = typer.Option("--to", metavar="FILE", help="New file to write.")
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
    from outlay.database import ready_folder, refuse_foreign

    settings = common.settings()
    url = settings.database_url
    refuse_foreign(url)
    ready_folder(settings)
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
    return in_pairs(data)


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


@command(group, "backup")
def backup(common: Common, to: Annotated[str, _TO]) -> Answer:
    """Copy the books to a file, while they are in use."""
    from outlay.admin.backup import backup as make
    from outlay.database import missing_file, refuse_foreign
    from outlay.errors import SchemaMismatch
    from outlay.schema import UPGRADE, head

    url = common.settings().database_url
    refuse_foreign(url)
    if missing_file(url) is not None:
        raise SchemaMismatch(None, head(), UPGRADE)
    return in_pairs(make(url, to))


@command(group, "restore")
def restore(
    common: Common, file: Annotated[str, typer.Argument(metavar="FILE", help="Made by: outlay db backup.")]
) -> Answer:
    """Bring a backup into an empty database."""
    from outlay.admin.backup import restore as bring_back
    from outlay.database import ready_folder, refuse_foreign

    settings = common.settings()
    url = settings.database_url
    refuse_foreign(url)
    ready_folder(settings)
    return in_pairs(bring_back(url, file))


@command(group, "archive")
def archive(
    common: Common,
    before: Annotated[
        str, typer.Option("--before", metavar="DATE", help="Only what was closed before (UTC).")
    ],
    to: Annotated[str, _TO],
) -> Answer:
    """Move old decisions, closed holds and keys of calls to a file."""
    from outlay.admin.archive import archive as move

    with common.opened() as app:
        return in_pairs(move(app, before, to))


def verify(
    common: Common,
    seal: Annotated[
        str | None, typer.Option("--seal", metavar="FILE", help="Also against exported seals.")
    ] = None,
) -> Answer:
    """Check every rule of the books: sums, hash chains, decisions and their holds."""
    from outlay.admin.books import verify as check_all

    with common.opened() as app:
        found = check_all(app, seal=seal)
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
    return in_pairs(data)


def _verified(found: dict[str, Any]) -> tuple[Any, ...]:
    checks = [{"check": name, "result": "ok" if ok else "FAILED"} for name, ok in found["checks"].items()]
    problems = tuple(f"problem: {problem}" for problem in found.get("problems", ()))
    said = "The books are right" if found["ok"] else "The books are NOT right"
    table = Rows((("check", "check"), ("result", "result")), checks)
    return (table, *problems, f"{said}; tenants: {found['tenants']}, transfers: {found['transfers']}.")
