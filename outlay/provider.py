"""
Calls of the Anthropic SDK under Outlay's control, in process: the only module that imports `anthropic`.

A middleware for `anthropic.Anthropic(middleware=[...])`: each HTTP attempt that costs money is decided, held,
sent as translated, and settled before its answer is returned; a stream before its last event is. What is not
free and cannot be bounded here is refused. It must be the last of a client's middleware: one behind it could
send more than what was held.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import anthropic
import httpx2
from anthropic import APIRequest, APIResponse, AsyncAPIResponse

from outlay import counting
from outlay.aio import AsyncCalls
from outlay.calls import Failed, NotSent, Outcome, Refused, Sending, Uncertain, Upstream
from outlay.client import Calls
from outlay.counting import Count
from outlay.errors import BadInput, BooksUnavailable, OutlayError
from outlay.hint_words import BETA
from outlay.sdk_bodies import AsyncBody, Body, carrying
from outlay.sdk_headers import Spoken
from outlay.sdk_passages import AsyncPassage, Passage
from outlay.sdk_requests import Kind, Terms, failed_before_sending, kind_of, routed
from outlay.strategies.last_look import LastLook


class ControlledCalls(anthropic.Middleware):
    """
    The middleware for a blocking client.
    """

    def __init__(self, calls: Calls, terms: Terms) -> None:
        self._calls = calls
        self._terms = terms

    def handle(self, request: APIRequest, call_next: anthropic.CallNext) -> "APIResponse[Any]":
        """
        Carry out one attempt.
        """
        kind = _kind(request)
        with _as_sdk_errors(request):
            heard = Spoken(call_next, request.headers, anthropic.Omit)
        if kind is Kind.FREE:
            return call_next(_unaddressed(request, heard))
        if kind is Kind.COUNT:
            return call_next(self._counted(request, heard))
        with _as_sdk_errors(request):
            order = self._terms.order(request, heard.said())
            call = self._calls.start(order)
        while (sending := call.sending) is not None:
            passage = Passage(call, sending, _lost)
            body = self._body(request, sending.body, order.tenant, sending.decision_id)
            with _as_sdk_errors(request):
                try:
                    sent = _attempt_to_send(request, body, sending, order.betas, heard)
                    answer = call_next(sent)
                    passage.answered(answer.http_response)
                except Exception as error:
                    passage.close(outcome_of_error(error, begun=body.begun))
                    if not passage.goes_on:
                        raise
                except BaseException as error:
                    passage.leave(outcome_of_error(error, begun=body.begun))
                    raise
                else:
                    if not passage.goes_on:
                        return answer
        raise _refusal(call.result, request)

    def _counted(self, request: APIRequest, heard: Spoken) -> APIRequest:
        """Put a count to where its privacy class allows, unless spending is halted."""
        calls = self._calls
        with _as_sdk_errors(request):
            order = self._terms.order(request, heard.said())
            found = calls.carry_out(counting.place(order, calls.engine.tools))
        count = _placed(found, request)
        body = self._body(request, count.body, order.tenant)
        return _to_send(request, body, count.upstream, order.betas, heard)

    def _body(
        self, request: APIRequest, value: Mapping[str, object], tenant: str, decision_id: str = ""
    ) -> Body:
        """Make a body that is held back where spending is halted by the time that it can go."""

        def before() -> None:
            with _as_sdk_errors(request):
                refused = self._calls.engine.still_on(tenant, decision_id)
            if refused is not None:
                raise _refusal(refused, request)

        return Body(value, before)


class AsyncControlledCalls(anthropic.Middleware):
    """
    The middleware for an asynchronous client.
    """

    def __init__(self, calls: AsyncCalls, terms: Terms, check_loop: Callable[[], None]) -> None:
        self._calls = calls
        self._terms = terms
        self._check_loop = check_loop

    async def handle_async(
        self, request: APIRequest, call_next: anthropic.AsyncCallNext
    ) -> "AsyncAPIResponse[Any]":
        """
        Carry out one attempt.
        """
        kind = _kind(request)
        with _as_sdk_errors(request):
            heard = Spoken(call_next, request.headers, anthropic.Omit)
        if kind is Kind.FREE:
            return await call_next(_unaddressed(request, heard))
        self._check_loop()
        if kind is Kind.COUNT:
            return await call_next(await self._counted(request, heard))
        with _as_sdk_errors(request):
            order = self._terms.order(request, heard.said())
            call = await self._calls.start(order)
        while (sending := call.sending) is not None:
            passage = AsyncPassage(call, sending, _lost)
            body = self._body(request, sending.body, order.tenant, sending.decision_id)
            with _as_sdk_errors(request):
                try:
                    sent = _attempt_to_send(request, body, sending, order.betas, heard)
                    answer = await call_next(sent)
                    await passage.answered(answer.http_response)
                except Exception as error:
                    await passage.close(outcome_of_error(error, begun=body.begun))
                    if not passage.goes_on:
                        raise
                except BaseException as error:
                    await passage.leave(outcome_of_error(error, begun=body.begun))
                    raise
                else:
                    if not passage.goes_on:
                        return answer
        raise _refusal(call.result, request)

    async def _counted(self, request: APIRequest, heard: Spoken) -> APIRequest:
        """Put a count to where its privacy class allows, unless spending is halted."""
        calls = self._calls
        with _as_sdk_errors(request):
            order = self._terms.order(request, heard.said())
            found = await calls.carry_out(counting.place(order, calls.engine.tools))
        count = _placed(found, request)
        body = self._body(request, count.body, order.tenant)
        return _to_send(request, body, count.upstream, order.betas, heard)

    def _body(
        self, request: APIRequest, value: Mapping[str, object], tenant: str, decision_id: str = ""
    ) -> AsyncBody:
        """Make a body that is held back where spending is halted by the time that it can go."""

        async def before() -> None:
            with _as_sdk_errors(request):
                refused = await self._calls.still_on(tenant, decision_id)
            if refused is not None:
                raise _refusal(refused, request)

        return AsyncBody(value, before)


def watched_client(client: object, look: LastLook) -> object:
    """
    Put a last look behind a client's own middleware, where it speaks to the provider's own API: one for
    another cloud's writes its requests anew on their way.
    """
    if isinstance(client, anthropic.Anthropic):
        return client.with_middleware(look.handle)
    if isinstance(client, anthropic.AsyncAnthropic):
        return client.with_middleware(look.handle_async)
    return client


# what is asked


def _kind(request: APIRequest) -> Kind:
    """
    Judge a request.

    Raises:
        anthropic.BadRequestError: It may cost money, and nobody could say how much at most.
    """
    kind = kind_of(request)
    if kind is Kind.UNBOUNDED:
        what = f"{request.method.upper()} {request.url}"
        message = f"{what} is not under Outlay's control, and its cost has no bound here; use messages.create"
        details = {"error_code": "outlay_route_not_controlled"}
        raise _status_error(request, 400, "invalid_request_error", message, details)
    return kind


def _placed(found: Count | Refused, request: APIRequest) -> Count:
    if isinstance(found, Refused):
        raise _refusal(found, request)
    return found


def _attempt_to_send(
    request: APIRequest, body: Body | AsyncBody, sending: Sending, betas: frozenset[str], heard: Spoken
) -> APIRequest:
    """Put an attempt into the request; one of the flow's own is waited for as long as the policy says."""
    sent = _to_send(request, body, sending.upstream, betas, heard)
    if sending.link.timeout_ms is not None:
        sent.options.timeout = sending.link.timeout_ms / 1_000
    return sent


