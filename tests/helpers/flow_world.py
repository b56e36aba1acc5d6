"""
A world of plain values for the flow of a call, to be fed step by step.
"""

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any

import ledger.types as books
from circuit.rules import ProviderRule, Rules
from circuit.types import (
    BreakerState,
    HaltCode,
    Halted,
    Snapshot,
    State,
    Transition,
    model_scope,
)
from ledger.store_memory import MemoryLedger
from outlay import effects, flow
from outlay.calls import (
    CallRequest,
    Upstream,
)
from outlay.effects import Ended, Tools, fail, feed
from outlay.errors import BooksUnavailable
from outlay.records import captured_row
from outlay.tables import decision
from outlay.views import View
from pricing.load import load_prices
from router.policy import Policy, default_policy_text, load_policy

T0 = 1_763_700_000_000_000
S = 1_000_000
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"
USAGE = {"input_tokens": 10, "output_tokens": 5}
BODY = {"model": OPUS, "max_tokens": 1_000, "messages": [{"role": "user", "content": "hello"}]}
HALTED = Halted(HaltCode.KILL_SWITCH, "global", "drill", None, None, {})
CALM = Snapshot(breakers={}, spend={}, calls={}, switches={}, read_us=T0)
RULES = Rules(tenant_spend=None, global_spend=None, provider=ProviderRule())


def policy(*, observe: bool = False, fallback: str = "attempts = 1", classifier: str = "table") -> Policy:
    """The packaged policy, enforcing or observing, with fallbacks only where a test is about them."""
    text = default_policy_text().replace("[enforcement]", f"[routing.fallback]\n{fallback}\n[enforcement]")
    text = text.replace('classifier = "table"', f'classifier = "{classifier}"')
    return load_policy(text.replace('mode = "enforce"', 'mode = "observe"') if observe else text)


def waiting(*models: str) -> Snapshot:
    """A reading in which the breakers of models wait for a probe."""
    states = {
        model_scope(model): BreakerState(
            model_scope(model), State.OPEN, 3, changed_us=T0 - 60 * S, until_us=T0 - 1, trips=1
        )
        for model in models
    }
    return replace(CALM, breakers=states)


@dataclass
class World:
    """
    A world of plain values for a flow: books in memory, switches and breakers as told.

    Attributes:
        halted: What the kill switches say between hold and send.
        lost: Models whose probe somebody else claims first.
        broken: Kinds of effect that find the books out of reach.
        seen: Every effect so far.
    """

    view: View
    halted: Halted | None = None
    lost: frozenset[str] = frozenset()
    broken: tuple[type, ...] = ()
    now_us: int = T0
    seen: list[Any] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    ids: int = 0

    def __post_init__(self) -> None:
        self.events: list[books.HoldEvent] = []
        self.ledger = MemoryLedger(tap=self._tap)
        opened = books.OpenAccount("acme", "open", T0 - 1, "UTC", 10**12, None)
        assert isinstance(self.ledger.do(opened), books.AccountOpened)

    def _tap(self, events: Any) -> list[books.Attachment]:
        self.events.extend(events)
        rows = [captured_row(event) for event in events if event.kind == "captured"]
        return [books.Attachment(decision, row, ignore=True) for row in rows if row is not None]

    def tools(self) -> Tools:
        """The flow's tools over this world's clock."""

        def new_id(_now_us: int) -> str:
            self.ids += 1
            return f"id-{self.ids}"

        def upstream(_policy: Policy, name: str | None) -> Upstream:
            return Upstream(name or "default", "http://provider")

        return Tools(
            now_us=lambda: self.now_us,
            new_id=new_id,
            prices=load_prices(),
            owner="me",
            upstream=upstream,
            usual=lambda _tenant, _kind: None,
        )

    def reply(self, effect: Any) -> Any:
        """Carry out one effect."""
        self.seen.append(effect)
        if isinstance(effect, self.broken):
            raise BooksUnavailable("out of reach")
        match effect:
            case effects.Look():
                return self.view
            case effects.Move(wishes):
                return tuple(wish for wish in wishes if not self._is_lost(wish))
            case effects.Commit(op, row) | effects.CloseHold(op, row):
                attach = () if row is None else (books.Attachment(decision, row, ignore=True),)
                return self.ledger.do(op, attach)
            case effects.Note(row):
                self.notes.append(dict(row))
                return None
            case effects.CheckSwitches():
                return self.halted
            case _:
                return None

    def _is_lost(self, wish: Transition) -> bool:
        return wish.to_state == "half_open" and wish.scope.removeprefix("model:") in self.lost

    def play(self, steps: Generator[Any, Any, Any], reply: Any = None) -> Any:
        """Run a flow up to where it sends or ends; returns the `Send` or what the flow returned."""
        effect = feed(steps, reply)
        while not isinstance(effect, effects.Send | Ended):
            try:
                answer = self.reply(effect)
            except BooksUnavailable as error:
                effect = fail(steps, error)
                continue
            effect = feed(steps, answer)
        return effect.value if isinstance(effect, Ended) else effect

    def states(self) -> dict[str, str]:
        """The last thing that happened to each hold."""
        return {event.hold_id: event.kind for event in self.events}

    def rows(self) -> dict[str, dict[str, Any]]:
        """The first decision record of each id; later ones are ignored, as in the database."""
        found: dict[str, dict[str, Any]] = {}
        for attached in self.ledger.attached:
            found.setdefault(str(attached.values["id"]), dict(attached.values))
        for row in self.notes:
            found.setdefault(row["id"], row)
        return found

    def expire(self) -> None:
        """Let every hold run out."""
        self.now_us += 3_600 * S
        self.ledger.sweep(self.now_us)

    def start(self, request: CallRequest | None = None) -> tuple[Generator[Any, Any, Any], Any]:
        """Begin a call and run it up to where it sends or ends."""
        steps = flow.run(request or CallRequest("acme", BODY), self.tools())
        return steps, self.play(steps)

    def kinds(self) -> list[str]:
        """Names of the effects so far."""
        return [type(effect).__name__ for effect in self.seen]


def world(**more: Any) -> World:
    """A world under the packaged policy; `view` fields and `World` fields by name."""
    fields = {name: more.pop(name) for name in ("halted", "lost", "broken") if name in more}
    shown = {"policy": policy(), "policy_tenant": "*", "policy_version": 0, "rules": RULES, "snapshot": CALM}
    return World(View(**{**shown, "known": True, **more}), **fields)
