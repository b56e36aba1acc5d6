"""
From a body and its hints to a profile: what is read, what is refused, which session it is.
"""

from typing import Any

import pytest

from router.classify import FEATURES, allowed_hints, profile_request, session_hash
from router.policy import load_policy
from router.types import Cache, Hints, Profile, Refusal, RefusalCode, Rights


def test_a_plain_request_has_a_plain_profile(body: Any, profile: Any) -> None:
    """Names and counts of the body, nothing more."""
    plain = profile(body(stream=True), hints=Hints(task="crm/x", tags=(("team", "a"),)), expected=9999)
    assert (plain.asked_model, plain.max_tokens, plain.stream) == ("claude-opus-5-5", 4096, True)
    assert plain.expected_output_tokens == 4096
    assert plain.features == frozenset()
    assert plain.tags == (("team", "a"),)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"messages": "x"}, "messages"),
        ({"messages": None}, "messages"),
    ],
)
def test_a_body_that_cannot_be_bounded_is_refused_by_field(
    body: Any, policy: Any, fields: dict[str, Any], field: str
) -> None:
    """The refusal names the field."""
    result = profile_request(body(**fields), Hints(), Rights(), policy, expected_output_tokens=1)
    assert isinstance(result, Refusal)
    assert result.code is RefusalCode.INVALID_REQUEST
    assert str(result.numbers["field"]).startswith(field)
    given = next(iter(fields.values())) is not None
    assert ("found" in result.message, "value" in result.numbers) == (given, given)


@pytest.mark.parametrize(
    ("hints", "says"),
    [
        (Hints(priority="critcal"), "did you mean 'critical'"),
        (Hints(priority="5"), "one of critical, high"),
        (Hints(privacy="helth"), "defined: health, law"),
        (Hints(task=""), "outlay-task"),
        (Hints(session="x" * 201), "outlay-session"),
    ],
)
def test_a_hint_that_means_nothing_is_refused(body: Any, policy: Any, hints: Hints, says: str) -> None:
    """A misspelt privacy class or priority is an error, never ignored."""
    result = profile_request(body(), hints, Rights(), policy, expected_output_tokens=1)
    assert isinstance(result, Refusal)
    assert result.code is RefusalCode.INVALID_HINT
    assert says in result.message


def test_hints_that_loosen_need_the_right() -> None:
    """Without it floor and pin are dropped, each with a reason; the rest stays."""
    hints = Hints(task="t", floor="large", pin=True, priority="high")
    kept, reasons = allowed_hints(hints, Rights())
    assert kept == Hints(task="t", priority="high")
    assert [reason.numbers["hint"] for reason in reasons] == ["floor", "pin"]
    assert allowed_hints(hints, Rights(loosen=True)) == (hints, ())


def test_a_session_is_recognised_by_its_beginning(body: Any) -> None:
    """Later turns and moving cache markers keep the key; another system prompt makes another session."""
    mark = {"cache_control": {"type": "ephemeral"}}
    first = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    marked = {"role": "user", "content": [{"type": "text", "text": "Hi"} | mark]}
    one = body(system="s", messages=[marked])
    two = body(
        system="s",
        messages=[first, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "?"}],
    )
    assert session_hash(one) == session_hash(two)
    assert session_hash(body(system="t", messages=[first])) != session_hash(one)


