"""
What came of calls that were answered whole.
"""

import json

import pytest

from outlay.calls import Completed, Failed, Outcome, Uncertain
from outlay.outcomes import outcome_of_answer

ERROR = {"type": "error", "error": {"type": "api_error", "message": "x", "details": {"error_code": "c"}}}


def body(value: object) -> bytes:
    """A JSON body."""
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("status", "raw", "outcome"),
    [
        (200, body({"model": "m", "usage": {"input_tokens": 1}}), Completed("m", {"input_tokens": 1})),
        (200, body({"model": 3, "usage": []}), Completed("asked", {})),
        (500, body(ERROR), Failed(500, "api_error", "c")),
        (529, body({"error": {"type": "overloaded_error"}}), Failed(529, "overloaded_error")),
        (400, b"<html>", Failed(400)),
        (307, b"", Failed(307)),
    ],
)
def test_answers_that_say_what_happened(status: int, raw: bytes, outcome: Outcome) -> None:
    """A message is billed by its usage; an error of the provider, and any 3xx or 4xx, is free."""
    assert outcome_of_answer(status, raw, "asked") == outcome


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"usage": {"input_tokens": NaN}}'),
        (200, b"[" * 100_000),
        (500, b""),
        (502, b"<html>502 Bad Gateway</html>"),
        (504, body({"message": "upstream timed out"})),
        (524, body({"type": "error", "error": "timeout"})),
    ],
)
def test_answers_behind_which_the_provider_may_have_generated(status: int, raw: bytes) -> None:
    """Nobody knows what these cost: the hold stays."""
    assert isinstance(outcome_of_answer(status, raw, "asked"), Uncertain)
