"""
Requests of the Anthropic SDK, read: what one may cost money, its body, and the order that it is.

It knows the SDK's requests by their shape only and imports nothing of it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Any, Final, Protocol

import httpx2

from outlay import fields
from outlay.calls import TRUSTED, CallRequest, Upstream
from outlay.errors import BadInput
from outlay.hint_words import betas_heard, hints_heard, hints_of, key_heard

MESSAGES: Final = "/v1/messages"
COUNT: Final = "/v1/messages/count_tokens"
_FREE_POSTS: Final = ("/v1/files",)
_BUILDING: Final = frozenset({"_prepare_options", "_build_request", "_prepare_request"})


class SdkRequest(Protocol):
    """
    The part of `anthropic.APIRequest` that is read here.
    """

    @property
    def method(self) -> str:
        """
        HTTP method.
        """

    @property
    def url(self) -> str:
        """
        Path, or whole address.
        """

    @property
    def headers(self) -> Mapping[str, Any]:
        """
        The request's own headers, without those of the client.
        """

    @property
    def json(self) -> object:
        """
        The body, without `extra_body`.
        """

    @property
    def options(self) -> Any:
        """
        Everything else.
        """


class Kind(Enum):
    """
    What a request means for money; a count costs none, but shows a prompt.
    """

    FREE = "free"
    COUNT = "count"
    CONTROLLED = "controlled"
    UNBOUNDED = "unbounded"


def kind_of(request: SdkRequest) -> Kind:
    """
    Judge a request by its route; what is not known to be free and not a message has no bound here.
    """
    path = httpx2.URL(request.url).path.rstrip("/")
    if request.method.upper() in ("GET", "HEAD", "DELETE") or path.endswith(_FREE_POSTS):
        return Kind.FREE
    if path.endswith(COUNT):
        return Kind.COUNT
    if path.endswith(MESSAGES):
        return Kind.CONTROLLED
    cancels = "/v1/messages/batches/" in path and path.endswith("/cancel")
    return Kind.FREE if cancels else Kind.UNBOUNDED


def routed(upstream: Upstream, url: str) -> str:
    """
    Give the same route of another upstream, with its query (`?beta=true`).
    """
    asked = httpx2.URL(url)
    route = COUNT if asked.path.rstrip("/").endswith(COUNT) else MESSAGES
    query = asked.query.decode("ascii")
    return f"{upstream.url}{route}{'?' if query else ''}{query}"


def failed_before_sending(error: BaseException) -> bool:
    """
    Tell whether the SDK failed while it built the request (a missing key, a header that is no text).
    """
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name in _BUILDING and "anthropic" in code.co_filename:
            return True
        trace = trace.tb_next
    return False


class Terms:
    """
    What holds for every call of a client.
    """

    def __init__(
        self, tenant: str | Callable[[], str], betas: frozenset[str], words: Mapping[str, object]
    ) -> None:
        self._hints = hints_of(words)
        self._tenant = tenant if callable(tenant) else fields.tenant_name(tenant)
        self._betas = betas

    def order(self, request: SdkRequest, said: Mapping[str, str]) -> CallRequest:
        """
        Put a request of the SDK, and what it says in its headers, into an order of ours.
        """
        hints = replace(self._hints, **hints_heard(said))
        tenant = self._tenant() if callable(self._tenant) else self._tenant
        return CallRequest(
            tenant=fields.tenant_name(tenant),
            body=body_of(request),
            rights=TRUSTED,
            hints=hints,
            betas=self._betas | betas_heard(said),
            idempotency_key=key_heard(said),
            surface="python",
        )


def body_of(request: SdkRequest) -> Mapping[str, object]:
    """
    Give the body as it will be sent: with `extra_body`, and in plain JSON values.

    Raises:
        BadInput: It is no JSON object.
    """
    options = request.options
    if options.files or options.content is not None:
        raise BadInput("body", None, "is not JSON", "Send a Messages API call.")
    body = {**_mapping(request.json), **_mapping(options.extra_json)}
    try:
        plain: dict[str, object] = json.loads(json.dumps(body, default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInput("body", None, f"is not JSON ({error})", "Send plain JSON values.") from error
    return plain


def _mapping(value: object) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadInput("body", value, "is no object", "Send a Messages API call.")
    return value


def _plain(value: object) -> object:
    dump = getattr(value, "model_dump", None)  # blocks of an earlier answer, given back as they came
    if callable(dump):
        return dump(
            mode="json", exclude_unset=True, by_alias=True, exclude=getattr(value, "__api_exclude__", None)
        )
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")
