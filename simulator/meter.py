"""
The meter between answers and the bill: each call is charged at most once, for what was generated.
"""

from collections.abc import Callable

from simulator.answer import Answer, Call
from simulator.bill import Bill
from simulator.limits import RateLimiter
from simulator.messages import usage_of


class Meter:
    """
    Charges calls and counts their output against the rate limits.
    """

    def __init__(self, bill: Bill, limiter: RateLimiter, clock: Callable[[], float]) -> None:
        self._bill = bill
        self._limiter = limiter
        self._clock = clock

    def charge(self, request_id: str, call: Call, answer: Answer, outcome: str) -> None:
        """
        Charge an answer that was generated to its end.
        """
        self.charge_part(request_id, call, answer, outcome, answer.output_tokens, answer.web_searches)

    def charge_part(
        self, request_id: str, call: Call, answer: Answer, outcome: str, output_tokens: int, searches: int
    ) -> None:
        """
        Charge an answer as far as it was generated.
        """
        now = self._clock()
        self._bill.write(
            request_id=request_id,
            message_id=answer.message_id,
            at_s=now,
            key_hash=call.account,
            model=call.model.id,
            usage=usage_of(call, answer, output_tokens, searches),
            stream=bool(call.body.get("stream")),
            outcome=outcome,
            stop_reason=answer.stop_reason if outcome == "complete" else None,
        )
        self._limiter.used(call.account, call.model.line, output_tokens, now)
