"""
The object graph of one process: plain constructor calls, no container.

An `App` is opened once per process, handed to whoever needs it, and closed at the end.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

from sqlalchemy import Connection, Engine

import circuit.tables
from circuit.spend import spend_deltas
from circuit.store_sql import SqlCircuitStore
from ledger import Ledger, make_engine, reading
from ledger.clocks import ClockCheck
from ledger.types import Attachment, HoldEvent
from outlay import schema
from outlay.classifiers_sql import Classifiers
from outlay.clock import now_us
from outlay.database import missing_file, ready_folder, refuse_foreign
from outlay.decisions_sql import Decisions
from outlay.errors import BadInput, BooksUnavailable, translated
from outlay.ids import new_id
from outlay.keys_sql import Keys
from outlay.policies_sql import Policies
from outlay.records import captured_row
from outlay.scores_sql import Scores
from outlay.sessions_sql import Sessions
from outlay.settings import Settings
from outlay.tables import EVERYBODY, decision
from pricing.load import load_prices
from pricing.table import PriceTable
from router.policy import load_policy


class App:
    """
    Everything that a process of Outlay works with.

    Attributes:
        owner: Names this process in its holds and in its meters; unique.
    """

    def __init__(self, settings: Settings, engine: Engine, *, check_clock: bool = True) -> None:
        self.settings = settings
        self.engine = engine
        self._closed = False
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{new_id(now_us())[-6:]}"
        check = ClockCheck(engine, now_us) if check_clock else None
        self.ledger = Ledger(engine, owner=self.owner, tap=self._tap, check=check)
        self.circuit = SqlCircuitStore(engine)
        self.keys = Keys(engine)
        self.policies = Policies(engine)
        self.decisions = Decisions()
        self.sessions = Sessions(engine)
        self.scores = Scores(engine)
        self.classifiers = Classifiers(engine)

    @cached_property
    def prices(self) -> PriceTable:
        """
        The price table, loaded at its first use (0.4 s).
        """
        return load_prices()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """
        Open a connection that only reads: one consistent picture, and no lock.
        """
        self.check_open()
        with reading(self.engine) as connection:
            yield connection

    def close(self) -> None:
        """
        Write what waits, then let go of the database.
        """
        self.ledger.close()
        self.engine.dispose()
        self._closed = True

    def check_open(self) -> None:
        """
        See that the books were not closed; the engine would open another connection.

        Raises:
            BooksUnavailable: They were.
        """
        if self._closed:
            raise BooksUnavailable("these books were closed; open them again")

    def _tap(self, events: Sequence[HoldEvent]) -> list[Attachment]:
        """
        What has to be true of a hold in the same transaction as its change: it is metered by the spend
        breakers, and a hold that nobody settled has its decision record.
        """
        moves = [(event.tenant, event.opened_us, event.delta_nanos) for event in events]
        deltas = spend_deltas(moves, self.owner)
        rows = [Attachment(circuit.tables.spend_bucket, delta.row, add=("amount_nanos",)) for delta in deltas]
        lost = [captured_row(event) for event in events if event.kind == "captured"]
        rows.extend(Attachment(decision, row, ignore=True) for row in lost if row is not None)
        return rows


def open_app(settings: Settings, *, migrate: bool | None = None, check_clock: bool = True) -> App:
    """
    Open the books of a process.

    Args:
        migrate: Bring the database to this version's schema: None does so on SQLite only, where nobody
            else takes care of it; on PostgreSQL an operator decides when (`outlay db upgrade`).
        check_clock: Refuse what a clock that runs ahead would do; False only where time is made up.
    Raises:
        BadInput: The database address or the policy file cannot be used.
        SchemaMismatch: The database has another schema than this version needs.
        BooksUnavailable: The database cannot be reached.
    """
    refuse_foreign(settings.database_url)
    if missing_file(settings.database_url) is not None:
        _policy_text(settings)  # before books are made for it
        ready_folder(settings)
    with translated():
        engine = make_engine(settings.database_url)
    try:
        with translated():
            _check_schema(engine, migrate=migrate)
            app = App(settings, engine, check_clock=check_clock)
    except BaseException:
        engine.dispose()
        raise
    try:
        _first_policy(app)
    except BaseException:
        app.close()
        raise
    return app


def _check_schema(engine: Engine, *, migrate: bool | None) -> None:
    if migrate is False or (migrate is None and engine.dialect.name != "sqlite"):
        schema.check(engine)
    elif schema.current(engine) != schema.head():
        schema.upgrade(engine)


def _first_policy(app: App) -> None:
    """Apply the policy file of the settings where the database holds no policy yet."""
    if app.settings.policy_file is None:
        return
    with translated(), app.reading() as connection:
        if app.policies.history(connection, EVERYBODY):
            return
    text = _policy_text(app.settings)
    if text is not None:
        app.policies.apply(text, actor="OUTLAY_POLICY", note="first start", now_us=now_us())


def _policy_text(settings: Settings) -> str | None:
    """Read the policy file of the settings, if there is one, and find it in order."""
    path = settings.policy_file
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("OUTLAY_POLICY", path, f"cannot be read: {error}", "name a TOML file") from error
    with translated():
        load_policy(text)
    return text
