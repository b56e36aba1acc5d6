"""
The error answers of the API: status, type, message, and the code by which the SDK picks a class.
"""

import json


class ApiError(Exception):
    """
    An answer that is an error; it costs the caller nothing.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        error_code: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.error_code = error_code
        self.headers = headers

    def body(self, request_id: str) -> bytes:
        """
        Return the JSON body of the answer.
        """
        error: dict[str, object] = {"type": self.kind, "message": self.message}
        if self.error_code is not None:
            error["details"] = {"error_code": self.error_code}
        return json.dumps({"type": "error", "error": error, "request_id": request_id}).encode()


class Disconnected(Exception):  # noqa: N818  # it is what the caller sees, no error of ours
    """
    The provider closed the connection without an answer, where no socket is at hand to close.
    """


def invalid(message: str) -> ApiError:
    """
    Return the answer to a request that breaks a rule.
    """
    return ApiError(400, "invalid_request_error", message)


def not_found(message: str) -> ApiError:
    """
    Return the answer to a request for something that does not exist.
    """
    return ApiError(404, "not_found_error", message)
