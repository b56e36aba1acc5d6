"""
An SQLite file that is deleted or replaced under a ledger: nothing is acknowledged that is not in the file.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ledger import Ledger, make_engine, reading, tables
from ledger.errors import OutcomeUnknown, StoreUnavailable
from ledger.types import OpenAccount, ToppedUp, TopUp

NOW_US = 1_763_700_000 * 1_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with the ledger's tables and one account."""
    path = tmp_path / "books.db"
    engine = make_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        tables.metadata.create_all(connection)
    with Ledger(engine) as ledger:
        ledger.do(OpenAccount("acme", "open", NOW_US, "UTC", 1_000, None))
    engine.dispose()
    return path


def delete(path: Path) -> None:
    """As `rm books.db*`."""
    for one in path.parent.glob(f"{path.name}*"):
        one.unlink()


def replace(path: Path) -> None:
    """As a restore over running books."""
    other = path.with_name("other.db")
    shutil.copy(path, other)
    other.replace(path)


def move(path: Path) -> None:
    """As `mv books.db old.db`."""
    path.rename(path.with_name("old.db"))


def delete_log(path: Path) -> None:
    """As `rm books.db-wal`."""
    path.with_name(f"{path.name}-wal").unlink()


@pytest.mark.parametrize("harm", [delete, replace, move, delete_log])
def test_nothing_is_acknowledged_that_is_not_in_the_file(file: Path, harm: Callable[[Path], None]) -> None:
    """The first commit after it is answered as unknown, each one after that at once as unavailable."""
    engine = make_engine(f"sqlite:///{file}")
    ledger = Ledger(engine)
    assert isinstance(ledger.do(TopUp("acme", "before", NOW_US, 5)), ToppedUp)
    harm(file)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown) as first:
        ledger.do(TopUp("acme", "after", NOW_US, 7))
    assert "deleted or replaced" in str(first.value.__cause__)
    with pytest.raises(StoreUnavailable, match="deleted or replaced while it was open"):
        ledger.do(TopUp("acme", "later", NOW_US, 7))
    with pytest.raises(OperationalError, match=str(file)), reading(engine):
        pass
    with pytest.raises(OperationalError, match=str(file)), engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    assert time.monotonic() - began < 5  # nobody waits for what cannot come back by itself
    assert file.exists() == (harm in (replace, delete_log))  # no new, empty books in its place
    ledger.close()
    engine.dispose()


def test_what_was_acknowledged_outlives_its_log(file: Path) -> None:
    """The log is deleted while it is open: closing the books writes it into the file all the same."""
    engine = make_engine(f"sqlite:///{file}")
    with Ledger(engine) as ledger:
        for number in range(50):
            assert isinstance(ledger.do(TopUp("acme", f"t{number}", NOW_US, 5)), ToppedUp)
        delete_log(file)
        with pytest.raises(OutcomeUnknown):
            ledger.do(TopUp("acme", "after", NOW_US, 7))
    engine.dispose()
    again = make_engine(f"sqlite:///{file}")
    with Ledger(again) as ledger:
        for number in range(50):
            assert getattr(ledger.do(TopUp("acme", f"t{number}", NOW_US, 5)), "replayed", False)
    again.dispose()


def test_the_log_of_a_linked_file_lies_beside_the_file(file: Path) -> None:
    """SQLite follows a link before it makes its log, and so does the look after COMMIT."""
    link = file.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(file)
    engine = make_engine(f"sqlite:///{link}")
    with Ledger(engine) as ledger:
        assert isinstance(ledger.do(TopUp("acme", "before", NOW_US, 5)), ToppedUp)
        delete_log(file)
        with pytest.raises(OutcomeUnknown):
            ledger.do(TopUp("acme", "after", NOW_US, 7))
    engine.dispose()


def test_a_file_that_comes_back_goes_on(file: Path) -> None:
    """What had no answer is asked again by its key, and is booked once."""
    engine = make_engine(f"sqlite:///{file}")
    ledger = Ledger(engine)
    ledger.do(TopUp("acme", "before", NOW_US, 5))
    away = [(one, one.with_name(f"away-{one.name}")) for one in file.parent.glob(f"{file.name}*")]
    for here, there in away:
        here.rename(there)
    with pytest.raises(OutcomeUnknown):
        ledger.do(TopUp("acme", "once", NOW_US, 7))
    for here, there in away:
        there.rename(here)
    assert isinstance(ledger.do(TopUp("acme", "once", NOW_US, 7)), ToppedUp)
    with reading(engine) as connection:
        booked = connection.execute(text("SELECT sum(amount) FROM ledger_transfer")).scalar()
    assert booked == 1_012
    ledger.close()
    engine.dispose()


def test_a_process_that_changes_its_folder_keeps_its_books(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative address means the folder in which the books were opened."""
    monkeypatch.chdir(file.parent)
    engine = make_engine("sqlite:///books.db")
    elsewhere = file.parent / "elsewhere"
    elsewhere.mkdir()
    os.chdir(elsewhere)
    with Ledger(engine) as ledger:
        assert isinstance(ledger.do(TopUp("acme", "a", NOW_US, 5)), ToppedUp)
    engine.dispose()
    assert list(elsewhere.iterdir()) == []


def is_full(ledger: Ledger, number: int) -> bool:
    """Top up once more, if there is room."""
    try:
        ledger.do(TopUp("acme", f"t{number}", NOW_US, 5))
    except StoreUnavailable as error:
        return "full" in str(error)
    return False


def test_a_full_database_is_told_at_once(file: Path) -> None:
    """Nobody waits for room that comes only when somebody makes it; then the books go on."""
    engine = make_engine(f"sqlite:///{file}")
    with Ledger(engine) as ledger:
        ledger.do(TopUp("acme", "before", NOW_US, 5))
        connection = ledger._writer._committer._driver._connection  # type: ignore[union-attr]
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")
        began = time.monotonic()
        failed = next(number for number in range(1_000) if is_full(ledger, number))
        assert time.monotonic() - began < 10
        assert not getattr(ledger.do(TopUp("acme", f"t{failed}", NOW_US, 5)), "replayed", True)
    engine.dispose()
