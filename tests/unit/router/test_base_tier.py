"""
The tier that a call starts from: table, classifiers, roles, and what they may not do.
"""

from dataclasses import replace
from typing import Any

import pytest

from router.choose import choose
from router.codec import Inputs, from_json, replay, to_json
from router.policy import Policy, load_policy
from router.types import (
    Budget,
    Choice,
    Counts,
    Evidence,
    Headroom,
    Hints,
    Known,
    Prediction,
    Refusal,
    RefusalCode,
    Rights,
    Said,
    Signals,
)

NOW_US = 1_795_000_000_000_000
FREE = Rights(loosen=True)
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
TRIVIAL, SIMPLE, STANDARD = Signals(output_words=9), Signals(), Signals(tools=1)
COMPLEX = Signals(context_bytes=300_000, tools=1)
EXPERT = Signals(context_bytes=300_000, thinking=True, tools=9, output_words=400)
TEXT = """
[tiers.large]
models = ["claude-opus-5-5", "claude-opus-5"]
[tiers.medium]
models = ["claude-sonnet-5-5", "claude-sonnet-4-5"]
[tiers.small]
models = ["claude-haiku-5-5", "claude-haiku-4-5"]
[privacy.health]
models = ["claude-opus-5-5", "claude-sonnet-5-5"]
[[degradation.steps]]
below = 0.50
map = { large = "medium", medium = "small" }
[routing]
default_tier = "medium"
classifier = "KIND"
[routing.tasks]
"mail" = { tier = "small" }
"chat" = { floor = "medium", max_latency_ms = 4000 }
"quick" = { tier = "medium", max_latency_ms = 4000 }
"safety" = { priority = "critical" }
[routing.complexity]
trivial = { tier = "small", max_tokens = 300 }
simple = { model = "claude-haiku-4-5" }
complex = { tier = "large" }
expert = { model = "claude-opus-5" }
[routing.roles]
planner = { tier = "large" }
writer = { model = "claude-sonnet-4-5" }
auditor = { tier = "large", floor = "medium" }
guard = { floor = "large" }
MORE
"""


def policy_of(kind: str = "complexity", more: str = "") -> Policy:
    """The policy above under one classifier."""
    return load_policy(TEXT.replace("KIND", kind).replace("MORE", more))


RULES = {kind: policy_of(kind) for kind in ("table", "complexity", "learned", "llm")}
PROVEN = Known(evidence=Evidence("c", {HAIKU: Counts(1000, 1), "claude-haiku-4-5": Counts(1000, 1)}))


class Caller:
    """Sends calls through `choose`, with plenty of money unless told."""

    def __init__(self, body: Any, profile: Any, prices: Any) -> None:
        self.body, self.profile, self.prices = body, profile, prices

    def __call__(
        self,
        model: str = "outlay/auto",
        *,
        signals: Signals | None = None,
        prediction: Prediction | None = None,
        policy: Policy = RULES["complexity"],
        known: Known = PROVEN,
        rights: Rights = Rights(),
        left: float = 1.0,
        max_tokens: int = 4096,
        **hints: Any,
    ) -> Choice | Refusal:
        """Decide, and see that the decision replays from what is stored of it."""
        made = self.profile(
            self.body(model, max_tokens=max_tokens), hints=Hints(**hints), rights=rights, under=policy
        )
        made = replace(made, signals=signals or made.signals, prediction=prediction)
        money = Headroom((Budget("tenant/day", 10**12, round(10**12 * (1 - left))),))
        outcome = choose(made, money, policy, self.prices, level=0, unhealthy={}, now_us=NOW_US, known=known)
        stored = from_json(Inputs, to_json(Inputs(made, money, 0, {}, NOW_US, known)))
        assert to_json(replay(stored, policy, self.prices)) == to_json(outcome)
        return outcome


@pytest.fixture
def call(body: Any, profile: Any, prices: Any) -> Caller:
    """A caller."""
    return Caller(body, profile, prices)


