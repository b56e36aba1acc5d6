"""
The bill is read strictly: a damaged line is an error, never a smaller total.
"""

from pathlib import Path

import pytest

from outlay.demo.provider_bill import BillUnreadable, read_bill

GOOD = '{"message_id":"msg_1","cost_usd":"0.000000001"}\n{"message_id":"msg_2","cost_usd":"1.5"}\n'


def test_costs_are_read_to_the_nano_dollar(tmp_path: Path) -> None:
    """Decimal text becomes whole nano-dollars, by message."""
    file = tmp_path / "bill.jsonl"
    file.write_text(GOOD)
    assert read_bill(file) == {"msg_1": 1, "msg_2": 1_500_000_000}


def test_no_file_is_an_empty_bill(tmp_path: Path) -> None:
    """A provider that billed nothing has written nothing."""
    assert read_bill(tmp_path / "none.jsonl") == {}


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "{}",
        '{"message_id":"msg_3","cost_usd":1.5}',
        '{"message_id":"msg_3","cost_usd":"-1"}',
        '{"message_id":"msg_3","cost_usd":"0.0000000001"}',
        '{"message_id":"msg_1","cost_usd":"1"}',
        "[]",
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    """The error says which line it is."""
    file = tmp_path / "bill.jsonl"
    file.write_text(GOOD + line + "\n")
    with pytest.raises(BillUnreadable, match="line 3"):
        read_bill(file)
