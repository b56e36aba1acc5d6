"""
The decision log read from one end to the other: page by page, each a short reading of its own.

A log of any length is read in the memory of a page, and no reading lasts so long that it would keep the
database from tidying up.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select, func, select, tuple_

from outlay.decisions_sql import cost
from outlay.errors import BadInput, translated
from outlay.tables import decision as table
from outlay.wiring import App

PAGE: Final = 500
_BOOKED: Final = cost().label("booked_nanos")
"""What a call cost as the books have it now; all other columns are as recorded."""
Row = Mapping[str, Any]


def count(app: App, *, tenant: str | None = None, from_us: int = 0) -> int:
    """
    Count the decisions of a tenant, or of all, since an instant.
    """
    query = _of(select(func.count()).select_from(table), tenant, from_us)
    with translated(), app.reading() as connection:
        return int(connection.execute(query).scalar_one())


def oldest_first(
    app: App, columns: Sequence[str], *, tenant: str | None = None, from_us: int = 0
) -> Iterator[Sequence[Row]]:
    """
    Read decisions in the order in which they were made; pages of the named columns.
    """
    query = _of(_selected(columns), tenant, from_us).order_by(table.c.at_us, table.c.id)
    return _pages(app, query, newest=False)


def newest_first(app: App, columns: Sequence[str], *, tenant: str | None = None) -> Iterator[Sequence[Row]]:
    """
    Read decisions from the newest to the oldest; pages of the named columns.
    """
    query = _of(_selected(columns), tenant, 0).order_by(table.c.at_us.desc(), table.c.id.desc())
    return _pages(app, query, newest=True)


def archived(path: str, *, tenant: str | None = None) -> Iterator[Sequence[Row]]:
    """
    Read the decisions of a file that `outlay db archive` wrote.

    Raises:
        BadInput: There is no such file, or it is not one of those.
    """
    fix = "Name a file that outlay db archive wrote."
    try:
        with open(path, encoding="utf-8") as file:
            rows = (found["row"] for line in file if (found := json.loads(line))["table"] == table.name)
            wanted = (row for row in rows if tenant in (None, row["tenant"]))
            while page := tuple(islice(wanted, PAGE)):
                yield page
    except OSError as error:
        raise BadInput("archive", path, f"cannot be read: {error.strerror}", fix) from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput("archive", path, "is not an archive", fix) from error


def _selected(columns: Sequence[str]) -> Select[Any]:
    return select(*(_BOOKED if name == _BOOKED.name else table.c[name] for name in columns))


def _of(query: Select[Any], tenant: str | None, from_us: int) -> Select[Any]:
    query = query if from_us == 0 else query.where(table.c.at_us >= from_us)
    return query if tenant is None else query.where(table.c.tenant == tenant)


def _pages(app: App, query: Select[Any], *, newest: bool) -> Iterator[Sequence[Row]]:
    """Continue each page after the last row of the one before."""
    key, page = tuple_(table.c.at_us, table.c.id), query
    while True:
        with translated(), app.reading() as connection:
            rows: Sequence[Row] = [dict(row._mapping) for row in connection.execute(page.limit(PAGE))]
        if rows:
            yield rows
        if len(rows) < PAGE:
            return
        last = tuple_(rows[-1]["at_us"], rows[-1]["id"])
        page = query.where(key < last if newest else key > last)
