"""
Requests of the Anthropic SDK, read: what one may cost money, its body, betas and hints.

It knows the SDK's requests by their shape only and imports nothing of it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, Protocol

import httpx2

from outlay import fields
from outlay.calls import TRUSTED, CallRequest, Upstream
from outlay.errors import BadInput
from outlay.hint_words import check_headers, hints_of
from router.types import NUMBER_HINTS, TEXT_HINTS

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
        hints_of(words)
        self._tenant = tenant if callable(tenant) else fields.tenant_name(tenant)
        self._betas = betas
        self._words = words

    def order(self, request: SdkRequest) -> CallRequest:
        """
        Put a request of the SDK into an order of ours.
        """
        headers = _headers(request)
        check_headers(headers)
        tenant = self._tenant() if callable(self._tenant) else self._tenant
        return CallRequest(
            tenant=fields.tenant_name(tenant),
            body=body_of(request),
            rights=TRUSTED,
            hints=hints_of({**self._words, **_words_of(headers)}),
            betas=self.betas(request),
            surface="python",
        )

    def betas(self, request: SdkRequest) -> frozenset[str]:
        """
        Name the betas of a request.
        """
        own = _headers(request).get("anthropic-beta")
        named = own.split(",") if isinstance(own, str) else ()
        return self._betas | {name.strip() for name in named if name.strip()}


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


def _headers(request: SdkRequest) -> dict[str, object]:
    return {name.lower(): value for name, value in request.headers.items()}


def _words_of(headers: Mapping[str, object]) -> dict[str, object]:
    """Read the hints in a request's own headers, as the gateway does."""
    words: dict[str, object] = {
        name: headers[f"outlay-{name}"] for name in TEXT_HINTS if headers.get(f"outlay-{name}")
    }
    for name in NUMBER_HINTS:
        if (text := headers.get(f"outlay-{name.replace('_', '-')}")) is not None:
            words[name] = int(text) if isinstance(text, str) and text.isdecimal() else text
    if isinstance(pin := headers.get("outlay-pin"), str):
        words["pin"] = {"true": True, "false": False}.get(pin.strip().lower(), pin)
    if isinstance(tags := headers.get("outlay-tags"), str):
        pairs = [part.partition("=") for part in tags.split(",") if part.strip()]
        words["tags"] = {name.strip(): value.strip() for name, _, value in pairs}
    return words
