"""
What recent traffic names: the tasks of the newest calls, how many there were, and which models served them.
"""

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from outlay.tables import decision as table

WINDOW_US: Final = 7 * 86_400 * 1_000_000
CALLS_MAX: Final = 20_000
"""Of busier books, the newest calls stand for all."""


@dataclass(frozen=True, slots=True)
class TaskSeen:
    """
    A task that recent calls name; without a name, the calls that name none.
    """

    task: str | None
    calls: int
    models: dict[str, int]


def tasks_seen(connection: Connection, now_us: int, *, tenant: str | None = None) -> tuple[TaskSeen, ...]:
    """
    Return the tasks of the last seven days, the most frequent first.

    Args:
        tenant: None counts the calls of all tenants.
    """
    wanted: list[ColumnElement[Any]] = [table.c.at_us >= now_us - WINDOW_US, table.c.attempt == 0]
    if tenant is not None:
        wanted.append(table.c.tenant == tenant)
    newest = select(table.c.task, table.c.served_model).where(*wanted)
    calls = newest.order_by(table.c.at_us.desc()).limit(CALLS_MAX).subquery()
    counted = select(calls.c.task, calls.c.served_model, func.count()).group_by(
        calls.c.task, calls.c.served_model
    )
    found: dict[str | None, dict[str, int]] = {}
    for task, model, count in connection.execute(counted):
        models = found.setdefault(task, {})
        models[model or "-"] = int(count)
    seen = (
        TaskSeen(task, sum(models.values()), dict(sorted(models.items()))) for task, models in found.items()
    )
    return tuple(sorted(seen, key=lambda one: (-one.calls, one.task or "")))