def served(outcome: Choice | Refusal) -> tuple[str, str | None]:
    """Model and asked tier."""
    assert isinstance(outcome, Choice), outcome
    return outcome.offers[0].model, outcome.asked_tier


def told(outcome: Choice | Refusal, code: str) -> Any:
    """The one reason of a code."""
    assert isinstance(outcome, Choice), outcome
    (found,) = [reason for reason in outcome.reasons if reason.code == code]
    return found


def codes(outcome: Choice | Refusal) -> list[str]:
    """The reasons of a routed call."""
    assert isinstance(outcome, Choice), outcome
    return [str(reason.code) for reason in outcome.reasons]


# complexity


@pytest.mark.parametrize(
    ("signals", "model", "tier"),
    [
        (TRIVIAL, HAIKU, "small"),
        (SIMPLE, "claude-haiku-4-5", "small"),
        (STANDARD, SONNET, "medium"),
        (COMPLEX, OPUS, "large"),
        (EXPERT, "claude-opus-5", "large"),
    ],
)
def test_a_class_goes_where_the_map_says(call: Caller, signals: Signals, model: str, tier: str) -> None:
    """By tier, by model within its tier, and by default where the map has a gap."""
    outcome = call(signals=signals)
    assert served(outcome) == (model, tier)
    assert told(outcome, "complexity").numbers["tier"] == tier
    assert "unrouted_task" not in codes(outcome)


def test_the_points_are_told(call: Caller) -> None:
    """The reason has the class, the sum and each signal that counted."""
    reason = told(call(signals=EXPERT), "complexity")
    assert reason.numbers | {"tier": 0} == {
        "class": "expert", "tier": 0, "points": 9, "output": 2, "context": 3, "reasoning": 2, "tools": 2,
    }  # fmt: skip
    assert "points 9: output 2, context 3, reasoning 2, tools 2" in reason.text


def test_a_class_caps_max_tokens(call: Caller) -> None:
    """The cap of the class holds, the reason says so, and a smaller ask stays."""
    outcome = call(signals=TRIVIAL)
    assert isinstance(outcome, Choice)
    assert outcome.offers[0].max_tokens == 300
    assert told(outcome, "complexity").numbers["max_tokens"] == 300
    assert "tier_limit" not in [reason.code for reason in outcome.offers[0].reasons]
    small = call(signals=TRIVIAL, max_tokens=200)
    assert isinstance(small, Choice)
    assert small.offers[0].max_tokens == 200


def test_the_table_goes_before_the_class(call: Caller) -> None:
    """A task with a tier of its own is not classified; one without is, and keeps its floor."""
    assert served(call(signals=EXPERT, task="mail")) == (HAIKU, "small")
    assert "complexity" not in codes(call(signals=EXPERT, task="mail"))
    assert served(call(signals=EXPERT, task="chat")) == ("claude-opus-5", "large")
    raised = call(signals=TRIVIAL, task="chat")
    assert served(raised)[0] == SONNET
    assert codes(raised) == ["complexity", "floor"]


def test_a_task_without_tier_and_classifier_goes_to_the_default_tier(call: Caller) -> None:
    """It is marked, and the reason names the entry."""
    outcome = call(policy=RULES["table"], task="chat")
    assert served(outcome)[0] == SONNET
    assert "names no tier" in told(outcome, "unrouted_task").text


def test_a_named_model_is_only_lowered(call: Caller) -> None:
    """Opus goes down for a trivial call and counts as downgraded; Haiku never goes up; a pin holds."""
    assert served(call(OPUS, signals=TRIVIAL)) == (HAIKU, "large")
    assert served(call("outlay/large", signals=SIMPLE)) == ("claude-haiku-4-5", "large")
    assert served(call(HAIKU, signals=EXPERT)) == (HAIKU, "small")
    assert served(call(OPUS, signals=TRIVIAL, rights=FREE, pin=True)) == (OPUS, "large")


