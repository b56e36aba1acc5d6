"""
One operation in the writer's hands, and the future of whoever waits for it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ledger.errors import LedgerError
from ledger.types import Attachment, Operation, Result


class Ticket(Future[Result]):
    """
    The future of one operation; remembers that its caller gave up although the operation was under way.
    """

    def __init__(self, item: "Item", gave_up: Callable[["Item"], None]) -> None:
        super().__init__()
        self._item = item
        self._gave_up = gave_up
        self._delivered = False

    def result(self, timeout: float | None = None) -> Result:
        """
        Return the answer; from now on the caller knows it and cancelling means nothing.
        """
        answer = super().result(timeout)
        self._delivered = True
        return answer

    def cancel(self) -> bool:
        """
        Cancel the operation; a hold that is under way is given back once it has committed.
        """
        if super().cancel():
            return True
        if self._delivered:
            return False
        self._item.abandoned = True
        if self.done():
            self._gave_up(self._item)
        return False


@dataclass(slots=True, eq=False)
class Item:
    """
    One operation in the writer's hands.

    A caller that cannot give up sleeps on `asleep`, which costs a third of a ticket. `ambiguous` is set when
    a COMMIT that carried it out got no answer: if the key is then found, with its hold, it was ours.
    """

    op: Operation
    attach: Sequence[Attachment]
    ticket: Ticket | None = None
    asleep: "threading.Lock | None" = None
    result: Result | None = None
    error: LedgerError | None = None
    applied: bool = False
    ambiguous: bool = False
    abandoned: bool = False

    def finish(self) -> None:
        """
        Give the answer to whoever waits for it.

        The ticket knows its item; the item lets go of the ticket, or only the garbage collector would ever
        free the two, and every caller would wait for that.
        """
        ticket, self.ticket = self.ticket, None
        if self.asleep is not None:
            self.asleep.release()
        elif ticket is not None:
            if self.error is not None:
                ticket.set_exception(self.error)
            else:
                assert self.result is not None
                ticket.set_result(self.result)

    def answer(self) -> Result:
        """
        Return the answer to the caller whose own thread carried the operation out.
        """
        if self.error is not None:
            raise self.error
        assert self.result is not None
        return self.result
