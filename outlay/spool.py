"""
Closings on disk that the books have not taken yet: one JSON line each, with its checksum, fsynced.

Each process appends to a file of its own and holds that file's lock while it lives. Whoever can lock a file
of a dead process carries out what it left. A line may be carried out twice, never by two at once: its key
makes the second time harmless. A torn last line was promised to nobody and is passed over.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL

import circuit.tables
import outlay.tables
from ledger.types import Attachment, Operation, Release, Settle

Closing = tuple[Operation, Sequence[Attachment]]
ENDING: Final = ".spool"
NAMES_MAX: Final = 5
_PART: Final = 65_536
_KINDS: Final[dict[str, type[Settle | Release]]] = {"Settle": Settle, "Release": Release}
_log = logging.getLogger("outlay")


class Spool:
    """
    One file of closings, locked by one process.

    Args:
        path: The file; made if absent.

    Raises:
        BlockingIOError: Another process has it.
        OSError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._pid = os.getpid()
        self._fd = _open_locked(path)
        self._read_to = 0
        self._end = os.lseek(self._fd, 0, os.SEEK_END)

    def append(self, op: Operation, attach: Sequence[Attachment]) -> None:
        """
        Write a closing; once this returns it survives a crash.

        Raises:
            OSError, TypeError, ValueError: It could not be written.
        """
        line = _line(op, attach)
        if self._pid != os.getpid():
            raise OSError("the spool belongs to the process that was forked")
        try:
            if os.write(self._fd, line) != len(line):
                raise OSError("the disk took only a part")
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._end)  # what is half written would spoil the next line
            raise
        self._end += len(line)

    def __len__(self) -> int:
        return self._end - self._read_to

    def first(self) -> Closing | None:
        """
        Return the first closing that is not done; lines that cannot be read are named and passed over.
        """
        while self._read_to < self._end:
            line = self._next_line()
            try:
                return _closing(line)
            except (ValueError, KeyError, TypeError) as error:
                torn = self._read_to + len(line) >= self._end and not line.endswith(b"\n")
                _log.log(
                    logging.WARNING if torn else logging.ERROR,
                    "%s has a line that cannot be read (%s); the hold of its call will be captured: %r",
                    self._path, error, line[:200],
                )  # fmt: skip
                self.done()
        return None

    def done(self) -> None:
        """
        Pass over the first closing; an empty file is cut, so that it does not grow for ever.
        """
        self._read_to += len(self._next_line())
        if self._read_to >= self._end:
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)
            self._read_to = self._end = 0

    def _next_line(self) -> bytes:
        os.lseek(self._fd, self._read_to, os.SEEK_SET)
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self._fd, _PART)
            if not part:
                return line
            line = (line + part).partition(b"\n")[0] + b"\n" if b"\n" in part else line + part
        return line

    def close(self) -> None:
        """
        Give the file up, and remove it if nothing is left in it.
        """
        if self._pid != os.getpid():
            return
        if len(self) == 0:
            with suppress(OSError):  # it is empty either way
                self._path.unlink()  # while the lock is ours: nobody can have written to it
        os.close(self._fd)


def database_of(url: URL) -> str:
    """
    Name a database by its address: the same from every folder and for every password.
    """
    if url.get_backend_name() == "sqlite":
        url = url.set(database=str(Path(str(url.database)).resolve()))
    return url.render_as_string(hide_password=True)


def spool_path(folder: str, database_url: str, owner: str) -> Path:
    """
    Return the file of a process: named after its database, so that no other database gets its lines.
    """
    return Path(folder) / f"{_database(database_url)}-{sha256(owner.encode()).hexdigest()[:16]}{ENDING}"


def own_spool(folder: str, database_url: str, owner: str) -> Spool:
    """
    Make the file of a process; under the next name where another process was at it before it was locked, and
    may be for as long as the books are out of reach.

    Raises:
        OSError: No file can be made.
    """
    for turn in range(1, NAMES_MAX):
        with suppress(BlockingIOError):
            return Spool(spool_path(folder, database_url, owner if turn == 1 else f"{owner} {turn}"))
    return Spool(spool_path(folder, database_url, f"{owner} {NAMES_MAX}"))


def any_left(folder: str, database_url: str) -> bool:
    """
    Tell whether there is any file of this database, whosever it is.
    """
    return any(_files(folder, database_url))


def waiting_bytes(folder: str, database_url: str) -> int:
    """
    Tell how much waits for this database.
    """
    return sum(path.stat().st_size for path in _files(folder, database_url))


def left_behind(folder: str, database_url: str) -> Iterator[Spool]:
    """
    Yield the files that dead processes of this database left, locked; the caller closes each.
    """
    for path in sorted(_files(folder, database_url)):
        try:
            yield Spool(path)
        except OSError:  # its owner lives, or another process carries it out
            continue


def _files(folder: str, database_url: str) -> Iterator[Path]:
    return Path(folder).glob(f"{_database(database_url)}-*{ENDING}")


def _database(url: str) -> str:
    return sha256(url.encode()).hexdigest()[:12]


def _open_locked(path: Path) -> int:
    """
    Open a file and lock it; again, if whoever had it locked removed it in between.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            _lock(fd)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        except OSError:
            os.close(fd)
            raise
        os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 2**40, os.SEEK_SET)  # beyond what is read: Windows locks keep readers out
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _line(op: Operation, attach: Sequence[Attachment]) -> bytes:
    """
    Write a closing as one line: the checksum of the text, then the text.
    """
    kind = type(op).__name__
    if kind not in _KINDS:
        raise TypeError(f"{kind} does not close a hold")
    rows = [
        {"table": str(one.table), "values": dict(one.values), "add": one.add, "ignore": one.ignore}
        for one in attach
    ]
    text = json.dumps({"op": kind, "fields": asdict(op), "rows": rows}, separators=(",", ":"))
    return f'{{"sha256":"{sha256(text.encode()).hexdigest()}","closing":{text}}}\n'.encode()


def _closing(line: bytes) -> Closing:
    """
    Read a closing back.

    Raises:
        ValueError, KeyError, TypeError: The line is torn, or not what was written.
    """
    outer = json.loads(line)
    text = json.dumps(outer["closing"], separators=(",", ":"))
    if sha256(text.encode()).hexdigest() != outer["sha256"]:
        raise ValueError("its checksum is wrong")
    inner = outer["closing"]
    return _KINDS[inner["op"]](**inner["fields"]), tuple(_attachment(row) for row in inner["rows"])


def _attachment(row: dict[str, Any]) -> Attachment:
    tables = {**outlay.tables.metadata.tables, **circuit.tables.metadata.tables}
    return Attachment(tables[row["table"]], row["values"], tuple(row["add"]), row["ignore"])