def test_hints_tighten_only(call: Caller) -> None:
    """A cheaper class is taken from anybody, a dearer one only from a key with the right."""
    easier = replace(COMPLEX, said=Said(complexity="trivial"))
    harder = replace(SIMPLE, said=Said(complexity="expert"))
    assert served(call(signals=easier))[0] == HAIKU
    refused = call(signals=harder)
    assert served(refused)[0] == "claude-haiku-4-5"
    assert told(refused, "hint_not_allowed").numbers == {"hint": "complexity", "class": "simple"}
    assert served(call(signals=harder, rights=FREE))[0] == "claude-opus-5"


def test_no_classifier_lowers_an_exempt_call(call: Caller) -> None:
    """Critical calls are never traded for cost; they may still go up."""
    outcome = call(signals=TRIVIAL, task="safety")
    assert served(outcome) == (SONNET, "medium")
    assert codes(outcome) == ["complexity", "exempt"]
    assert served(call(signals=COMPLEX, task="safety"))[0] == OPUS


def test_a_map_may_be_made_to_need_proof(call: Caller) -> None:
    """The map is the owner's word unless the owner asks for scores."""
    strict = policy_of(more='[routing.calibration]\nrequired = ["complexity"]')
    unproven = call(signals=TRIVIAL, policy=strict, known=Known())
    assert served(unproven) == (SONNET, "medium")
    assert codes(unproven) == ["complexity", "downgrade_not_proven"]
    assert unproven.offers[0].max_tokens == 4096  # type: ignore[union-attr]
    assert served(call(signals=TRIVIAL, policy=strict)) == (HAIKU, "medium")
    assert served(call(signals=TRIVIAL, known=Known())) == (HAIKU, "small")


def test_calls_of_before_there_were_signals_keep_their_tier(call: Caller) -> None:
    """A preview of old traffic cannot classify it, and says so."""
    old = replace(call.profile(call.body("outlay/auto")), signals=None)
    outcome = choose(old, Headroom(), RULES["complexity"], call.prices, level=0, unhealthy={}, now_us=NOW_US)
    assert served(outcome)[0] == SONNET
    assert "gave no answer" in told(outcome, "classified").text


# learned and llm


def gain(value: float | None) -> Prediction:
    """What the learned classifier says."""
    return Prediction("learned", "v1", gain=value)


def test_a_gain_decides_between_two_tiers(call: Caller) -> None:
    """At the threshold the larger tier serves, under it the next one, as a downgrade of the larger."""
    rules = RULES["learned"]
    assert served(call(policy=rules, prediction=gain(0.1))) == (SONNET, "medium")
    lowered = call(policy=rules, prediction=gain(0.099))
    assert served(lowered) == (HAIKU, "medium")
    assert codes(lowered) == ["classified", "downgrade_proven"]
    assert told(lowered, "classified").numbers["gain"] == 0.099
    assert lowered.counterfactual.model == SONNET  # type: ignore[union-attr]
    named = policy_of("learned", '[routing.learned]\nlarger = "large"\nsmaller = "small"\nthreshold = 0.5')
    assert served(call(policy=named, prediction=gain(0.5)))[0] == OPUS
    assert served(call(policy=named, prediction=gain(0.4)))[0] == HAIKU


def test_a_risk_decides_where_the_policy_names_one(call: Caller) -> None:
    """Up to it the smaller tier serves, whatever the gain; a decision of before risks were known stays."""
    rules = policy_of("learned", "[routing.learned]\nmax_risk = 0.2")

    def said(risk: float | None) -> Prediction:
        return Prediction("learned", "v1", gain=0.15, risk=risk)

    assert served(call(policy=rules, prediction=said(0.2000001))) == (SONNET, "medium")
    lowered = call(policy=rules, prediction=said(0.2))
    assert served(lowered) == (HAIKU, "medium")
    assert codes(lowered) == ["classified", "downgrade_proven"]
    reason = told(lowered, "classified")
    assert (reason.numbers["risk"], reason.numbers["max_risk"]) == (0.2, 0.2)
    assert "is within 0.2" in reason.text
    assert served(call(policy=rules, prediction=said(None))) == (SONNET, "medium")
    assert served(call(policy=RULES["learned"], prediction=said(0.0))) == (SONNET, "medium")


