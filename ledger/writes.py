"""
Turns what the rules changed into the statements that make it durable.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, Final, cast

from sqlalchemy import Table
from sqlalchemy.engine import Dialect

from ledger.books import Books
from ledger.drivers import Write
from ledger.kept import Lent
from ledger.loaded import RARE, written
from ledger.rows import (
    Account,
    Budget,
    Draw,
    Hold,
    HoldWindow,
    Lot,
    Op,
    Setting,
    Transfer,
    Window,
    columns,
)
from ledger.statements import MUTABLE, OFTEN, ROWS, Bulk, Texts, attachment, guard_of
from ledger.types import Attachment

Getter = Callable[[Any], tuple[Any, ...]]

_NEVER_CHANGED: Final = (Transfer, Draw, Setting)  # tuples in the order of their columns: sent as they are
_INSERTED: Final[dict[type, Getter]] = {row_type: attrgetter(*columns(row_type)) for row_type in ROWS}
_UPDATED: Final[dict[type, Getter]] = {
    row_type: attrgetter(*changed, *guard_of(row_type)) for row_type, changed in MUTABLE.items()
}
_OFTEN: Final[dict[type, Getter]] = {
    row_type: attrgetter(*MUTABLE[row_type][:often], *guard_of(row_type)) for row_type, often in OFTEN.items()
}


class Writes:
    """
    Makes the statements of one engine.
    """

    def __init__(self, dialect: Dialect, texts: Texts) -> None:
        self._dialect = dialect
        self._texts = texts
        self._attachments: dict[tuple[Table, tuple[str, ...], tuple[str, ...], bool], Bulk] = {}

    def statements(self, changed: dict[type, list[Any]], attached: Sequence[Attachment]) -> list[Write]:
        """
        Return the statements that make changes durable; the rows count as written from here.
        """
        inserts, updates = [], []
        for row_type, rows in changed.items():
            made = rows if row_type in _NEVER_CHANGED else [row for row in rows if row.fresh]
            if made:
                values = made if row_type in _NEVER_CHANGED else list(map(_INSERTED[row_type], made))
                inserts.append(Write(self._texts.insert[row_type], values, counted=True))
            if len(made) < len(rows):
                updates += self._updates(row_type, [row for row in rows if not row.fresh])
            if row_type not in _NEVER_CHANGED:
                written(row_type, made)
        return [*inserts, *updates, *self._attached(attached)]

    def confirmed(self, accounts: Sequence[Account], lent: dict[str, Lent]) -> Write | None:
        """
        Return the update of accounts that fails where one is not as it was lent; None where there is none, or
        an engine cannot say that of a row.
        """
        bulk = self._texts.update_confirmed
        if bulk is None or not accounts:
            return None
        rows = [(*_OFTEN[Account](one), lent[one.tenant].version) for one in accounts]
        return Write(bulk, rows)

    def _updates(self, row_type: type, rows: list[Any]) -> list[Write]:
        """
        Return the updates of rows: of those in which only what calls change has changed, only that.
        """
        rare = RARE.get(row_type)
        often: list[Any] = []
        rest: list[Any] = []
        for row in rows:
            (rest if rare is None or rare(row) != row.rare else often).append(row)
        parts = (
            (often, self._texts.update_often, _OFTEN),
            (rest, self._texts.update, _UPDATED),
        )
        writes = [
            Write(bulks[row_type], list(map(values[row_type], some)), counted=True)
            for some, bulks, values in parts
            if some
        ]
        written(row_type, rest)
        return writes

    def _attached(self, attached: Sequence[Attachment]) -> list[Write]:
        """
        Group attachments into bulk statements, in a fixed order of tables and keys.
        """
        groups: dict[tuple[Table, tuple[str, ...], tuple[str, ...], bool], list[Attachment]] = {}
        for one in attached:
            shape = (cast("Table", one.table), tuple(one.values), one.add, one.ignore)
            groups.setdefault(shape, []).append(one)
        found = []
        for shape in sorted(groups, key=lambda shape: (shape[0].name, shape[1:])):
            bulk = self._attachments.get(shape)
            if bulk is None:
                bulk = self._attachments[shape] = attachment(*shape, self._dialect)
            found.append(Write(bulk, _attached_rows(shape[0], shape[1], shape[2], groups[shape])))
        return found


def changed_rows(books: Sequence[Books]) -> dict[type, list[Any]]:
    """
    Return every row that the rules made or changed, in the order in which new ones are inserted.
    """
    every = [one.changes for one in books]
    for changes in every:
        if changes.lots or changes.budgets or changes.windows or changes.holds or changes.ops:
            changes.account = True  # its version tells others that what they keep is old; its lock holds them
    return {
        Account: [one.account for one in books if one.changes.account and one.account is not None],
        Lot: [row for one in every for row in one.lots.values()],
        Budget: [row for one in every for row in one.budgets.values()],
        Window: [row for one in every for row in one.windows.values()],
        Hold: [row for one in every for row in one.holds.values()],
        HoldWindow: [row for one in every for row in one.hold_windows.values()],
        Transfer: [row for one in every for row in one.transfers],
        Draw: [row for one in every for row in one.draws],
        Op: [row for one in every for row in one.ops.values()],
        Setting: [row for one in every for row in one.settings],
    }


def _attached_rows(
    table: Table, names: tuple[str, ...], add: tuple[str, ...], group: Sequence[Attachment]
) -> list[tuple[Any, ...]]:
    """
    Return the rows of one shape; additions to one key are summed, and keys stand in order so that two writers
    never wait for each other in a circle.
    """
    rows = [tuple(one.values[name] for name in names) for one in group]
    key = tuple(names.index(column.name) for column in table.primary_key if column.name in names)
    if not add:
        return rows
    adding = tuple(names.index(name) for name in add)
    sums: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        place = tuple(row[index] for index in key)
        if place not in sums:
            sums[place] = list(row)
            continue
        for index in adding:
            sums[place][index] += row[index]
    return [tuple(row) for _, row in sorted(sums.items())]
