"""
Keys: both ways to show one.
"""

import pytest

from gateway.errors import ApiError
from gateway.intake import secret_of


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "olk_1"},
        {"authorization": "Bearer olk_1"},
        {"authorization": "bearer  olk_1 "},
        {"x-api-key": "olk_1", "authorization": "Bearer other"},
    ],
)
def test_a_key_is_taken_from_either_header(headers: dict[str, str]) -> None:
    """Old SDKs send x-api-key, new ones Bearer; x-api-key goes first."""
    assert secret_of(headers) == "olk_1"


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": " "}, {"authorization": "Basic olk_1"}, {"authorization": "Bearer"}]
)
def test_a_request_without_a_key_is_401_and_not_retried(headers: dict[str, str]) -> None:
    """No key, an empty one, and another scheme are no key."""
    with pytest.raises(ApiError) as caught:
        secret_of(headers)
    assert caught.value.status == 401
    assert caught.value.error_type == "authentication_error"
    assert caught.value.headers() == {"x-should-retry": "false"}