@pytest.mark.parametrize("said", [None, gain(None), Prediction("llm", "v1", tier="small")])
def test_without_a_gain_the_larger_tier_serves(call: Caller, said: Prediction | None) -> None:
    """Nothing known, or an answer of another classifier, is no ground for a downgrade."""
    outcome = call(policy=RULES["learned"], prediction=said)
    assert served(outcome) == (SONNET, "medium")
    assert "gave no answer" in told(outcome, "classified").text


def test_unproven_predictions_lower_nothing(call: Caller) -> None:
    """Without scores a downgrade for quality's sake is not made, by either classifier."""
    for kind, said in (("learned", gain(-1.0)), ("llm", Prediction("llm", "v", tier="small"))):
        outcome = call(policy=RULES[kind], prediction=said, known=Known())
        assert served(outcome) == (SONNET, "medium")
        assert codes(outcome) == ["classified", "downgrade_not_proven"]


def test_a_named_model_bounds_the_learned_classifier(call: Caller) -> None:
    """Its larger tier is the caller's own, never more."""
    assert served(call(OPUS, policy=RULES["learned"], prediction=gain(1.0))) == (OPUS, "large")
    lowered = call(HAIKU, policy=RULES["learned"], prediction=gain(-1.0))
    assert served(lowered) == (HAIKU, "small")


@pytest.mark.parametrize(
    ("tier", "model"),
    [("small", HAIKU), ("medium", SONNET), ("large", OPUS), ("tiny", SONNET), (None, SONNET)],
)
def test_the_llm_names_a_tier(call: Caller, tier: str | None, model: str) -> None:
    """An answer that is no tier of the policy keeps the larger one."""
    said = Prediction("llm", "haiku@1", tier=tier)
    assert served(call(policy=RULES["llm"], prediction=said))[0] == model


@pytest.mark.parametrize("kind", ["complexity", "learned", "llm"])
def test_no_classifier_lowers_what_a_strategy_names(call: Caller, kind: str) -> None:
    """A strategy's own tier stands, without proof asked and without a cap; a floor still raises it."""
    said = Prediction("strategy", "cascade")
    outcome = call("outlay/large", policy=RULES[kind], prediction=said, signals=TRIVIAL)
    assert served(outcome) == (OPUS, "large")
    assert f"the {kind} classifier has no say" in told(outcome, "strategy").text
    assert outcome.offers[0].max_tokens == 4096  # type: ignore[union-attr]


# roles


def test_a_role_is_not_undercut(call: Caller) -> None:
    """Neither class nor table serve a role under its tier or model; the class's cap goes with it."""
    outcome = call(signals=TRIVIAL, role="planner")
    assert served(outcome) == (OPUS, "large")
    assert codes(outcome) == ["complexity", "role_tier"]
    assert outcome.offers[0].max_tokens == 4096  # type: ignore[union-attr]
    assert served(call(signals=TRIVIAL, role="writer"))[0] == "claude-sonnet-4-5"
    assert served(call(signals=STANDARD, role="writer"))[0] == "claude-sonnet-4-5"
    assert served(call(signals=COMPLEX, role="writer"))[0] == OPUS
    assert served(call(policy=RULES["table"], task="mail", role="planner"))[0] == OPUS
    assert served(call(signals=TRIVIAL, role="stranger"))[0] == HAIKU


