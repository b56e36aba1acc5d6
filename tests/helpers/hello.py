"""
A small call of acme and its answer, for tests that are about what happens around a call.
"""

from collections.abc import Callable
from typing import Any

from outlay.calls import CallRequest, Completed

OPUS = "claude-opus-5-5"
BODY: dict[str, Any] = {
    "model": OPUS,
    "max_tokens": 1_000,
    "messages": [{"role": "user", "content": "hello"}],
}
USAGE = {"input_tokens": 100, "output_tokens": 50}
REQUEST = CallRequest("acme", BODY)
ANSWER = Completed(OPUS, USAGE)
Select = Callable[..., list[dict[str, Any]]]
