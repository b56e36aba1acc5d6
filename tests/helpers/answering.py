"""
Stands for a client of any make: a function from a request body to a message, which answers by model.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

USAGE = {"input_tokens": 10, "output_tokens": 5}


class Answering:
    """
    Answers with the text of a model, or raises its error.

    Args:
        answers: By model.
        own: Answers to questions of the flow's own, by words of their system prompt.
    Attributes:
        bodies: What it was asked.
        answered: Models that gave an answer, which is billed.
    """

    def __init__(self, answers: Mapping[str, Any], own: Mapping[str, str] | None = None) -> None:
        self._answers = answers
        self._own = own or {}
        self.bodies: list[dict[str, Any]] = []
        self.answered: list[str] = []

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        self.bodies.append(body)
        model, system = body["model"], str(body.get("system"))
        said = self._answers[model]
        if isinstance(said, BaseException):
            raise said
        self.answered.append(model)
        text = next((answer for words, answer in self._own.items() if words in system), said)
        content = [{"type": "text", "text": text}]
        return {"type": "message", "model": model, "content": content, "usage": USAGE}

    async def in_loop(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer one request, awaited."""
        await asyncio.sleep(0)
        return self(body)

    @property
    def models(self) -> list[str]:
        """Models in the order in which they were asked."""
        return [body["model"] for body in self.bodies]
