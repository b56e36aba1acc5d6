"""
What the demo sends: bodies of the Messages API with as much text as the trace says.

The trace holds counts, no prompts. The text is filler of four bytes a token, so the gateway's bound (by
bytes) stands to the true count as it does in life; a directive tells the simulated provider the exact
counts of the trace.
"""

from typing import Final

from outlay.demo.plan import PlannedCall

BYTES_PER_TOKEN: Final = 4
_SENTENCES: Final = (
    "The customer writes that the parcel has not arrived and asks where it is. "
    "Please answer in a friendly tone, name the next step and a date. "
    "The order was placed on Monday, paid by card, and left the warehouse on Wednesday. "
)
_TEXT: Final = _SENTENCES * 3


def body_of(call: PlannedCall, *, attempt: int) -> dict[str, object]:
    """
    Write the body of a call; a fault strikes the first attempt only.
    """
    return {
        "model": call.model,
        "max_tokens": call.max_tokens,
        "stream": call.stream,
        "messages": [{"role": "user", "content": _prompt(call, attempt)}],
    }


def _prompt(call: PlannedCall, attempt: int) -> str:
    words = [f"input_tokens={call.input_tokens}", f"output_tokens={call.output_tokens}", "thinking_tokens=0"]
    if call.fault is not None and attempt == 0:
        words.append(f"fault={call.fault}")
    directive = f"[[sim {' '.join(words)}]]\n"
    missing = max(0, call.input_tokens * BYTES_PER_TOKEN - len(directive))
    return directive + (_TEXT * (missing // len(_TEXT) + 1))[:missing]