def test_a_role_gives_no_more_than_a_call_names(call: Caller) -> None:
    """A role keeps a named model from being lowered; it does not raise it."""
    assert served(call(OPUS, signals=TRIVIAL, role="planner")) == (OPUS, "large")
    assert served(call(OPUS, signals=TRIVIAL, role="writer")) == ("claude-sonnet-4-5", "large")
    assert served(call(HAIKU, signals=TRIVIAL, role="planner")) == (HAIKU, "small")
    assert served(call("outlay/small", role="guard"))[0] == OPUS


def test_a_shrinking_budget_may_lower_a_role_to_its_floor(call: Caller) -> None:
    """A tier bends to money, a floor does not."""
    assert served(call(role="planner", left=0.4))[0] == SONNET
    assert served(call(role="auditor", left=0.4))[0] == SONNET
    assert served(call(role="guard", left=0.4))[0] == OPUS


# latency


def latency(**taken: int) -> Known:
    """What models take."""
    return Known(latencies_ms={name.replace("_", "-"): ms for name, ms in taken.items()})


def test_a_model_that_is_too_slow_does_not_serve_the_task(call: Caller) -> None:
    """The next of the tier serves, then another tier; the reason has both times."""
    slow = latency(claude_sonnet_5_5=4001)
    outcome = call(policy=RULES["table"], task="quick", known=slow)
    assert served(outcome)[0] == "claude-sonnet-4-5"
    assert told(outcome, "too_slow").numbers == {"model": SONNET, "latency_ms": 4001, "max_latency_ms": 4000}
    both = latency(claude_sonnet_5_5=4001, claude_sonnet_4_5=9000)
    outcome = call(policy=RULES["table"], task="quick", known=both)
    assert served(outcome)[0] == HAIKU
    assert "max_latency_ms 4000" in told(outcome, "constraint").text


def test_at_the_limit_or_unknown_nothing_is_ruled_out(call: Caller) -> None:
    """Only what was measured and is over the limit counts, and only for tasks that have one."""
    rules = RULES["table"]
    assert served(call(policy=rules, task="quick", known=latency(claude_sonnet_5_5=4000)))[0] == SONNET
    assert served(call(policy=rules, task="quick", known=latency(claude_opus_5_5=9000)))[0] == SONNET
    assert served(call(policy=rules, known=latency(claude_sonnet_5_5=9000)))[0] == SONNET


def test_a_named_model_must_be_fast_enough_too(call: Caller) -> None:
    """The limit is a hard constraint, as the allowed models are."""
    outcome = call(SONNET, policy=RULES["table"], task="quick", known=latency(claude_sonnet_5_5=9000))
    assert served(outcome)[0] == "claude-sonnet-4-5"


def test_where_all_are_too_slow_the_call_is_refused(call: Caller) -> None:
    """It is told that latency is why; once the measurements are old, the models are tried again."""
    names = ("opus_5_5", "opus_5", "sonnet_5_5", "sonnet_4_5", "haiku_5_5", "haiku_4_5")
    all_slow = latency(**{f"claude_{name}": 60_000 for name in names})
    outcome = call(policy=RULES["table"], task="quick", known=all_slow)
    assert isinstance(outcome, Refusal)
    assert outcome.code is RefusalCode.NO_MODEL_FITS
    assert "max_latency_ms 4000" in outcome.message


def test_observe_mode_serves_what_was_asked(call: Caller) -> None:
    """A downgrade for quality is only written down; the owner's map is routing, and holds."""
    watch = policy_of("learned", '[enforcement]\nmode = "observe"')
    outcome = call(policy=watch, prediction=gain(0.0))
    assert served(outcome)[0] == SONNET
    assert isinstance(outcome, Choice)
    assert outcome.would is not None
    assert outcome.would.offer is not None
    assert outcome.would.offer.model == HAIKU
    mapped = policy_of("complexity", '[enforcement]\nmode = "observe"')
    assert served(call(policy=mapped, signals=TRIVIAL))[0] == HAIKU
