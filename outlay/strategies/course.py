"""
How far a strategy has come: what was tried and what it cost, what verifiers said, the best answer so far.
"""

from dataclasses import replace

from outlay.calls import CallRequest, Refused
from outlay.errors import CallRefused, OutlayError
from outlay.strategies.steps import Mark, Order, RunAttempt, RunResult, Steps, Tried, Try, Verdict, told_of
from outlay.strategies.verify import Verified, Verifier, prepared, verified
from pricing.money import format_usd
from router.types import Reason, ReasonCode

ENDED = {"refused": "refused", "skipped": "skipped", "uncertain": "uncertain", "broken": "uncertain"}
"""Outcomes after which nothing more is tried, and how the run then ended."""
_MONEY = frozenset(
    {
        "outlay_budget_busy",
        "outlay_credit_exhausted",
        "outlay_daily_budget_reached",
        "outlay_priority_refused",
        "outlay_workflow_budget_reached",
    }
)


class Course:
    """
    One run of a strategy under way.

    Attributes:
        models: Models that were called so far.
        spent_nanos: What all attempts cost as far as that is known, judges included.
        counted_nanos: The same, where what is not known counts at its bound.
        error: What the verifier raised last, where it did; or what kept the next call from being decided on.
    """

    def __init__(self, strategy: str, order: Order, verify: Verifier | None) -> None:
        self.strategy = strategy
        self.order = prepared(verify, order)
        self.models: frozenset[str] = frozenset()
        self.spent_nanos = 0
        self.counted_nanos = 0
        self.best: Tried | None = None
        self.verdict: Verdict | None = None
        self._verify = verify
        self._first: str | None = None
        self.error: Exception | None = None
        self._failed: list[Tried] = []
        self._number = order.request.link.attempt - 1
        self._tries = order.request.link.tries
        self._attempts: list[RunAttempt] = []

    @property
    def number(self) -> int:
        """
        Number of the newest attempt.
        """
        return self._number

    @property
    def tries(self) -> int:
        """
        How many numbers of the caller's key are used.
        """
        return self._tries

    @property
    def attempts(self) -> tuple[RunAttempt, ...]:
        """
        Tell of the attempts so far.
        """
        return tuple(self._attempts)

    @property
    def parent(self) -> str | None:
        """
        Decision that all attempts belong to; None before the first.
        """
        return self.order.request.link.parent or self._first

    def asking(self, tier: str | None, reason: Reason) -> CallRequest:
        """
        Put the call to a tier, linked to what was tried before.
        """
        before = self.order.request.link
        reasons = (*before.reasons, reason)
        link = replace(
            before,
            parent=self.parent,
            attempt=self._number + 1,
            strategy=self.strategy,
            reasons=reasons,
            tries=self._tries,
        )
        return self.order.asking(tier, link)

    def began(self, first: str, attempt: int, model: str | None, tries: int) -> None:
        """
        Take note of an attempt whose money is held, and of the decision that it belongs to.
        """
        self._first = self._first or first
        self.models |= {model or ""}
        self._number = max(self._number, attempt)
        self._tries = max(self._tries, tries)

    def took(self, tried: Tried, verdict: Verdict | None = None, strategy: str = "") -> None:
        """
        Take in an attempt that has ended.
        """
        self.began(tried.first, tried.attempt, tried.model, tried.tries)
        self.order = self.order.after(tried)
        self.spent_nanos += tried.asked_nanos + (tried.cost_nanos or 0)
        self.counted_nanos += tried.spent_nanos
        if strategy == "" and tried.outcome not in ("served", "skipped"):
            self._failed.append(tried)
        self._attempts.append(told_of(tried, strategy or self.strategy, verdict))

    def left_running(self, decision_id: str, model: str, tier: str | None) -> None:
        """
        Tell of an attempt that goes on without anybody waiting for it.
        """
        told = "left behind; it is settled at what it turns out to cost"
        self._attempts.append(RunAttempt(decision_id, self.strategy, "running", model, tier, None, told=told))

    def verify(self, tried: Tried) -> Steps:
        """
        Have an answer verified, and keep the best; returns the `Verdict`.
        """
        if self._verify is None:
            found = Verified(Verdict(True, ""))
        else:
            link = replace(self.order.request.link, parent=self.parent or tried.first)
            order = replace(self.order, request=replace(self.order.request, link=link)).after(tried)
            found = yield from verified(self._verify, order, tried)
        verdict: Verdict = found.verdict
        self.error = found.error or self.error
        self.took(tried, verdict)
        if found.judged is not None:
            self.took(found.judged, strategy="judge")
        if self.verdict is None or _rank(verdict) >= _rank(self.verdict):
            self.best, self.verdict = tried, verdict
        if verdict.score is not None and self._verify is not None:
            yield Mark(tried.decision_id, verdict)
        return verdict

    def result(self, why: str) -> RunResult:
        """
        End with the best answer; of two alike it is the later one.

        Raises:
            Exception: There is none; what the caller's client raised first.
            CallRefused: There is none, as nothing was sent: the call was refused.
        """
        if self.best is None or self.verdict is None:
            raise self._failure()
        assert self._first is not None
        return RunResult(
            message=self.best.message,
            decision_id=self._first,
            served_by=self.best.decision_id,
            passed=self.verdict.passed,
            why=why,
            cost_usd=format_usd(self.spent_nanos),
            attempts=self.attempts,
            error=self.error,
        )

    def cut_short(self, error: OutlayError) -> RunResult:
        """
        End with the best answer, as the next call could not be decided on: it was not sent.

        Raises:
            OutlayError: There is none.
        """
        if self.best is None:
            raise error
        self.error = error
        return self.result("refused")

    def _failure(self) -> Exception:
        raised = [one.error for one in self._failed if one.error is not None]
        if raised:
            return raised[0]
        refused = [one.refused for one in self._failed if one.refused is not None]
        assert refused, "what was tried was served, refused, or raised an error"
        return CallRefused(refused[0])


