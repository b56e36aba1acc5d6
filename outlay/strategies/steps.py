"""
The words of a strategy: what it is asked to serve, what it wants done next, and what it answers with.

A strategy is a generator that yields `Try`, `Do` and `Mark` and is fed their replies; the runners carry them
out, blocking (`runner.py`) and asynchronous (`runner_async.py`). No I/O here.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from outlay.calls import CallRequest, Link, Refused
from outlay.effects import Effect
from outlay.errors import BadInput
from pricing.money import format_usd
from router.types import AUTO, TIER_PREFIX, Hints

Steps = Generator[Effect[Any], Any, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """
    What a strategy is to serve.

    Attributes:
        request: The call as its caller asks for it.
        left_nanos: Most that all attempts together may cost at the provider; None is no such limit.
    """

    request: CallRequest
    left_nanos: int | None = None

    def asking(self, tier: str | None, link: Link) -> CallRequest:
        """
        Put the call to a tier; None leaves the model that the caller asked for.
        """
        body = dict(self.request.body)
        if tier is not None:
            body["model"] = f"{TIER_PREFIX}{tier}"
        chosen = tier is not None and body["model"] != AUTO
        link = replace(link, most_nanos=self.left_nanos, chosen=chosen)
        return replace(self.request, body=body, link=link)

    def after(self, tried: "Tried") -> "Order":
        """
        Give what is left to be served with once an attempt has cost what it cost.
        """
        if self.left_nanos is None:
            return self
        return replace(self, left_nanos=max(0, self.left_nanos - tried.spent_nanos))

    @property
    def hints(self) -> Hints:
        """
        What the caller said beside the body.
        """
        return self.request.hints


@dataclass(frozen=True, slots=True)
class Tried:
    """
    What came of one call, fallbacks included.

    Attributes:
        decision_id: Of the attempt that was answered, or that failed last.
        attempt: Its number within the decision.
        parent: The decision that it belongs to, where it is not the first.
        outcome: served, failed, broken, uncertain, refused, or skipped where its model was tried before.
        message: What the caller's client returned; None unless served.
        cost_nanos: What the provider bills; None while nobody knows.
        bound_nanos: Most that it can be.
        error: What the client raised.
        asked_nanos: What questions of the flow's own have cost for it.
        tries: How many numbers of the caller's key are used with it.
    """

    decision_id: str
    attempt: int
    outcome: str
    model: str | None = None
    tier: str | None = None
    message: Any = None
    cost_nanos: int | None = 0
    bound_nanos: int = 0
    refused: Refused | None = None
    error: Exception | None = None
    parent: str | None = None
    asked_nanos: int = 0
    tries: int = 0

    @property
    def first(self) -> str:
        """
        The decision that all attempts belong to.
        """
        return self.parent or self.decision_id

    @property
    def spent_nanos(self) -> int:
        """
        What it counts for: its cost, or the most that this can be.
        """
        return self.asked_nanos + (self.bound_nanos if self.cost_nanos is None else self.cost_nanos)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a verifier says of an answer.

    Attributes:
        score: 0 wrong to 1 right; None where nothing can be said of its quality.
        source: Which verifier, as its scores are kept.
        weight: How far it is to be trusted, over 0 and at most 1.
    """

    passed: bool
    told: str
    score: float | None = None
    source: str = "check"
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Try(Effect[Tried]):
    """Carry out one call. A model of `unless` is not called again: the answer is then "skipped"."""

    request: CallRequest
    unless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Do(Effect[Any]):
    """Run a function of the caller's own; where it gives an awaitable, that is awaited."""

    work: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Mark(Effect[None]):
    """Keep a verdict as a quality score of a decision."""

    decision_id: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RunAttempt:
    """
    One attempt as it is told afterwards; its whole decision is in `explain(decision_id)`.

    Attributes:
        outcome: served, failed, broken, uncertain, refused, skipped, or running where it was left behind.
        cost_usd: What the provider bills; None while nobody knows.
        passed: What the verifier said; None where it was not asked.
        told: Why it did not pass, was refused or failed.
    """

    decision_id: str
    strategy: str
    outcome: str
    model: str | None
    tier: str | None
    cost_usd: str | None
    passed: bool | None = None
    score: float | None = None
    told: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """
    What a strategy came to.

    Attributes:
        message: The best answer, as the caller's client returned it.
        decision_id: Of the first attempt; `explain` lists the others with it.
        served_by: Decision of the attempt that gave the answer.
        passed: Whether it passed the verifier.
        why: How it ended: passed, attempts_spent, budget, refused, uncertain, skipped, verifier_failed.
        cost_usd: What all attempts cost that are known to have cost something, judges and questions of a
            classifier included.
        error: What the verifier raised last, where it did; or what kept the next call from being decided on.
    """

    message: Any
    decision_id: str
    served_by: str
    passed: bool
    why: str
    cost_usd: str
    attempts: tuple[RunAttempt, ...]
    error: Exception | None = None

    @property
    def text(self) -> str:
        """
        Text of the answer.
        """
        return text_of(self.message)


def checked_body(body: object) -> Mapping[str, object]:
    """
    Take a request body for a strategy.

    Raises:
        BadInput: It is no object, or asks for a stream: a strategy judges whole answers.
    """
    if not isinstance(body, Mapping):
        raise BadInput("request", body, "is no object", "Give the body of a Messages API call.")
    if body.get("stream"):
        raise BadInput("stream", True, "cannot be judged", "Ask for a whole answer.")
    return body


def told_of(tried: Tried, strategy: str, verdict: Verdict | None) -> RunAttempt:
    """
    Tell of an attempt.
    """
    return RunAttempt(
        decision_id=tried.decision_id,
        strategy=strategy,
        outcome=tried.outcome,
        model=tried.model,
        tier=tried.tier,
        cost_usd=None if tried.cost_nanos is None else format_usd(tried.cost_nanos),
        passed=None if verdict is None else verdict.passed,
        score=None if verdict is None else verdict.score,
        told=_why(tried) if verdict is None else verdict.told,
    )


def _why(tried: Tried) -> str:
    if tried.refused is not None:
        return f"{tried.refused.code}: {tried.refused.message}"
    return "" if tried.error is None else f"{type(tried.error).__name__}: {tried.error}"


def content_of(message: Any) -> list[Any]:
    """
    Give the content blocks of a message, whether it is a mapping or the SDK's.
    """
    found = message.get("content") if isinstance(message, Mapping) else getattr(message, "content", None)
    return list(found) if isinstance(found, list | tuple) else []


def text_of(message: Any) -> str:
    """
    Give the text of a message, its blocks joined.
    """
    parts: list[str] = []
    for block in content_of(message):
        text = block.get("text") if isinstance(block, Mapping) else getattr(block, "text", None)
        if isinstance(text, str):
            parts.append(text)
    return "".join(parts)