def _unaddressed(request: APIRequest, heard: Spoken) -> APIRequest:
    """Leave out what is for Outlay."""
    return request.copy(headers=_without(request, heard.ours)) if heard.ours else request


def _without(request: APIRequest, names: frozenset[str]) -> dict[str, Any]:
    """Give a request's headers without some of them, which are taken back where its client has them."""
    kept = {name: value for name, value in request.headers.items() if name.lower() not in names}
    return {**kept, **dict.fromkeys(names, anthropic.Omit())}


def _to_send(
    request: APIRequest,
    body: Body | AsyncBody,
    upstream: Upstream,
    betas: frozenset[str],
    heard: Spoken,
) -> APIRequest:
    """
    Put the translated body into the request, as one that can be read while it passes.

    The client's own address and key are used, unless the policy names another upstream for this call's
    privacy class: then that one's.

    Raises:
        anthropic.BadRequestError: That upstream has no key.
    """
    headers = _without(request, heard.ours | {BETA})
    if betas:
        headers[BETA] = ",".join(sorted(betas))
    if body.value.get("stream") is True:
        headers["accept-encoding"] = "identity"
    url = request.url
    if upstream.name != "default":
        if upstream.key is None:
            with _as_sdk_errors(request):
                raise BadInput(
                    "upstream", upstream.name, "has no key", "Set the variable that key_env names."
                )
        headers["authorization"] = f"Bearer {upstream.key}"
        url = routed(upstream, request.url)
    sent: APIRequest = carrying(request, body, headers=headers, url=url)
    return sent


