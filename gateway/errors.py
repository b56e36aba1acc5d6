"""
Errors as callers see them: one shape, Anthropic's, and the one table from public errors to HTTP.

`x-should-retry` goes before every rule that the SDK has about a status, so that each error says for itself
whether the same request may be sent again.
"""

from collections.abc import Mapping
from dataclasses import asdict

from outlay.calls import Refused
from outlay.errors import (
    BadInput,
    BooksUnavailable,
    OutlayError,
    PolicyInvalid,
    Rejected,
    SchemaMismatch,
    brief,
    unavailable_code,
)

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Error type of each status that we answer with."""


class ApiError(Exception):
    """
    An error answer of our own.

    Attributes:
        retry: Whether the same request may succeed shortly; None leaves it to the client's own rules.
    """

    def __init__(
        self,
        status: int,
        error_type: str,
        message: str,
        details: Mapping[str, object] | None = None,
        *,
        retry: bool | None = False,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error_type = error_type
        self.message = message
        self.details: Mapping[str, object] = {} if details is None else details
        self.retry = retry
        self.retry_after_s = retry_after_s

    def body(self, request_id: str) -> dict[str, object]:
        """
        Return the body in Anthropic's shape.
        """
        error: dict[str, object] = {"type": self.error_type, "message": brief(self.message)}
        if self.details:
            error["details"] = brief(self.details)
        return {"type": "error", "error": error, "request_id": request_id}

    def headers(self) -> dict[str, str]:
        """
        Return the headers that tell a client whether and when to try again.
        """
        found: dict[str, str] = {}
        if self.retry is not None:
            found["x-should-retry"] = "true" if self.retry else "false"
        if self.retry_after_s is not None:
            found["retry-after"] = str(self.retry_after_s)
        return found


def invalid(message: str, *, field: str, code: str = "outlay_invalid_request") -> ApiError:
    """
    Refuse a request that is not well-formed, naming the field.
    """
    return ApiError(400, "invalid_request_error", message, {"error_code": code, "field": field})


def not_found(message: str) -> ApiError:
    """
    Refuse a path or a name that does not exist.
    """
    return ApiError(404, "not_found_error", message, {"error_code": "outlay_not_found"})


def unreachable(why: str, decision_id: str) -> ApiError:
    """
    The request never reached the provider: nothing is billed, and the same request may be sent again.
    """
    details = {"error_code": "outlay_upstream_unreachable", "decision_id": decision_id}
    message = f"the provider could not be reached, and nothing was sent ({why})"
    return ApiError(502, "api_error", message, details, retry=True, retry_after_s=1)


def unanswered(why: str, decision_id: str) -> ApiError:
    """
    The request was sent and no answer came: it may have been billed, so that nobody repeats it unasked.
    """
    details = {"error_code": "outlay_upstream_no_answer", "decision_id": decision_id}
    message = f"the provider gave no complete answer, and may have billed the call ({why})"
    return ApiError(504, "timeout_error", message, details)


def refusal(refused: Refused) -> ApiError:
    """
    Put a refusal of the flow into an answer.
    """
    return ApiError(
        refused.status,
        refused.error_type,
        refused.message,
        refused.details,
        retry=refused.retry,
        retry_after_s=refused.retry_after_s,
    )


def internal() -> ApiError:
    """
    An error that nobody promised; the log has it. Not to be repeated: the call may have been billed.
    """
    return ApiError(500, "api_error", "internal error", {"error_code": "outlay_internal_error"})


def public(error: OutlayError) -> ApiError:
    """
    Translate a public error: the one table from errors to statuses.
    """
    match error:
        case BadInput():
            return ApiError(400, "invalid_request_error", str(error), error.details)
        case PolicyInvalid():
            return _invalid_policy(error)
        case Rejected():
            status = 404 if error.code.startswith("unknown_") else 409
            rejected = {"error_code": error.code, **error.details}
            return ApiError(status, ERROR_TYPES[status], error.message, rejected)
        case BooksUnavailable() | SchemaMismatch():
            details = {"error_code": unavailable_code(error)}
            return ApiError(503, "api_error", str(error), details, retry=True, retry_after_s=1)
        case _:
            return internal()


def _invalid_policy(error: PolicyInvalid) -> ApiError:
    problems = [asdict(problem) for problem in error.problems]
    details: dict[str, object] = {"error_code": "outlay_invalid_policy", "problems": problems}
    return ApiError(400, "invalid_request_error", str(error), details)
