"""
What can go wrong on purpose, and when: asked for by the caller, or drawn by a scenario's rates and phases.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from simulator.errors import ApiError, invalid


class FaultKind(StrEnum):
    """
    The faults by name; `AT` lists those that take a number of events.
    """

    OVERLOAD_529 = "overload_529"
    ERROR_500 = "error_500"
    TIMEOUT_504 = "timeout_504"
    RATE_LIMIT_429 = "rate_limit_429"
    SPEND_LIMIT_429 = "spend_limit_429"
    OWN_LIMIT_400 = "own_limit_400"
    BILLING_402 = "billing_402"
    DISCONNECT = "disconnect"
    LOST_ANSWER = "lost_answer"
    REFUSAL = "refusal"
    BREAK_STREAM_AFTER = "break_stream_after"
    STREAM_ERROR_AFTER = "stream_error_after"


AT = (FaultKind.BREAK_STREAM_AFTER, FaultKind.STREAM_ERROR_AFTER)
DRAWN_EVENTS = 12

_ERRORS: dict[FaultKind, tuple[int, str, str, str | None]] = {
    FaultKind.OVERLOAD_529: (529, "overloaded_error", "Overloaded", None),
    FaultKind.ERROR_500: (500, "api_error", "Internal server error", None),
    FaultKind.TIMEOUT_504: (504, "timeout_error", "Request timed out", None),
    FaultKind.RATE_LIMIT_429: (
        429,
        "rate_limit_error",
        "This request would exceed your organization's rate limit of requests per minute.",
        None,
    ),
    FaultKind.SPEND_LIMIT_429: (
        429,
        "rate_limit_error",
        "This request would exceed your organization's monthly spend limit.",
        "enforced_spend_limit_reached",
    ),
    FaultKind.OWN_LIMIT_400: (
        400,
        "invalid_request_error",
        "You have reached your specified API usage limits.",
        None,
    ),
    FaultKind.BILLING_402: (402, "billing_error", "Your account's last payment failed.", None),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """
    One fault; *at* counts the events that a stream still sends.
    """

    kind: FaultKind
    at: int = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """
    A time in which a fault strikes calls of one model (None: of every model) at a rate.
    """

    fault: FaultKind
    rate: float = 1.0
    model: str | None = None
    from_s: float = 0.0
    to_s: float = float("inf")
    events: int | None = None


def parse_fault(text: str) -> Fault:
    """
    Read `NAME` or `NAME=N`.

    Raises:
        ApiError: the name is unknown, or a number is missing, malformed or out of place.
    """
    name, _, number = text.partition("=")
    if name not in tuple(FaultKind):
        raise invalid(f"simulator: no fault named {name!r}; there are {', '.join(FaultKind)}")
    fault = Fault(FaultKind(name))
    if (fault.kind in AT) != number.isdecimal():
        raise invalid(
            f"simulator: fault {text!r} is not well-formed; write {' or '.join(f'{k}=N' for k in AT)}"
        )
    return replace(fault, at=int(number)) if number else fault


def draw_fault(phases: tuple[Phase, ...], model: str, elapsed_s: float, rng: Random) -> Fault | None:
    """
    Return the first fault that strikes, or None.
    """
    for phase in phases:
        if phase.model not in (None, model) or not phase.from_s <= elapsed_s < phase.to_s:
            continue
        if rng.random() < phase.rate:
            events = rng.randint(1, DRAWN_EVENTS) if phase.events is None else phase.events
            return Fault(phase.fault, events if phase.fault in AT else 0)
    return None


def fault_error(fault: Fault | None, retry_after_s: int) -> ApiError | None:
    """
    Return the error answer that *fault* stands for, or None where it is not an answer.

    A spend limit comes without `retry-after`: a wait does not cure it.
    """
    if fault is None or fault.kind not in _ERRORS:
        return None
    status, kind, message, code = _ERRORS[fault.kind]
    waits = fault.kind is FaultKind.RATE_LIMIT_429
    headers = (("retry-after", str(retry_after_s)),) if waits else ()
    return ApiError(status, kind, message, error_code=code, headers=headers)
