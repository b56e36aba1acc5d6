"""
Closes the SQLite connections of a process before it forks; it opens them again when it needs them.

SQLite notes once per process what it has locked in a file, and a child inherits the notes without the locks:
it waits for ever for a lock that its parent had just then, and takes none of its own, so that whoever closes
the file meanwhile deletes the log that the child writes to. Nor may a child close what it inherited. So
nothing is open at a fork; a child of one that could not wait for that is kept from the file.
"""

import ctypes
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Final, Protocol

from sqlalchemy import Engine

from ledger.sqlite_file import SqliteFile

PATIENCE_S: Final = 5.0
"""So long a fork waits for what is under way: a commit, a query."""
_TURN_S: Final = 0.25
_PAUSE_S: Final = 0.002


class Disconnects(Protocol):
    """
    Has a connection of its own.
    """

    def disconnect(self) -> None:
        """
        Close it; the next use opens another.
        """


class _Connection(sqlite3.Connection):
    is_open = True

    def close(self) -> None:
        super().close()
        self.is_open = False


class Connections:
    """
    Those of one engine, and the writers that took one for themselves, each with the lock of its use.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._writers: weakref.WeakKeyDictionary[Disconnects, threading.Lock] = weakref.WeakKeyDictionary()
        self._file = file
        self._engine: Callable[[], Engine | None] = lambda: None
        self._made: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._forking, self._gate = threading.Lock(), threading.Lock()
        self._forker: int | None = None
        self._held: list[threading.Lock] = []
        self._closed = False

    def add(self, writer: Disconnects, lock: threading.Lock) -> None:
        """
        Have a writer's connection closed, too, under the lock of its use.
        """
        with self._forking:
            self._writers[writer] = lock

    def connect(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """
        Open a connection, though not amid a fork.
        """
        with self._gate:
            connection = _Connection(*args, **kwargs)
            self._made.add(connection)
        return connection

    def returned(self, _connection: object, record: Any) -> None:
        """
        Close what comes back to the pool while a fork waits for it.
        """
        if self._forker is not None:
            record.invalidate()

    def watch(self, engine: Engine) -> None:
        """
        Be told of every fork for as long as the engine is used.
        """
        self._engine = weakref.ref(engine)
        mine = weakref.ref(self)

        def told(work: Callable[[Connections], None]) -> Callable[[], None]:
            def run() -> None:
                if (one := mine()) is not None:
                    work(one)

            return run

        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=told(Connections.before),
                after_in_parent=told(Connections.go_on),
                after_in_child=told(Connections.begin_anew),
            )

    def before(self) -> None:
        """
        Wait until everything is closed. It is tried in ever longer turns: who has a connection may need
        another first.
        """
        deadline, turn_s = time.monotonic() + PATIENCE_S, _TURN_S
        while not self._close_all(min(deadline, time.monotonic() + turn_s)):
            if time.monotonic() >= deadline:
                return
            self.go_on()
            time.sleep(_PAUSE_S)
            turn_s *= 2

    def _close_all(self, until: float) -> bool:
        """
        Take the locks in the order in which a writer does that connects, and close all there is.
        """
        if not self._take(self._forking, until):
            return False
        self._forker, self._closed = threading.get_ident(), False
        for writer, lock in list(self._writers.items()):
            if not self._take(lock, until):
                return False
            writer.disconnect()
        if not self._take(self._gate, until):
            return False
        self._close_idle()
        while self._open() and time.monotonic() < until:
            time.sleep(_PAUSE_S)
        self._closed = not self._open()
        return self._closed

    def _take(self, lock: threading.Lock, until: float) -> bool:
        taken = lock.acquire(timeout=max(0.0, until - time.monotonic()))
        if taken:
            self._held.append(lock)
        return taken

    def go_on(self) -> None:
        """
        Let everybody connect again, if it was this thread that kept them from it.
        """
        if self._forker == threading.get_ident():
            held, self._held, self._forker = self._held, [], None
            for lock in reversed(held):
                lock.release()

    def begin_anew(self) -> None:
        """
        In the child: forget what is the parent's, without closing it, and never use a file that it has open.
        """
        if not (self._closed and self._forker == threading.get_ident()):
            self._file.forbid()
        for one in self._open():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))  # nobody ever frees it: that would close it
        self._made, self._writers = weakref.WeakSet(), weakref.WeakKeyDictionary()
        self._forking, self._gate = threading.Lock(), threading.Lock()
        self._forker, self._held = None, []
        if (engine := self._engine()) is not None:
            engine.dispose(close=False)

    def _open(self) -> list[_Connection]:
        return [one for one in self._made if one.is_open]

    def _close_idle(self) -> None:
        """
        Empty the pool, and keep it: threads that wait to connect would fill one that nobody empties any more.
        """
        if (engine := self._engine()) is not None:
            engine.pool.dispose()
