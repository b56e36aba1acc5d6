"""
Notices that an SQLite file was deleted or replaced under the processes that have it open.

SQLite goes on writing to a file that has no name any more: what it acknowledges then is gone with the last
process. So the file is looked at after each COMMIT, before its answer, and as a connection is taken.
"""

import os
import sqlite3
import time
from contextlib import suppress
from typing import Final

_Identity = tuple[int, int]
_LOG: Final = "-wal"
_GOOD_S: Final = 0.1
_forbidden: Final[set[_Identity]] = set()


class BooksMoved(sqlite3.OperationalError):
    """
    The file is not the one that was opened; the message names it.
    """


class BooksInherited(BooksMoved):
    """
    The file was in use when this process was forked; the message names it.
    """


class SqliteFile:
    """
    The file of an engine: the one that its first connection opened.
    """

    def __init__(self, path: str, *, make: bool = True) -> None:
        self.path = path
        self._make = make
        self._opened: _Identity | None = None
        self._lost_log = False
        self._good_until = 0.0

    def check(self) -> None:
        """
        See that the file is the one that was opened first.

        Raises:
            BooksMoved: It is another one, or none.
        """
        if self._lost_log:
            raise self._moved(self.path + _LOG)
        if self._opened is not None and _identity(self.path) != self._opened:
            raise self._moved(self.path)

    def check_lately(self) -> None:
        """
        As `check`, but a look is good for a tenth of a second: for connections that may only read.
        """
        if time.monotonic() >= self._good_until:
            self.check()
            self._good_until = time.monotonic() + _GOOD_S

    def opening(self) -> None:
        """
        Make the file where a first connection will find none; a later one has to find it.
        """
        self.check()
        if _identity(self.path) in _forbidden:
            said = "was in use as this process was forked, and SQLite could not lock it here"
            raise BooksInherited(
                f"{self.path} {said}: fork before it is opened, or while nothing is under way"
            )
        if self._make and self._opened is None:
            make_private(self.path)

    def opened(self) -> None:
        """
        Remember the file of the first connection; a later one has to be of the same.
        """
        if self._opened is None:
            self._opened = _identity(self.path)
        self.check()

    def forbid(self) -> None:
        """
        Take no connections in this process any more, nor by another engine.
        """
        identity = self._opened or _identity(self.path)
        if identity is not None:
            _forbidden.add(identity)

    def lose_log(self) -> None:
        """
        Take no more connections: a new log would hide what was committed to the one that is lost. That one is
        still open, and is written into the file when the last connection is closed.
        """
        self._lost_log = True

    def _moved(self, path: str) -> BooksMoved:
        self._good_until = 0.0
        said = "was deleted or replaced while it was open: put it back, or restart what uses it"
        return BooksMoved(f"{path} {said}")


def make_private(path: str | os.PathLike[str]) -> None:
    """
    Make a file that is not there yet, readable by its owner only; SQLite gives its log the same mode.
    """
    with suppress(OSError):  # there is one, or there can be none: then SQLite says why
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


class CommitLog:
    """
    What one connection writes to: the file, and the write-ahead log that SQLite keeps beside it while any
    connection is open.
    """

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._path = os.path.realpath(file.path) + _LOG  # SQLite follows a link first
        self._opened: _Identity | None = None

    def check(self) -> None:
        """
        See that a COMMIT went to the files that have the names.

        Raises:
            BooksMoved: It went to nowhere.
        """
        self._file.check()
        found = _identity(self._path)
        if self._opened is None:
            self._opened = found
        elif found != self._opened:
            self._file.lose_log()
            self._file.check()


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
