"""
Messages with numbers read like sentences.
"""

import pytest

from outlay.requests import own_choice
from outlay.words import plural
from router.types import Offer


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 calls"), (1, "1 call"), (2, "2 calls"), (12_345, "12,345 calls")]
)
def test_a_noun_follows_its_number(count: int, words: str) -> None:
    """One is singular, all else plural; thousands are grouped."""
    assert plural(count, "call") == words


def test_a_phrase_may_have_a_plural_of_its_own() -> None:
    """Verbs follow too."""
    assert plural(1, "call was refused", "calls were refused") == "1 call was refused"
    assert plural(3, "call was refused", "calls were refused") == "3 calls were refused"


def test_one_offer_is_one_offer() -> None:
    """The reason of a caller that brings a single offer says so."""
    offer = Offer("gpu", None, None, 0, 1, 1)
    assert own_choice((offer,), 0).reasons[0].text == "the caller brings 1 offer of its own"
