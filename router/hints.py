"""
What a caller says about a call beside its body, and the one form in which names are compared.

Unicode writes an umlaut as one character or as a letter and two dots; a budget or route of the one must not
be missed by the other. So names are kept in the normal form C. Capitals and look-alikes stay other names.
"""

import unicodedata
from dataclasses import dataclass


def canonical(name: str) -> str:
    """
    Return the name of a task, tag, user or session in the normal form C.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


@dataclass(frozen=True, slots=True)
class Hints:
    """
    What the caller said about a call beside its body, before anybody asked whether it may say so.

    Names are kept in one normal form, so that no other spelling of a task or tag misses its budget or route.
    """

    task: str | None = None
    role: str | None = None
    priority: str | None = None
    session: str | None = None
    privacy: str | None = None
    floor: str | None = None
    pin: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    complexity: str | None = None
    output_words: int | None = None
    revision: int | None = None
    reasoning: str | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        """Put names into their normal form, wherever the hints come from."""
        for name in ("task", "role", "session"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, canonical(value))
        if self.tags:
            tags = tuple((canonical(name), canonical(value)) for name, value in self.tags)
            object.__setattr__(self, "tags", tags)
