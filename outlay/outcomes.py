"""
What came of a call that was answered whole: one rule for the gateway and the in-process middleware.
"""

import json
from typing import NoReturn

from outlay.calls import Completed, Failed, Outcome, Uncertain
from outlay.meter import error_of


def outcome_of_answer(status: int, body: bytes, model: str, *, keep: bool = False) -> Outcome:
    """
    Say what came of a call by its answer.

    An error is free only where the provider says so itself: a 5xx without an error body comes from something
    between us and the provider (502, 504, 524), behind which the answer may have been made and billed.

    Args:
        model: The one that was asked, for answers that name none.
        keep: Whether the message itself is wanted, for an inner attempt.
    """
    read = _read(body)
    if not 200 <= status < 300:
        error_type, error_code = error_of(read)
        if status >= 500 and not error_type:
            return Uncertain(f"answer_unreadable: status {status} without an error of the provider")
        return Failed(status, error_type, error_code)
    if not isinstance(read, dict):
        return Uncertain("answer_unreadable: the answer is no JSON object")
    served, usage = read.get("model"), read.get("usage")
    served = served if isinstance(served, str) else model
    return Completed(served, usage if isinstance(usage, dict) else {}, read if keep else None)


def _read(body: bytes) -> object:
    try:
        read: object = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return read


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
