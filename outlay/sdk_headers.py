"""
Headers of the Anthropic SDK that mean something to Outlay: its own, and the betas.

They may stand in a client (`default_headers`, `with_options`) or in a request (`extra_headers`), which goes
before, and may take one of its client's back. It imports nothing of the SDK.
"""

from collections.abc import Mapping
from typing import Any, Final

from outlay.errors import BadInput
from outlay.hint_words import BETA, INVALID, KEY, PREFIX

_CHAIN_MAX: Final = 1_000


class Spoken:
    """
    What a request says in its headers and in those of its client.

    Attributes:
        ours: Names of Outlay's, in lower case, also of what is taken back: the provider is to see none.
    """

    def __init__(self, call_next: object, own: Mapping[str, Any], omitted: type) -> None:
        """
        Look at what there is.

        Args:
            call_next: What the SDK gave to the middleware.
            omitted: Of a value that takes a header back.
        Raises:
            BadInput: The client cannot be seen.
        """
        self._client, self._own = _heeded(_client_of(call_next).default_headers), _heeded(own)
        self._omitted = omitted
        self.ours = frozenset(name for name in (*self._client, *self._own) if name.startswith(PREFIX))

    def said(self) -> dict[str, str]:
        """
        Give the values by name in lower case.

        Raises:
            BadInput: A value is no text, or would make all calls of the client one.
        """
        both = {**self._client, **self._own}
        said = {name: value for name, value in both.items() if not isinstance(value, self._omitted)}
        for name, value in said.items():
            if not isinstance(value, str):
                fix = "Leave the header out, or write text."
                raise BadInput(name, value, "is no text", fix, code=INVALID)
        if KEY in said and KEY not in self._own:
            found = "stands in the client's default headers, which would make all of its calls one"
            raise BadInput(KEY, said[KEY], found, "Give each call its own, in extra_headers.", code=INVALID)
        return said


def says_to_outlay(client: object) -> str | None:
    """
    Name a header of Outlay's that stands in a client; None where there is none.
    """
    headers = _heeded(getattr(client, "default_headers", {}))
    return next((name for name in headers if name.startswith(PREFIX)), None)


def _heeded(headers: Mapping[str, Any]) -> dict[str, Any]:
    named = ((name.lower(), value) for name, value in headers.items())
    return {name: value for name, value in named if name == BETA or name.startswith(PREFIX)}


def _client_of(call_next: Any) -> Any:
    """
    Find the client that a chain of middleware ends in, by what its functions close over: the SDK shows a
    middleware no client, and what stands in its headers must neither be lost nor reach the provider.
    """
    for _ in range(_CHAIN_MAX):
        names = getattr(getattr(call_next, "__code__", None), "co_freevars", ())
        closed = dict(zip(names, getattr(call_next, "__closure__", None) or (), strict=True))
        if "self" in closed and hasattr(closed["self"].cell_contents, "default_headers"):
            return closed["self"].cell_contents
        if "call_next" not in closed:
            break
        call_next = closed["call_next"].cell_contents
    fix = "Put outlay.middleware itself into the client's list; a newer anthropic may need a newer Outlay."
    raise BadInput("client", None, "its default headers cannot be seen from here", fix)
