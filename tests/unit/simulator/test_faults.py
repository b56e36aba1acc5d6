"""Directives, faults, scenarios, rate limits."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from simulator.app import Disconnected
from simulator.config import Config, ScenarioError, load_scenario
from simulator.faults import FaultKind, Phase
from simulator.limits import Limits


def _says(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(
    ("fault", "status", "kind", "code", "waits"),
    [
        ("overload_529", 529, "overloaded_error", None, False),
        ("error_500", 500, "api_error", None, False),
        ("timeout_504", 504, "timeout_error", None, False),
        ("rate_limit_429", 429, "rate_limit_error", None, True),
        ("spend_limit_429", 429, "rate_limit_error", "enforced_spend_limit_reached", False),
        ("own_limit_400", 400, "invalid_request_error", None, False),
        ("billing_402", 402, "billing_error", None, False),
    ],
)
def test_error_faults_answer_as_the_api_does(
    caller: Any, fault: str, status: int, kind: str, code: str | None, *, waits: bool
) -> None:
    """Each has its status, type and code; only a rate limit says when to come back; nothing is billed."""
    reply = caller.ask(headers={"simulator-fault": fault})
    error = reply.json["error"]
    assert (status, kind, code) == (reply.status, error["type"], error.get("details", {}).get("error_code"))
    assert waits == ("retry-after" in reply.headers)
    assert Decimal(0) == caller.provider.bill.total_usd


@pytest.mark.parametrize(("fault", "calls"), [("disconnect", 0), ("lost_answer", 1)])
def test_a_lost_answer_is_billed_and_a_refused_connection_is_not(caller: Any, fault: str, calls: int) -> None:
    """Both close the connection without a byte; only the answer that was generated is billed."""
    with pytest.raises(Disconnected):
        caller.ask(headers={"simulator-fault": fault})
    assert calls == caller.provider.bill.calls


@pytest.mark.parametrize("count", range(12))
def test_a_broken_stream_bills_what_was_generated(caller: Any, count: int) -> None:
    """After N events the connection ends; output is billed up to the last event sent, never before one."""
    wishes = {
        "simulator-input-tokens": "1000",
        "simulator-output-tokens": "100",
        "simulator-thinking-tokens": "40",
    }
    reply = caller.ask(stream=True, headers={**wishes, "simulator-fault": f"break_stream_after={count}"})
    assert count == len(reply.events) if count < 11 else len(reply.events) == 11
    # start, block, ping, signature (40 tokens thought), stop, block, 20 + 20 + 20 tokens of text, stop
    generated = [0, 1, 1, 1, 40, 40, 40, 60, 80, 100, 100, 100]
    expected = Decimal(0) if count == 0 else (1000 * 4 + generated[count] * 20) * Decimal("1e-6")
    assert expected == caller.provider.bill.total_usd


def test_directives_in_the_last_user_message_count(caller: Any) -> None:
    """The first line of the last user message counts, in text blocks and tool results too."""
    first = "Hi [[sim output_tokens=11 input_tokens=500]] and [[sim output_tokens=12]]"
    usage = caller.ask(messages=_says(first)).json["usage"]
    assert (usage["input_tokens"], usage["output_tokens"]) == (500, 11)
    later = [*_says("[[sim output_tokens=13]]"), {"role": "assistant", "content": "x"}, *_says("plain")]
    assert caller.ask(messages=later).json["usage"]["output_tokens"] != 13
    use = {"type": "tool_use", "id": "t1", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "[[sim output_tokens=14]]"}
    turns = [*_says("x"), {"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]
    assert caller.ask(messages=turns).json["usage"]["output_tokens"] == 14


def test_a_header_goes_before_the_prompt(caller: Any) -> None:
    """What the header sets replaces what the prompt sets; the rest of the line stays."""
    reply = caller.ask(
        messages=_says("[[sim output_tokens=11 input_tokens=500]]"), headers={"simulator-output-tokens": "21"}
    )
    assert (reply.json["usage"]["input_tokens"], reply.json["usage"]["output_tokens"]) == (500, 21)


@pytest.mark.parametrize(
    "line",
    [
        "tokens=5",
        "output_tokens=-1",
        "output_tokens=x",
        "output_tokens=",
        "fault=fire",
        "fault=break_stream_after",
        "fault=error_500=3",
        "break_stream_after=x",
        "output_tokens=9999999999",
    ],
)
def test_a_malformed_directive_is_an_error(caller: Any, line: str) -> None:
    """A directive that cannot be followed is 400, so that no test runs without its fault."""
    reply = caller.ask(messages=_says(f"[[sim {line}]]"))
    assert reply.status == 400
    assert reply.message.startswith("simulator: ")


def test_an_overload_phase_strikes_one_model_for_a_while(make_caller: Any, clock: Any) -> None:
    """From its start to its end every call of the model fails; before, after and elsewhere none does."""
    phase = Phase(FaultKind.OVERLOAD_529, model="claude-opus-5-5", from_s=10, to_s=20)
    caller = make_caller(phases=(phase,))
    start = clock.now
    for elapsed, status in ((9.9, 200), (10, 529), (19.9, 529), (20, 200)):
        clock.now = start + elapsed
        assert status == caller.ask().status
        assert caller.ask(model="claude-haiku-5-5").status == 200


def test_random_faults_repeat_with_the_seed(make_caller: Any) -> None:
    """The same seed gives the same faults and lengths; another seed others; the rate is met."""
    phases = (Phase(FaultKind.ERROR_500, rate=0.3),)

    def play(seed: int) -> list[Any]:
        caller = make_caller(seed=seed, phases=phases)
        replies = [caller.ask() for _ in range(100)]
        return [reply.status if reply.status != 200 else reply.json["usage"] for reply in replies]

    first = play(1)
    assert first == play(1) != play(2)
    assert 15 <= first.count(500) <= 45


def test_latency_is_waited_for(make_caller: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wished latency is exact; a configured one has the configured mean."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    make_caller().ask(headers={"simulator-latency-ms": "70", "simulator-stall-ms": "30"})
    assert waited == [0.07, 0.03]
    waited.clear()
    caller = make_caller(latency_ms=200)
    for _ in range(400):
        caller.ask()
    assert 0.17 < sum(waited) / len(waited) < 0.23


SCENARIO = """
seed = 7
latency_ms = 3
default_geo = "us"
keys = ["a"]
[limits]
requests = 5
[[phases]]
fault = "overload_529"
model = "claude-opus-5-5"
from_s = 1
to_s = 2.5
[faults]
error_500 = 0.5
"""


def test_a_scenario_changes_the_configuration() -> None:
    """Settings, limits, phases and rates are read; phases come before rates."""
    config = load_scenario(SCENARIO, Config())
    assert (7, 3, "us", ("a",), Limits(requests=5)) == (
        config.seed,
        config.latency_ms,
        config.default_geo,
        config.keys,
        config.limits,
    )
    phase = Phase(FaultKind.OVERLOAD_529, model="claude-opus-5-5", from_s=1, to_s=2.5)
    assert (phase, Phase(FaultKind.ERROR_500, rate=0.5)) == config.phases


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("seed = ", "TOML"),
        ("sed = 1", "sed is unknown"),
        ('seed = "1"', "seed = '1'"),
        ("seed = true", "seed = True"),
        ("bill = 'x'", "bill is unknown"),
        ("latency_ms = -1", "latency_ms = -1"),
        ("tool_use_ratio = 2", "tool_use_ratio = 2"),
        ("default_geo = 'moon'", "default_geo = 'moon'"),
        ("bill_on_disconnect = 'no'", "bill_on_disconnect"),
        ("[faults]\nfire = 1", "fault = 'fire'"),
        ("[faults]\nerror_500 = 1.5", "rate = 1.5"),
        ("[[phases]]\nrate = 1", "phases.0.fault"),
        ("[[phases]]\nfault = 'error_500'\nuntil = 3", "phases.0.until"),
        ("[limits]\nrequests = 'x'", "limits.requests"),
        ("phases = 3", "phases"),
        ("limits = 3", "limits"),
        ("faults = 3", "faults"),
    ],
)
def test_a_wrong_scenario_is_named(text: str, named: str) -> None:
    """The error names the field and the value."""
    with pytest.raises(ScenarioError, match=named.replace("[", r"\[").replace(".", r"\.")):
        load_scenario(text, Config())


def test_rate_limits_hold_per_key_and_line(make_caller: Any, clock: Any) -> None:
    """Three requests a minute pass; the fourth is told when to come back; others are not touched."""
    clock.now = 60 * 30_000_000
    caller = make_caller(limits=Limits(requests=3))
    left = [caller.ask().headers["anthropic-ratelimit-requests-remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    clock.now += 15
    over = caller.ask()
    assert (over.status, over.headers["retry-after"]) == (429, "45")
    assert caller.ask(headers={"x-api-key": "key-b"}).status == 200
    assert caller.ask(model="claude-haiku-5-5").status == 200
    clock.now += 45
    assert caller.ask().status == 200
    assert caller.provider.bill.calls == 6


def test_token_limits_count_prompts_and_output(make_caller: Any) -> None:
    """A prompt over the rest of the minute is refused; so is the call after the output is used up."""
    wishes = {"simulator-input-tokens": "600", "simulator-output-tokens": "100"}
    prompts = make_caller(limits=Limits(input_tokens=1000))
    assert [prompts.ask(headers=wishes).status for _ in range(2)] == [200, 429]
    output = make_caller(limits=Limits(output_tokens=200))
    assert [output.ask(headers=wishes).status for _ in range(3)] == [200, 200, 429]


def test_rate_limit_headers_are_always_there(caller: Any) -> None:
    """Every answer of a call has the twelve headers."""
    names = [name for name in caller.ask().headers if name.startswith("anthropic-ratelimit-")]
    assert len(names) == 12