def ended(tried: Tried) -> str:
    """
    Say how a run ended with an attempt after which nothing more is tried.
    """
    return ENDED[tried.outcome] if tried.refused is None else why_refused(tried.refused)


def why_refused(refused: Refused) -> str:
    """
    Say whether it was for money that a call was refused.
    """
    return "budget" if refused.code in _MONEY else "refused"


def climb(course: Course, tiers: tuple[str | None, ...], reason: Reason) -> Steps:
    """
    Ask tier after tier until an answer passes; returns a `RunResult`.

    What may have been billed without an answer ends it, and so does a refusal, or books out of reach; the
    best answer so far is then the result. A model that failed unbilled only leads on.
    """
    for tier in tiers:
        try:
            tried: Tried = yield Try(course.asking(tier, reason), course.models)
        except OutlayError as error:
            return course.cut_short(error)
        verdict: Verdict | None = None
        if tried.outcome == "served":
            verdict = yield from course.verify(tried)
            if verdict.passed:
                return course.result("passed")
            if course.error is not None:  # it would raise for the next answer as well, and that is paid for
                return course.result("verifier_failed")
        else:
            course.took(tried)
            if tried.outcome in ENDED:
                return course.result(ended(tried))
        reason = escalated(tried, verdict)
    return course.result("attempts_spent")


def escalated(tried: Tried, verdict: Verdict | None) -> Reason:
    """
    Say why there is another attempt.
    """
    why = f"its answer did not pass: {verdict.told}" if verdict is not None else "it failed"
    numbers = {"after": tried.decision_id, "score": None if verdict is None else verdict.score}
    return Reason(
        ReasonCode.ESCALATED, f"{tried.model} of tier {tried.tier} was asked before, and {why}", numbers
    )


def _rank(verdict: Verdict) -> tuple[bool, float]:
    return verdict.passed, 0.0 if verdict.score is None else verdict.score