# what is answered


_NEVER_SENT: Final = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.UnsupportedProtocol,
)


def outcome_of_error(error: BaseException, *, begun: bool = True) -> Outcome:
    """
    Say what came of a call that the SDK raised an error for.

    Args:
        begun: Whether its body may be on the wire.
    """
    if isinstance(error, OutlayError) or isinstance(error.__cause__, OutlayError):
        return NotSent("not_sent: the call could not be put together", given_up=True)
    if not begun:
        return _held_back(error)
    if isinstance(error, anthropic.APIStatusError):
        return Failed(error.status_code, error.type or "", error.error_code or "")
    if isinstance(error.__cause__, _NEVER_SENT):
        return NotSent(f"unreachable: {type(error.__cause__).__name__}")
    if failed_before_sending(error):
        return NotSent(f"not_sent: {type(error).__name__} while the request was built", given_up=True)
    timed_out = isinstance(error, anthropic.APITimeoutError)
    return Uncertain(f"{'timeout' if timed_out else 'no_answer'}: {type(error).__name__}")


def _held_back(error: BaseException) -> NotSent:
    """Nothing was sent: the provider is not there, or the caller kept it back (by a full pool, say)."""
    cause = error.__cause__
    if isinstance(cause, httpx2.TransportError) and not isinstance(cause, httpx2.PoolTimeout):
        return NotSent(f"unreachable: {type(cause).__name__}")
    return NotSent(f"not_sent: {type(error).__name__} before the body went out", given_up=True)


def _lost(error: Exception, response: httpx2.Response) -> anthropic.APIConnectionError:
    """An answer that ended early, as the SDK words it."""
    if isinstance(error, httpx2.TimeoutException):
        return anthropic.APITimeoutError(request=response.request)
    return anthropic.APIConnectionError(request=response.request)


def _refusal(result: object, request: APIRequest) -> anthropic.APIStatusError:
    assert isinstance(result, Refused), "a call is sent or refused"
    return _status_error(
        request, result.status, result.error_type, result.message, result.details,
        retry=result.retry, retry_after_s=result.retry_after_s,
    )  # fmt: skip


_CLASSES: Final[Mapping[int, type[anthropic.APIStatusError]]] = {
    400: anthropic.BadRequestError,
    402: anthropic.PaymentRequiredError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    409: anthropic.ConflictError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    503: anthropic.ServiceUnavailableError,
    529: anthropic.OverloadedError,
}


def _status_error(
    request: APIRequest,
    status: int,
    error_type: str,
    message: str,
    details: Mapping[str, object],
    *,
    retry: bool = False,
    retry_after_s: int | None = None,
) -> anthropic.APIStatusError:
    """Make the error that the SDK makes of the gateway's answer; its headers say whether to try again."""
    error = {"type": error_type, "message": message, "details": dict(details)}
    body = {"type": "error", "error": error, "request_id": None}
    headers = {"x-should-retry": "true" if retry else "false"}
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    asked = httpx2.Request(request.method.upper(), request.url)
    answer = httpx2.Response(status, headers=headers, json=body, request=asked)
    make = _CLASSES.get(status, anthropic.APIStatusError)
    return make(f"Error code: {status} - {body}", response=answer, body=body)


@contextmanager
def _as_sdk_errors(request: APIRequest) -> Iterator[None]:
    """Raise our errors as the SDK's own, which its callers know and its retries understand."""
    try:
        yield
    except BooksUnavailable as error:
        details: dict[str, object] = {"error_code": error.code}
        raise _status_error(
            request, 503, "api_error", str(error), details, retry=True, retry_after_s=1
        ) from error
    except OutlayError as error:
        details = {"error_code": "outlay_invalid_request"}
        if isinstance(error, BadInput):
            details = error.details
        raise _status_error(request, 400, "invalid_request_error", str(error), details) from error