def test_a_conversation_keeps_its_key_while_it_is_marked_anew(body: Any) -> None:
    """
    A client marks its newest message for the cache, and writes a text as a block to do so; turn by turn the
    markers move, in system and tools too, and the key stays. The same beginning with another tool, another
    first message or an image in it is another conversation.
    """
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    tool = {"name": "f", "input_schema": {"type": "object"}}
    plain = [{"role": "user", "content": "Hi"}]
    marked = [{"role": "user", "content": [{"type": "text", "text": "Hi"} | mark]}]
    later = [*plain, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "And?"}]
    system = [{"type": "text", "text": "s"}]
    keys = {
        session_hash(body(system="s", tools=[tool], messages=plain)),
        session_hash(body(system=system, tools=[tool | mark], messages=marked)),
        session_hash(body(system=[system[0] | mark], tools=[tool], messages=later)),
        session_hash(body(system=system, tools=[tool], messages=later, max_tokens=7, stream=True, **mark)),
    }
    assert len(keys) == 1
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    others = {
        session_hash(body(system="s", messages=plain)),
        session_hash(body(system="s", tools=[tool | {"description": "x"}], messages=plain)),
        session_hash(body(system="s", tools=[tool], messages=[{"role": "user", "content": "Ho"}])),
        session_hash(body(system="s", tools=[tool], messages=[{"role": "user", "content": [image]}])),
    }
    assert len(others | keys) == 5


def test_a_session_header_stands_apart_from_hashes(body: Any, profile: Any) -> None:
    """A header cannot pretend to be another caller's hashed session."""
    hashed = profile(body()).session
    assert hashed.startswith("auto:")
    assert profile(body(), hints=Hints(session=hashed)).session == f"id:{hashed}"


def test_every_feature_is_found(body: Any, profile: Any) -> None:
    """A body that uses everything has every feature."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    mark = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    thought = {"type": "thinking", "thinking": "", "signature": ""}
    whole = body(
        speed="fast",
        temperature=1,
        inference_geo="us",
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any"},
        thinking={"type": "adaptive"},
        output_config={"format": {"type": "json_schema", "schema": {}}},
        messages=[
            {"role": "user", "content": [image, document, mark]},
            {"role": "assistant", "content": [thought]},
        ],
    )
    answered = body(messages=[{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]}])
    assert profile(whole).features | profile(answered).features == FEATURES


def test_the_warm_cache_is_guessed_only_for_a_session_that_goes_on(body: Any, profile: Any) -> None:
    """A first turn has no cache, a later one with markers its prefix; what the shell knows stands above."""
    text = {"type": "text", "text": "x" * 3000, "cache_control": {"type": "ephemeral"}}
    turns = [{"role": "user", "content": [text]}, {"role": "assistant", "content": "y"}]
    last = {"role": "user", "content": "z" * 300}
    assert profile(body(messages=turns[:1])).cached_tokens_hint == 0
    assert 800 < profile(body(messages=[*turns, last])).cached_tokens_hint < 1100
    known = profile(body(messages=[*turns, last]), cache=Cache("claude-haiku-5-5", 7))
    assert (known.cached_model, known.cached_tokens_hint) == ("claude-haiku-5-5", 7)


def test_the_upstream_is_one_that_every_class_allows(body: Any) -> None:
    """A residency class picks its upstream, whose region is then part of the price."""
    policy = load_policy(
        """
        [tiers.only]
        models = ["claude-opus-5-5"]
        [routing]
        default_tier = "only"
        [upstreams.us]
        url = "https://us.example"
        key_env = "US"
        geo = "us"
        [upstreams.default]
        url = "https://example"
        key_env = "K"
        [privacy.us-only]
        models = ["claude-opus-5-5"]
        upstreams = ["us"]
        [privacy.never]
        models = ["claude-opus-5-5"]
        upstreams = ["default"]
        """
    )

    def run(**hints: Any) -> Profile | Refusal:
        rights = Rights(privacy=hints.pop("key", None))
        return profile_request(body(), Hints(**hints), rights, policy, expected_output_tokens=1)

    plain, bound = run(), run(privacy="us-only")
    assert isinstance(plain, Profile)
    assert isinstance(bound, Profile)
    assert (plain.upstream, plain.bound.geo) == ("default", None)
    assert (bound.upstream, bound.bound.geo) == ("us", "us")
    refused = run(privacy="us-only", key="never")
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.NO_MODEL_FITS


def test_the_body_is_only_read(body: Any, profile: Any) -> None:
    """Profiling leaves the body as it was."""
    import copy

    given = body(system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}])
    kept = copy.deepcopy(given)
    profile(given)
    assert given == kept
