"""
`outlay doctor`: looks at everything that a working Outlay needs, and says how to mend what is wrong.

It changes nothing and makes nothing, not even an SQLite file.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import typer

from outlay.cli.failures import classify
from outlay.cli.frame import Answer, Common, command
from outlay.cli.output import Rows
from outlay.siblings import SIBLINGS
from outlay.words import plural

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from outlay.settings import Settings

OK, WARN, FAIL, SKIPPED = "ok", "warning", "failed", "skipped"
BUILT_US: Final = 1_790_000_000_000_000  # September 2026: no machine that runs this is older
SKEW_MAX_US: Final = 5_000_000
SWEPT_US: Final = 60_000_000
"""What ended longer ago has been booked where a gateway runs."""
MADE: Final = "made by the first: outlay tenant create"
NAMED_MAX: Final = 5
PACKAGES: Final = (*SIBLINGS, "gateway", "dashboard")


@dataclass(frozen=True, slots=True)
class Check:
    """
    One finding; `fix` is empty where nothing is to be done.
    """

    name: str
    state: str
    found: str
    fix: str = ""


def register(app: typer.Typer) -> None:
    """
    Put this command on the command line.
    """
    command(app, "doctor")(doctor)


def doctor(common: Common) -> Answer:
    """Check the installation, the database, the policy and the clock; each line says its fix."""
    checks = examine(common.settings())
    failed = sum(check.state == FAIL for check in checks)
    found = [asdict(check) for check in checks]
    columns = (("name", "check"), ("state", "state"), ("found", "found"), ("fix", "fix"))
    warned = sum(check.state == WARN for check in checks)
    said = f"{plural(len(checks), 'check')}, {failed} failed, {warned} with a warning."
    return Answer({"ok": failed == 0, "checks": found}, (Rows(columns, found), said), 0 if failed == 0 else 1)


def check_siblings(_settings: "Settings") -> Check:
    """
    Our packages have common names; another package of that name must not stand before ours.
    """
    from importlib.util import find_spec
    from pathlib import Path

    import outlay

    home = Path(str(outlay.__file__)).parents[1]
    for name in PACKAGES:
        spec = find_spec(name)
        origin = Path(spec.origin).parents[1] if spec is not None and spec.origin is not None else None
        if origin is None or not origin.samefile(home):
            place = "is missing" if spec is None else f"is {spec.origin or 'a folder without code'}"
            return Check("packages", FAIL, f"{name} {place}", "install Outlay in an environment of its own")
    return Check("packages", OK, f"all in {home}")


def check_zones(_settings: "Settings") -> Check:
    """
    Budgets end at a tenant's midnight, which takes time zone data.
    """
    from ledger.budget import known_timezone

    missing = [
        zone for zone in ("Europe/Berlin", "Asia/Kolkata", "America/New_York") if not known_timezone(zone)
    ]
    if missing:
        return Check("time zones", FAIL, f"unknown: {', '.join(missing)}", "install the package tzdata")
    return Check("time zones", OK, "known")


def check_database(settings: "Settings") -> Check:
    """
    The database answers.
    """
    from outlay.database import missing_file, missing_folder, refuse_foreign

    with _found("database", "check OUTLAY_DATABASE_URL, and that the server runs") as found:
        refuse_foreign(settings.database_url)
        if (path := missing_file(settings.database_url)) is not None:
            folder = missing_folder(settings)
            fix = MADE if folder is None else f"check the path, or make the folder {folder}"
            return Check("database", WARN, f"{path} does not exist", fix)
        with _engine(settings) as engine, engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
        found.append(Check("database", OK, f"{engine.dialect.name} answers"))
    return found[0]


def check_schema(settings: "Settings") -> Check:
    """
    The database has the tables that this version works with.
    """
    from outlay import schema
    from outlay.database import missing_file, revision, sqlite_file

    with _found("schema", "see: outlay db check") as found:
        at, wanted = revision(settings.database_url), schema.head()
        if at == wanted:
            found.append(Check("schema", OK, f"at {at}"))
        elif at is None and sqlite_file(settings.database_url) is not None:
            new = missing_file(settings.database_url) is not None  # which is told as that
            found.append(Check("schema", SKIPPED if new else WARN, "no tables yet", "" if new else MADE))
        else:
            fix = schema.UPGRADE if at in (None, *schema.revisions()) else schema.NEWER
            found.append(Check("schema", FAIL, f"at {at}, wanted is {wanted}", fix))
    return found[0]


def check_policy(settings: "Settings") -> Check:
    """
    The policy in force can be read, and no rule in it looks like a mistake.
    """
    from router.policy import default_policy_text, lint, load_policy

    fix = "see: outlay policy show, outlay policy apply"
    with _found("policy", fix) as found:
        text, said = _policy_text(settings), "your own"
        if text is None:
            text, said = default_policy_text(), "the packaged one"
        warnings = lint(load_policy(text))
        found.append(
            Check("policy", WARN if warnings else OK, "; ".join((said, *warnings)), fix if warnings else "")
        )
    return found[0]


def check_waiting(settings: "Settings") -> Check:
    """
    No call waits on disk to be closed: books that were out of reach when it ended take it later.
    """
    from sqlalchemy import make_url

    from outlay.spool import database_of, waiting_bytes

    folder = settings.spool_folder
    with _found("waiting calls", "check OUTLAY_SPOOL") as found:
        database = database_of(make_url(settings.database_url))
        waiting = 0 if folder is None else waiting_bytes(folder, database)
        if waiting:
            fix = "whatever opens these books next closes them, such as: outlay gateway"
            found.append(Check("waiting calls", WARN, f"{waiting} bytes in {folder} are not booked yet", fix))
        else:
            found.append(Check("waiting calls", OK, "none"))
    return found[0]


def check_upstream(settings: "Settings") -> Check:
    """
    There is a key for the provider; calls that Outlay sends need one.
    """
    if settings.upstream_key is None:
        fix = "set ANTHROPIC_API_KEY where the gateway runs"
        return Check("upstream key", WARN, f"none for {settings.upstream_url}", fix)
    return Check("upstream key", OK, f"present, for {settings.upstream_url}")


def check_names(settings: "Settings") -> Check:
    """
    Calls can match every budget: names are compared in one Unicode form, in which earlier versions did not
    keep them.
    """
    with _found("budget names", "see: outlay budget set --help") as found:
        if lost := _unmatched(settings):
            more = f" and {len(lost) - NAMED_MAX} more" if len(lost) > NAMED_MAX else ""
            said = f"no call matches {', '.join(lost[:NAMED_MAX])}{more}"
            fix = "set them anew by the same names, which are normalized now: outlay budget set"
            found.append(Check("budget names", WARN, said, fix))
        else:
            found.append(Check("budget names", OK, "calls can match each"))
    return found[0]


def check_clock(settings: "Settings") -> Check:
    """
    The clock is not behind this version or the books, and goes with the database's own clock. SQLite has
    none: there it is told what this one ends.
    """
    from outlay.clock import iso, now_us

    fix = "set the clock of this machine (NTP)"
    if now_us() < BUILT_US:
        return Check("clock", FAIL, f"it says {iso(now_us())}", fix)
    with _found("clock", fix) as found:
        behind = _behind_us(settings)
        if abs(behind) > SKEW_MAX_US:
            side = "behind" if behind > 0 else "ahead of"
            found.append(Check("clock", FAIL, f"{abs(behind) // 1_000_000} s {side} the database", fix))
        elif ended := _ended(settings):
            said = f"ended by {iso(now_us())}, and counted by the books still: {ended}"
            found.append(
                Check("clock", WARN, said, f"nothing if that is the time; else {fix} before a start")
            )
        else:
            found.append(Check("clock", OK, iso(now_us())))
    return found[0]


_OF_THE_MACHINE: Final = (check_siblings, check_zones, check_upstream, check_waiting)
_OF_THE_BOOKS: Final = (
    ("schema", check_schema),
    ("policy", check_policy),
    ("budget names", check_names),
    ("clock", check_clock),
)


def examine(settings: "Settings") -> tuple[Check, ...]:
    """
    Make every check; those that need the database are left out where it does not answer.
    """
    database = check_database(settings)
    machine = [check(settings) for check in _OF_THE_MACHINE]
    if database.state == FAIL:
        books = [Check(name, SKIPPED, "the database does not answer") for name, _ in _OF_THE_BOOKS]
    else:
        books = [check(settings) for _, check in _OF_THE_BOOKS]
    return (*machine, database, *books)


@contextmanager
def _found(name: str, fix: str) -> Iterator[list[Check]]:
    """Collect one finding; whatever goes wrong on the way is a finding too."""
    found: list[Check] = []
    try:
        yield found
    except Exception as error:  # noqa: BLE001 - a doctor reports every illness
        failure = classify(error)
        mend = fix if failure.fix is None or failure.code == "books_unavailable" else failure.fix
        found.append(Check(name, FAIL, failure.message.replace("\n", "; "), mend))


@contextmanager
def _engine(settings: "Settings") -> Iterator["Engine"]:
    from ledger import make_engine

    engine = make_engine(settings.database_url)
    try:
        yield engine
    finally:
        engine.dispose()


def _has_books(settings: "Settings") -> bool:
    from outlay.database import revision

    return revision(settings.database_url) is not None


def _policy_text(settings: "Settings") -> str | None:
    """Return the policy that everybody has, None for the packaged one."""
    from ledger import reading
    from outlay.policies_sql import Policies
    from outlay.tables import EVERYBODY

    if not _has_books(settings):
        return None
    with _engine(settings) as engine, reading(engine) as connection:
        row = Policies(engine).row(connection, EVERYBODY)
    return None if row is None else row.text


def _unmatched(settings: "Settings") -> list[str]:
    """Name the limits under a spelling that no call has and that were not set anew under the one it has."""
    from ledger.rows import WINDOW_NAMES
    from router.hints import canonical

    if not _has_books(settings):
        return []
    query = "SELECT tenant, scope, window_kind, coalesce(limit_amt, raised_amt) FROM ledger_budget"
    with _engine(settings) as engine, engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{query} ORDER BY 1, 2, 3").all()
    known = {(row[0], row[1], row[2]) for row in rows}
    return [
        f"{scope!a} of {tenant} ({WINDOW_NAMES[kind]})"
        for tenant, scope, kind, limit in rows
        if limit is not None and (tenant, canonical(scope), kind) not in known
    ]


def _ended(settings: "Settings") -> str:
    """Name the holds and credits that the next start captures and lets lapse by the clock of this machine."""
    from ledger import reading
    from ledger.tables import UNSPENT
    from outlay.clock import now_us
    from outlay.database import revision
    from outlay.schema import head

    found = revision(settings.database_url)
    if found is None:
        return ""
    unspent = UNSPENT if found == head() else "remaining > 0"  # before the upgrade there is no such column
    with _engine(settings) as engine, reading(engine) as connection:
        if engine.dialect.name != "sqlite":
            return ""
        count = connection.exec_driver_sql
        at = (now_us() - SWEPT_US,)
        holds = count("SELECT count(*) FROM ledger_hold WHERE state = 0 AND expires_at <= ?", at).scalar_one()
        lots = count(
            f"SELECT count(*) FROM ledger_grant_lot WHERE {unspent} AND expires_at <= ?",  # noqa: S608 - our own
            at,
        ).scalar_one()
    return f"{plural(holds, 'hold')} and {plural(lots, 'credit')}" if holds or lots else ""


def _behind_us(settings: "Settings") -> int:
    """Return how far this machine is behind the newest booking, or behind a database that has a clock."""
    from ledger.clocks import DATABASE_CLOCK
    from outlay.clock import now_us

    if not _has_books(settings):
        return 0
    with _engine(settings) as engine, engine.connect() as connection:
        booked = connection.exec_driver_sql("SELECT max(at) FROM ledger_transfer").scalar() or 0
        if engine.dialect.name != "postgresql":
            return max(0, int(booked) - now_us())
        clock = connection.exec_driver_sql(DATABASE_CLOCK).scalar_one()
        return max(int(booked), int(clock)) - now_us()
