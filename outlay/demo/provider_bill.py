"""
Reads the simulated provider's own bill: JSON lines, cost in USD as exact decimal text.

Strict: a line that is not one of a bill is an error, never a smaller total.
"""

import json
from pathlib import Path

from outlay.errors import Rejected
from pricing.money import MoneyError, parse_usd


class BillUnreadable(Rejected):
    """
    A line of the bill is damaged; the message names it.
    """

    def __init__(self, message: str) -> None:
        super().__init__("bill_unreadable", message)


def read_bill(path: Path) -> dict[str, int]:
    """
    Read what each message cost, in nano-USD, by the message's id.

    Raises:
        BillUnreadable: a line is damaged, or a message stands there twice.
    """
    costs: dict[str, int] = {}
    if not path.exists():  # nothing was billed
        return costs
    for number, text in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            message, cost = str(line["message_id"]), parse_usd(line["cost_usd"])
        except (ValueError, KeyError, TypeError, MoneyError) as error:
            raise BillUnreadable(f"{path.name}, line {number} is no line of a bill: {error}") from error
        if message in costs:
            raise BillUnreadable(f"{path.name}, line {number}: message {message} is billed twice")
        costs[message] = cost
    return costs
