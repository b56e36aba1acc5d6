"""
The packaged model facts.
"""

import pickle

import pytest
from genai_prices import data as library

from pricing.facts import UnknownGeo, UnknownModel, geo_ppm, known_models, model_facts, tokenizer
from pricing.table import PriceTable

NEW = ["claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2", "claude-opus-4-7"]
OLD = ["claude-haiku-4-5", "claude-sonnet-4-5", "claude-sonnet-4-6", "claude-opus-4-5", "claude-opus-4-6"]


@pytest.mark.parametrize("model", known_models())
def test_every_known_model_has_a_price(model: str, prices: PriceTable, now_us: int) -> None:
    """Facts without a price would let the router offer what cannot be billed; aliases included."""
    facts = model_facts(model)
    for name in (model, *facts.aliases):
        assert prices.price(name, now_us).model == model
        assert model_facts(name) is facts


@pytest.mark.parametrize("model", known_models())
def test_facts_are_consistent(model: str) -> None:
    """Default effort is an effort, outputs fit the context, kinds are known ones."""
    facts = model_facts(model)
    assert facts.default_effort in facts.efforts if facts.efforts else facts.default_effort is None
    assert facts.max_output_tokens < facts.context_tokens
    assert facts.thinking <= {"adaptive", "between_tools", "disabled", "enabled"}
    assert facts.thinking_binding in ("model", "account", "none")
    assert facts.line in facts.id
    assert tokenizer(facts.tokenizer).name == facts.tokenizer
    if facts.disabled_thinking_efforts is not None:
        assert "disabled" in facts.thinking
        assert set(facts.disabled_thinking_efforts) < set(facts.efforts)


@pytest.mark.parametrize("model", known_models())
def test_fast_and_context_agree_with_the_price_library(model: str) -> None:
    """Fast mode is where the library has a fast price, and the context window is the library's."""
    provider = next(item for item in library.providers if item.id == "anthropic")
    info = provider.find_model(model)
    assert info is not None
    assert model_facts(model).fast == any(v.when == {"speed": "fast"} for v in info.price_variants or ())
    assert model_facts(model).context_tokens == info.context_window


def test_models_from_4_7_on_share_the_newer_tokenizer() -> None:
    """The newer generation counts about 30 % more tokens for the same text."""
    assert {model_facts(model).tokenizer for model in NEW} == {"v5"}
    assert {model_facts(model).tokenizer for model in OLD} == {"v4"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "opus",
        "claude-opus",
        "claude-opus-9",
        "claude-haiku-5-5x",
        "claude-3-opus-latest",
        "claude-opus-5-5-latest",
        "claude-opus-5-5-2026",
        "CLAUDE-OPUS-5-5",
        "claude-mythos-5",
    ],
)
def test_an_unknown_model_is_never_guessed(name: str) -> None:
    """A name that merely looks like a known one has no facts."""
    with pytest.raises(UnknownModel, match="known models"):
        model_facts(name)


def test_dated_ids_resolve_to_their_model() -> None:
    """An id with a snapshot date has the facts of its model."""
    assert model_facts("claude-haiku-4-5-20251001").id == "claude-haiku-4-5"
    assert model_facts("claude-opus-5-5-20260930").id == "claude-opus-5-5"


def test_the_us_geography_is_multiplied_from_opus_4_6_on() -> None:
    """Tokens in the US cost 1.1 times; older models take no geography; unknown geographies have no price."""
    assert geo_ppm("claude-opus-5-5", "us") == 1_100_000
    assert geo_ppm("claude-sonnet-4-6", "us") == 1_100_000
    assert geo_ppm("claude-haiku-4-5", "us") == 1_000_000
    assert geo_ppm("claude-opus-5-5", None) == geo_ppm("claude-opus-5-5", "global") == 1_000_000
    assert geo_ppm("anything", "not_available") == 1_000_000
    with pytest.raises(UnknownGeo):
        geo_ppm("claude-opus-5-5", "mars")


def test_facts_can_be_compared_hashed_and_pickled() -> None:
    """Facts travel into other processes and into sets."""
    facts = model_facts("claude-opus-5-5")
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert len({facts, model_facts("claude-opus-5")}) == 2
