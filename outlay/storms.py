"""
Storms of refusals: the first of a minute are kept one by one, the rest are counted.

What is counted is written once a second, all of it together: a loop of refused calls costs the books little,
and a process that dies loses what it counted since. What could not be written is counted on and written with
the next. Nothing is counted twice: where the answer was lost, the same note is sent again under its key.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Final

from ledger import Ledger, LedgerError, OperationFailed, OutcomeUnknown
from ledger.types import Attachment, Note, Refused, Result
from outlay.ids import new_id
from outlay.tables import refusal_count

CALM_PER_MINUTE: Final = 30
_MINUTE_US: Final = 60 * 1_000_000
_KEPT_MAX: Final = 10_000
_WRITE_EVERY_US: Final = 1_000_000
_UNANSWERED_MAX: Final = 60
_log = logging.getLogger("outlay")

Kind = tuple[str, str, int]
"""Tenant, code and minute of refusals."""


class Storms:
    """
    Counts refusals per tenant, code and minute in this process; safe to use from several threads.
    """

    def __init__(self, calm: int = CALM_PER_MINUTE) -> None:
        self._calm = calm
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}
        self._counted: dict[Kind, int] = {}
        self._taken_us = 0

    def is_calm(self, tenant: str, code: str, at_us: int) -> bool:
        """
        Count one refusal; tell whether it may have a record of its own.
        """
        minute = at_us // _MINUTE_US
        with self._lock:
            if len(self._seen) > _KEPT_MAX:
                self._seen.clear()
            since, count = self._seen.get((tenant, code), (minute, 0))
            count = count + 1 if since == minute else 1
            self._seen[(tenant, code)] = (minute, count)
        return count <= self._calm

    def count(self, tenant: str, code: str, at_us: int) -> None:
        """
        Count a refusal that has no record of its own.
        """
        kind = (tenant, code, at_us - at_us % _MINUTE_US)
        with self._lock:
            self._counted[kind] = self._counted.get(kind, 0) + 1

    def take_counts(self, at_us: int | None = None) -> list[Attachment]:
        """
        Return the rows of what was counted and not taken yet; at an instant only once a second.
        """
        with self._lock:
            if not self._counted or (at_us is not None and abs(at_us - self._taken_us) < _WRITE_EVERY_US):
                return []
            self._taken_us = self._taken_us if at_us is None else at_us
            counted, self._counted = self._counted, {}
        return [_row(kind, count) for kind, count in counted.items()]

    def give_back(self, rows: Sequence[Attachment]) -> int:
        """
        Count again what was taken and is written nowhere; returns how many are lost, as no more are kept.
        """
        lost = 0
        with self._lock:
            for row in rows:
                kind, count = _kind(row)
                if kind in self._counted or len(self._counted) < _KEPT_MAX:
                    self._counted[kind] = self._counted.get(kind, 0) + count
                else:
                    lost += count
        return lost


class Counts:
    """
    Writes what storms are counted, beside the refusals: one of them that fails takes no counts with it.
    """

    def __init__(self, storms: Storms, ledger: Ledger) -> None:
        self._storms, self._ledger = storms, ledger
        self._unanswered: list[tuple[Note, Sequence[Attachment]]] = []
        self._underway: set[Future[None]] = set()
        self._failing = False

    def write(self, at_us: int) -> None:
        """
        Write all that is counted, and wait for it.
        """
        wait(self._underway.copy())  # what of it fails is counted again
        self._send(at_us, self._storms.take_counts())
        wait(self._underway.copy())

    def write_lately(self, at_us: int) -> None:
        """
        Have what is counted written, once a second; nobody waits for it.
        """
        if counted := self._storms.take_counts(at_us):
            self._send(at_us, counted)

    def _send(self, at_us: int, counted: Sequence[Attachment]) -> None:
        due, self._unanswered = self._unanswered, []
        if counted:
            note = Note(str(counted[0].values["tenant"]), f"note:{new_id(at_us)}", at_us)
            due = [*due, (note, counted)]
        for one, rows in due:
            self._submit(one, rows)

    def _submit(self, note: Note, rows: Sequence[Attachment]) -> None:
        try:
            answer = self._ledger.submit(note, rows)
        except LedgerError as error:
            self._not_written(note, rows, error)
            return
        ended: Future[None] = Future()
        self._underway.add(ended)
        answer.add_done_callback(partial(self._answered, note, rows, ended))

    def _answered(
        self, note: Note, rows: Sequence[Attachment], ended: Future[None], answer: Future[Result]
    ) -> None:
        try:
            error = answer.exception()
            if error is not None or isinstance(answer.result(), Refused):
                self._not_written(note, rows, error or answer.result())
            else:
                self._failing = False
        finally:
            self._underway.discard(ended)
            ended.set_result(None)

    def _not_written(self, note: Note, rows: Sequence[Attachment], why: object) -> None:
        """Keep what may be written by another try; what the database rejects, it would reject again."""
        if isinstance(why, OutcomeUnknown) and len(self._unanswered) < _UNANSWERED_MAX:
            self._unanswered.append((note, rows))
            lost = 0
        elif isinstance(why, OutcomeUnknown | OperationFailed):
            lost = sum(_kind(row)[1] for row in rows)
        else:
            lost = self._storms.give_back(rows)
        if lost:
            _log.error("%s counted refusals are lost: %s", lost, why)
        elif not self._failing:
            _log.warning("counted refusals are not written yet, and tried again every second: %s", why)
        self._failing = True


def _kind(row: Attachment) -> tuple[Kind, int]:
    values = row.values
    tenant, code, minute_us, count = (values[name] for name in ("tenant", "code", "minute_us", "count"))
    return (str(tenant), str(code), int(str(minute_us))), int(str(count))


def _row(kind: Kind, count: int) -> Attachment:
    tenant, code, minute_us = kind
    values = {"tenant": tenant, "code": code, "minute_us": minute_us, "count": count}
    return Attachment(refusal_count, values, add=("count",))
