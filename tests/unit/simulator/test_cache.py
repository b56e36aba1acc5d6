"""The prompt cache: what is written, read and billed."""

from typing import Any

import pytest

LONG = "All work and no play makes a long prompt. " * 100
PARTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def _system(text: str = LONG, ttl: str | None = None) -> list[dict[str, Any]]:
    marker = {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}
    return [{"type": "text", "text": text, "cache_control": marker}]


def _parts(reply: Any) -> tuple[int, ...]:
    usage = reply.json["usage"]
    written = usage["cache_creation"]
    assert sum(written.values()) == usage["cache_creation_input_tokens"]
    return tuple(usage[name] for name in PARTS)


def _total(caller: Any, **fields: Any) -> int:
    found = caller.ask("/v1/messages/count_tokens", max_tokens=..., **fields).json["input_tokens"]
    return int(found)


def test_a_marked_prefix_is_written_once_and_then_read(caller: Any) -> None:
    """The first call writes the prefix, the second reads as much; each call's parts make its prompt."""
    total = _total(caller, system=_system())
    uncached, read, written = _parts(caller.ask(system=_system()))
    assert (0, total) == (read, uncached + written)
    assert written > 1000
    assert (uncached, written, 0) == _parts(caller.ask(system=_system()))


def test_nothing_is_cached_without_a_marker(caller: Any) -> None:
    """A long prompt without cache_control is billed as it is, every time."""
    for _ in range(2):
        assert _parts(caller.ask(system=LONG))[1:] == (0, 0)


@pytest.mark.parametrize(("ttl", "seconds"), [("5m", 300), ("1h", 3600)])
def test_a_prefix_lives_as_long_as_its_marker_says(caller: Any, clock: Any, ttl: str, seconds: int) -> None:
    """It is read just before its end, which renews it, and written again at its end."""
    written = _parts(caller.ask(system=_system(ttl=ttl)))[2]
    for _ in range(2):
        clock.now += seconds - 1
        assert (written, 0) == _parts(caller.ask(system=_system(ttl=ttl)))[1:]
    clock.now += seconds
    assert (0, written) == _parts(caller.ask(system=_system(ttl=ttl)))[1:]


def test_writes_are_told_apart_by_lifetime(caller: Any) -> None:
    """A one-hour prefix and a five-minute one after it are billed at their own rates."""
    messages = [{"role": "user", "content": _system("Question. " * 200)}]
    usage = caller.ask(system=_system(ttl="1h"), messages=messages).json["usage"]["cache_creation"]
    assert usage["ephemeral_1h_input_tokens"] > usage["ephemeral_5m_input_tokens"] > 500


@pytest.mark.parametrize(
    "change",
    [
        {"model": "claude-sonnet-5-5"},
        {"headers": {"x-api-key": "key-b"}},
        {"system": _system("Another beginning. " + LONG)},
        {"tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    ],
)
def test_another_model_account_or_prefix_reads_nothing(caller: Any, change: dict[str, Any]) -> None:
    """The cache belongs to one model of one account, and to exactly the same beginning."""
    caller.ask(system=_system())
    assert _parts(caller.ask(**{"system": _system(), **change}))[1] == 0


def test_a_short_prefix_is_not_cached(caller: Any) -> None:
    """Haiku 4.5 caches from 4,096 tokens on, Opus 5.5 from 512; below nothing is said and nothing cached."""
    for _ in range(2):
        assert _parts(caller.ask(model="claude-haiku-4-5", system=_system()))[1:] == (0, 0)
        assert _parts(caller.ask(system=_system("Short.")))[1:] == (0, 0)


def test_a_growing_conversation_reads_what_it_wrote(caller: Any) -> None:
    """With the marker at the top level each turn reads the turn before and writes what is new."""
    turns: list[dict[str, Any]] = [{"role": "user", "content": LONG}]
    fields: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}
    first = _parts(caller.ask(messages=turns, **fields))[2]
    turns += [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "More. " * 50}]
    uncached, read, written = _parts(caller.ask(messages=turns, **fields))
    assert first == read
    assert 0 < written < first
    assert read + written + uncached == _total(caller, messages=turns, **fields)


def test_a_failed_call_writes_nothing(caller: Any) -> None:
    """An overloaded provider leaves the cache as it was."""
    assert caller.ask(system=_system(), headers={"simulator-fault": "overload_529"}).status == 529
    assert _parts(caller.ask(system=_system()))[1] == 0


def test_the_wished_prompt_is_divided_in_proportion(caller: Any) -> None:
    """Where the caller sets the size of the prompt, the parts still make exactly that size."""
    for _ in range(2):
        parts = _parts(caller.ask(system=_system(), headers={"simulator-input-tokens": "80000"}))
        assert sum(parts) == 80_000
        assert max(parts[1:]) > 79_000


def test_the_caller_may_set_the_parts(caller: Any) -> None:
    """Set parts are billed as set; more than the prompt is an error."""
    question = (
        "[[sim input_tokens=1000 cache_read_tokens=600 cache_write_5m_tokens=100 cache_write_1h_tokens=50]]"
    )
    reply = caller.ask(messages=[{"role": "user", "content": question}])
    assert _parts(reply) == (250, 600, 150)
    over = caller.ask(headers={"simulator-input-tokens": "10", "simulator-cache-read-tokens": "11"})
    assert over.status == 400
