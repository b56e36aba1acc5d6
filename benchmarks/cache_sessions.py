"""
What the prompt cache of conversations is worth: tier drawn anew at every turn, drawn once per conversation
(pinned), and drawn at every turn but kept by the router's gate, compared at an equal share of large answers.

    python -m benchmarks.cache_sessions --trace FILE.jsonl.gz [--prices opus5|opus55] [--json]

The trace holds turns with the ids of their 512-token prompt blocks. Every turn of the gated and of the free
arm is decided by the real `choose`; a class of complexity, drawn per turn, says which tier it should have.
The provider is simulated: a block is read where the same model had it within five minutes, else written, and
each bill is worked out by `pricing`. There is no budget: every switch is one that nothing forces.
A draw is no judgement of a turn, so `follow_harder` is off; an arm with it on ("following") tells its cost.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from benchmarks.cache_world import (
    MAX_TOKENS,
    START_US,
    TTL_MS,
    Provider,
    Tally,
    Turn,
    bill,
    drawn_under,
    fits,
    fixed,
    pinned_nanos,
    read_trace,
)
from benchmarks.inputs import PRICE_SETS, count, refusals
from outlay.views import SessionMemory, cache
from pricing.bound import Part
from pricing.load import load_prices
from pricing.money import format_usd
from router.choose import choose
from router.classify import profile_request
from router.policy import Policy, load_policy
from router.types import Budget, Choice, Headroom, Hints, Known, Profile, ReasonCode, Rights, SessionState

FORCING: Final = (ReasonCode.CONSTRAINT, ReasonCode.SESSION_ESCALATED)
SEEDS: Final = 3
SHARE: Final = 0.5
POLICY: Final = """
[tiers.large]
models = ["{large}"]
[tiers.small]
models = ["{small}"]
[routing]
default_tier = "large"
classifier = "complexity"
[routing.complexity]
trivial = {{ tier = "small" }}
expert = {{ tier = "large" }}
[routing.sessions]
sticky = {sticky}
follow_harder = {follows}
"""


class Routed:
    """
    Turns decided by the real router, with the memory of conversations that the shell would have.
    """

    def __init__(self, models: tuple[str, str], *, sticky: bool, follows: bool = False) -> None:
        self.models = models
        self.provider = Provider()
        self.tally = Tally()
        self._policy = _policy(models, sticky=sticky, follows=follows)
        self._profile = _template(self._policy)
        self._memory: dict[str, SessionMemory] = {}
        self._reached: list[int] = []
        self._outputs = 0

    def run(self, turns: Sequence[Turn], wishes: Callable[[Turn], bool]) -> Tally:
        """
        Serve a trace whose turns wish for the large model or not.
        """
        for turn in turns:
            self._serve(turn, wants_large=wishes(turn))
        self.tally.nanos = self.provider.nanos
        return self.tally

    def _serve(self, turn: Turn, *, wants_large: bool) -> None:
        now_us, memory = START_US + turn.at_ms * 1_000, self._memory.get(turn.session)
        known = Known(session_turns=tuple(self._reached))
        choice = choose(
            self._read(turn, memory, now_us, wants_large=wants_large),
            Headroom((Budget("tenant/day", None),)),
            self._policy,
            load_prices(),
            level=0,
            unhealthy={},
            now_us=now_us,
            known=known,
        )
        assert isinstance(choice, Choice), choice
        offer = choice.offers[0]
        self._count(turn, memory, offer.model, choice)
        self.provider.serve(offer.model, turn)
        self._outputs += turn.output
        if turn.number > len(self._reached):
            self._reached.append(0)
        self._reached[turn.number - 1] += 1
        self._memory[turn.session] = SessionMemory(
            last_model=offer.model,
            cached_tokens=turn.prompt,
            models=frozenset({offer.model}),
            last_us=now_us,
            tier=offer.tier,
            effort=offer.effort,
            asked_model="outlay/auto",
            wanted_effort=choice.counterfactual.effort,
            routed_tier=choice.counterfactual.routed_tier,
        )

    def _read(self, turn: Turn, memory: SessionMemory | None, now_us: int, *, wants_large: bool) -> Profile:
        """Say of a turn what the shell would: sizes, cache, what the conversation was served with."""
        base = self._profile["expert" if wants_large else "trivial"]
        tokens = max(1, turn.prompt)
        warm = cache(memory, now_us)
        is_warm = warm is not None and warm.age_s * 1_000 <= TTL_MS
        usual = self._outputs // self.tally.turns if self.tally.turns else 400
        return replace(
            base,
            bound=replace(base.bound, parts=(Part("messages", tokens * 4, tokens * 4),)),
            expected_output_tokens=usual,
            session=f"auto:{turn.session}",
            cached_model=warm.model if warm is not None and is_warm else "",
            cached_tokens_hint=warm.tokens if warm is not None and is_warm else 0,
            session_state=None if memory is None else _state(turn, memory),
        )

    def _count(self, turn: Turn, memory: SessionMemory | None, model: str, choice: Choice) -> None:
        tally = self.tally
        tally.turns += 1
        tally.large += model == self.models[0]
        for reason in choice.reasons:
            if reason.code == ReasonCode.SWITCH_SUPPRESSED_CACHE:
                tally.suppressed += 1
                tally.suppressed_nanos += int(reason.numbers["cost_nanos"] or 0)
        if memory is None or model == memory.last_model:
            return
        tally.switches += 1
        if START_US + turn.at_ms * 1_000 - memory.last_us <= TTL_MS * 1_000:
            tally.warm_switches += 1
            forced = any(reason.code in FORCING for reason in choice.reasons)
            forced = forced or not fits(memory.last_model, turn)
            tally.negative += not forced and self._net_saving(turn, memory, model) < 0

    def _net_saving(self, turn: Turn, memory: SessionMemory, model: str) -> int:
        """
        Give what a switch is expected to save at the trace's own counts: this turn, and as many like it with
        a warm cache as conversations have had after this turn so far.
        """
        reached = self._reached[turn.number - 1 :]
        after_milli = 1_000 * sum(reached[1:]) // reached[0] if reached and reached[0] else 0
        here = memory.last_model
        now = bill(here, turn, min(memory.cached_tokens, turn.prompt)) - bill(model, turn, 0)
        later = bill(here, turn, turn.prompt) - bill(model, turn, turn.prompt)
        return now + later * after_milli // 1_000


def _policy(models: tuple[str, str], *, sticky: bool, follows: bool) -> Policy:
    rules = {"sticky": str(sticky).lower(), "follows": str(follows).lower()}
    return load_policy(POLICY.format(large=models[0], small=models[1], **rules))


def _template(policy: Policy) -> dict[str, Profile]:
    """Read one request of each class as the gateway would; turns differ from it in size and past."""
    text = {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}}
    body: dict[str, Any] = {
        "model": "outlay/auto",
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": [text]}],
    }
    found = {}
    for kind in ("expert", "trivial"):
        read = profile_request(
            body, Hints(complexity=kind), Rights(loosen=True), policy, expected_output_tokens=400
        )
        assert isinstance(read, Profile), read
        found[kind] = read
    return found


def _state(turn: Turn, memory: SessionMemory) -> SessionState:
    return SessionState(
        turns=turn.number - 1,
        model=memory.last_model,
        tier=memory.tier,
        effort=memory.effort,
        wanted_effort=memory.wanted_effort,
        asked_model=memory.asked_model,
        routed_tier=memory.routed_tier,
    )


def compare(turns: Sequence[Turn], models: tuple[str, str], seeds: Sequence[int]) -> dict[str, Any]:
    """
    Run every arm at one set of prices.
    """
    always = fixed(turns, models, lambda _: True).nanos
    runs = list(_runs(turns, models, seeds))

    def mean(name: str) -> float:
        return round(fmean(run[name] for run in runs), 4)

    return {
        "models": list(models),
        "always_large_usd": format_usd(always),
        "always_small": round(fixed(turns, models, lambda _: False).nanos / always, 4),
        "per_turn": round(fmean(run["free"].nanos for run in runs) / always, 4),
        "pinned": round(pinned_nanos(turns, models, SHARE) / always, 4),
        "router": round(fmean(run["kept"].nanos for run in runs) / always, 4),
        "router_large_share": round(fmean(run["kept"].share for run in runs), 4),
        "per_turn_vs_pinned": mean("free_ratio"),
        "router_vs_pinned": mean("kept_ratio"),
        "router_vs_pinned_worst_seed": round(max(run["kept_ratio"] for run in runs), 4),
        "router_vs_per_turn": mean("kept_to_free"),
        "following_vs_pinned": mean("following_ratio"),
        "following_large_share": round(fmean(run["following"].share for run in runs), 4),
        "switches": [run["kept"].switches for run in runs],
        "warm_switches": [run["kept"].warm_switches for run in runs],
        "negative_switches": [run["kept"].negative for run in runs],
        "suppressed": [run["kept"].suppressed for run in runs],
        "suppressed_usd": [format_usd(run["kept"].suppressed_nanos) for run in runs],
    }


def _runs(turns: Sequence[Turn], models: tuple[str, str], seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    for seed in seeds:
        wants = drawn_under(seed, SHARE)
        free = Routed(models, sticky=False).run(turns, wants)
        kept = Routed(models, sticky=True).run(turns, wants)
        following = Routed(models, sticky=True, follows=True).run(turns, wants)
        spread = fixed(turns, models, drawn_under(seed, kept.share))
        yield {
            "free": free,
            "kept": kept,
            "free_ratio": free.nanos / pinned_nanos(turns, models, free.share),
            "following": following,
            "following_ratio": following.nanos / pinned_nanos(turns, models, following.share),
            "kept_ratio": kept.nanos / pinned_nanos(turns, models, kept.share),
            "kept_to_free": kept.nanos / spread.nanos,
        }


def _summary(turns: Sequence[Turn], found: dict[str, dict[str, Any]], *, goals_met: bool) -> dict[str, Any]:
    return {
        "turns": len(turns),
        "sessions": len({turn.session for turn in turns}),
        "router_vs_pinned": max(one["router_vs_pinned"] for one in found.values()),
        "per_turn_vs_pinned": max(one["per_turn_vs_pinned"] for one in found.values()),
        "negative_switches": sum(sum(one["negative_switches"]) for one in found.values()),
        "goals_met": goals_met,
        "prices": found,
    }


def show(found: dict[str, dict[str, Any]]) -> None:
    """
    Print what was found, one line per figure.
    """
    for name, figures in found.items():
        large, small = figures["models"]
        print(f"\n{name}: large {large}, small {small}; costs with always large = 1")
        for key, value in figures.items():
            if key != "models":
                print(f"  {key.replace('_', ' '):36} {value}")


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the benchmark; 1 where the gate costs over 1.02 of pinned, or made a switch expected to lose money.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trace", type=Path, required=True, help="JSON lines, plain or gzip")
    parser.add_argument("--prices", choices=[*PRICE_SETS, "all"], default="all")
    parser.add_argument("--seeds", type=count, default=SEEDS, help=f"draws, {SEEDS} unless told")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    with refusals(parser):
        turns = read_trace(options.trace)
    names = list(PRICE_SETS) if options.prices == "all" else [options.prices]
    seeds = range(1, options.seeds + 1)
    found = {name: compare(turns, PRICE_SETS[name], seeds) for name in names}
    kept = all(one["router_vs_pinned"] <= 1.02 for one in found.values())
    kept = kept and not any(sum(one["negative_switches"]) for one in found.values())
    if options.json:
        print(json.dumps(_summary(turns, found, goals_met=kept), indent=2))
    else:
        show(found)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
