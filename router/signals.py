"""
What is seen of one call beside names and size: signals, a prediction, the conversation it belongs to.

A part of the words of the router; `router/types.py` gives them out.
"""

from dataclasses import dataclass, field
from typing import Final

STRATEGY: Final = "strategy"


@dataclass(frozen=True, slots=True)
class Prediction:
    """
    What a classifier that read the prompt expects of a call.

    It is made in the shell, so that a replay needs no prompt.

    Args:
        source: `learned` or `llm`; `strategy` where the caller's strategy named the tier in their place.
        version: Of the classifier that said so; which strategy it was.
        gain: P(large right) - P(small right), None where it only names a tier.
        tier: Tier that it names, None where it only expects a gain.
        why: What kept it from saying either.
        risk: P(small wrong, large right), known wherever the gain is.
    """

    source: str
    version: str
    gain: float | None = None
    tier: str | None = None
    why: str = ""
    risk: float | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """
    What the caller says of how hard a call is; None where nothing is said.

    Args:
        complexity: Class that the caller names.
        output_words: Words that the answer shall have.
        revision: Earlier versions of what is asked for.
        reasoning: How much of it is needed: low, medium or high.
        context: How rich it is: low, medium or high.
    """

    complexity: str | None = None
    output_words: int | None = None
    revision: int | None = None
    reasoning: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """
    What is cheap to see of how hard a call is: counts, never a prompt (`router/complexity.py`).

    Args:
        context_bytes: Of system prompt and messages; tools are counted on their own.
        turns: Messages of the user.
        questions: Question marks in the last message of the user.
        code_blocks: Blocks of code in it.
        output_words: Words that it asks for, where it says so once and clearly.
    """

    context_bytes: int = 0
    turns: int = 0
    documents: int = 0
    images: int = 0
    tools: int = 0
    thinking: bool = False
    questions: int = 0
    code_blocks: int = 0
    output_words: int | None = None
    said: Said = field(default_factory=Said)


@dataclass(frozen=True, slots=True)
class SessionState:
    """
    What is known of a conversation that goes on (`router/session.py`).

    Args:
        turns: Answers in it so far.
        model: That gave the newest answer, `tier` and `effort` it worked at; empty where Outlay saw none.
        wanted_effort: Effort that the last call would have had as it was asked.
        asked_model: As the caller wrote it for the last call, `task` likewise; new words are followed.
        escalated: A signal has raised its tier already.
        score_ppm: Lowest score that the newest answer has got, in millionths; None where nobody judged it.
        retried: The last call asked the very same.
        tool_errors: Failed tool calls in its newest messages.
        routed_tier: Tier that the last call started from, before money; None where that is not known.
    """

    turns: int
    model: str = ""
    tier: str | None = None
    effort: str | None = None
    wanted_effort: str | None = None
    asked_model: str = ""
    task: str | None = None
    escalated: bool = False
    score_ppm: int | None = None
    retried: bool = False
    tool_errors: int = 0
    routed_tier: str | None = None
