"""
The order of a call, in one place: admit, classify, choose, hold, send, settle or release, record, observe.

A generator that yields effects and is fed their replies (`outlay/effects.py`); it reads no clock and does no
I/O, so tests stop it at any step to play a crash. Two thin drivers run it: `outlay/client.py` and
`outlay/aio.py`.
"""

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import ledger.types as books
from circuit.admission import Assessment, assess
from circuit.health import Outcome as Health
from circuit.health import call_delta
from circuit.types import HaltCode, Halted, model_scope
from outlay import answers, closing, records, refusals, repeats, requests, views
from outlay.calls import CallRequest, Done, Outcome, Refused, Result, Sending
from outlay.classifying import classified, profiled
from outlay.effects import (
    CheckSwitches,
    CloseHold,
    Look,
    Move,
    Note,
    Recall,
    Remember,
    Send,
    Tools,
    ask,
)
from outlay.errors import OutlayError, stopped_by
from outlay.levels import moved_level
from outlay.probing import Probe
from outlay.sessions import turn_of
from outlay.strategies import fallback
from outlay.strategies.asking import Ask
from outlay.strategies.fallback import Attempt
from outlay.views import SessionMemory, View
from pricing.stored import digest
from router.codec import Inputs, replay, to_json
from router.types import Choice, Offer, Profile, Reason, Refusal

Steps = Generator[Any, Any, Result]
T = TypeVar("T")
PROBE_WAIT_US: Final = 1_000_000
"""Whoever finds a model's probe taken may ask again this much later."""


def run(request: CallRequest, tools: Tools) -> Steps:
    """
    Carry one call from its request to its end, over as many attempts as the policy allows.

    Returns:
        The refusal, or what the last attempt that was sent cost. Every hold it made is settled, released, or
        left to be captured because nobody knows what the provider billed.
    """
    ended = yield from attempt(request, tools)
    while (again := fallback.following(ended)) is not None:
        try:
            made = yield from attempt(again, tools)
        except OutlayError:  # before anything was sent: the answer is the failure before it
            return ended.result
        if made.outcome is None:
            return ended.result
        ended = made
    return ended.result


def attempt(request: CallRequest, tools: Tools) -> Generator[Any, Any, Attempt]:
    """
    Carry out one attempt: decide, hold, send, close; another failure of the provider is not mended here.

    A step of the flow may make a call of its own so (`outlay/strategies/asking.py`): it is held, settled and
    recorded like every call; `inner` keeps its answer from the caller. A preview, and a hold for a caller
    that sends for itself, have nobody who could send it.
    """
    call = _Call(request, tools, attempt)
    sending = yield from call.begin()
    if isinstance(sending, Refused):
        return Attempt(call.request, call.view.policy, sending)
    outcome = yield from ask(Send(sending))
    done = yield from call.close(outcome)
    return Attempt(call.request, call.view.policy, done, sending, outcome)


def hold(request: CallRequest, tools: Tools) -> Generator[Any, Any, Sending | Refused]:
    """
    Carry one call up to where it would be sent, for a caller that sends it and closes the hold itself.
    """
    return (yield from _Call(request, tools).begin())


def preview(request: CallRequest, tools: Tools) -> Generator[Any, Any, Choice | Refused]:
    """
    Decide on a call without holding money or writing a record: what would be offered now.
    """
    call = _Call(request, tools)
    refused = yield from call.prepare()
    if refused is not None:
        return refused
    choice = call.choose(call.assessment.unhealthy)
    if isinstance(choice, Refusal):
        return refusals.not_served(call.id, request.tenant, choice, call.view, call.at_us)
    return replace(choice, reasons=(*call.reasons, *choice.reasons))


class _Call:
    """
    One call under way: what has been found out so far, and the next step.
    """

    def __init__(self, request: CallRequest, tools: Tools, inner: Ask | None = None) -> None:
        self.request = request
        self._inner = inner
        self.tools = tools
        self.at_us = tools.now_us()
        self.id = tools.new_id(self.at_us)
        self.record: records.Plan = requests.record(request, self.id, self.at_us)
        self.view: View
        self.session: str | None = None
        self.memory: SessionMemory | None = None
        self.assessment: Assessment
        self.profile: Profile | None = None
        self.choice: Choice
        self.held: books.Held
        self.reasons: tuple[Reason, ...] = request.link.reasons
        self.probe = Probe(tools)
        self.tries = request.link.tries
        self.asked = False
        self.asked_nanos = 0

    def begin(self) -> Generator[Any, Any, Sending | Refused]:
        """
        Everything up to a hold that may be sent for now.
        """
        refused = yield from self.prepare()
        if refused is not None:
            return (yield from self._refuse(refused)) if self.view.known else refused
        wanted = yield from self.hold()
        return replace(wanted, asked_nanos=self.asked_nanos) if self.asked else wanted  # though it is refused

    # before the hold

    def prepare(self) -> Generator[Any, Any, Refused | None]:
        """
        Look, admit and classify; a refusal is not recorded yet.
        """
        request = self.request
        self.view = yield from ask(Look(request.tenant, requests.scopes(request), self.at_us))
        self.session = requests.ongoing_session(request)
        if self.session is not None:
            self.memory = yield from ask(Recall(request.tenant, self.session))
        view = self.view
        self.record = views.recorded(self.record, view)
        if not view.known:
            return refusals.unknown_tenant(self.id, request.tenant, self.at_us)
        halted = yield from self._admit()
        if halted is not None:
            return refusals.from_circuit(self.id, halted)
        if request.offers:
            return None
        profile = profiled(request, view, self.tools, self.session, self.memory, self.at_us)
        if isinstance(profile, Refusal):
            return refusals.from_router(self.id, profile, self.at_us, view.timezone)
        said = yield from classified(profile, request, view, self.tools, self.id, self._inner)
        self.profile, told, self.asked_nanos = said
        self.asked = told != ()
        self.reasons = (*self.reasons, *told)
        asked = {"geo": profile.bound.geo, "speed": profile.bound.speed}
        before = () if self.memory is None else sorted(self.memory.models)
        known = {"session": profile.session, "turn": turn_of(request), "served_before": before}
        self.record = {**self.record, **known, **asked}
        return None

    def _admit(self) -> Generator[Any, Any, Halted | None]:
        """
        Pass the switches and the spend breakers; in observe mode a breaker only leaves a reason.
        """
        view, tenant = self.view, self.request.tenant
        self.assessment = assess(view.snapshot, view.rules, tenant, self.at_us)
        if self.assessment.due:
            yield from ask(Move(self.assessment.due))
        answer = self.assessment.answer
        if not isinstance(answer, Halted):
            return None
        if answer.code is HaltCode.KILL_SWITCH or view.enforced:
            return answer
        told = Reason(str(answer.code), "observed only: the spend breaker is open", dict(answer.numbers))
        self.reasons = (*self.reasons, told)
        return None

    # choice and hold

    def hold(self) -> Generator[Any, Any, Sending | Refused]:
        """
        Choose offers, hold money for one, and see that it may be sent now.

        A model whose breaker waits for a probe is offered like any other; only who wins the claim may send
        to it, else the choice is made again without it.
        """
        unhealthy = {**self.assessment.unhealthy, **fallback.avoided(self.request.link, self.at_us)}
        undecided = self.record
        for _ in range(len(self.assessment.probes) + 1):
            refused = yield from self._reserve(unhealthy)
            if refused is not None:
                return refused
            lost = yield from self._or_give_back(self._claim())
            if not lost:
                return (yield from self._or_give_back(self._clear()))
            unhealthy[self._model] = self.at_us + PROBE_WAIT_US
            yield from self._start_over(undecided)
        raise AssertionError("every model to be probed is asked for once")

    def _reserve(self, unhealthy: Mapping[str, int]) -> Generator[Any, Any, Refused | None]:
        choice = self.choose(unhealthy)
        moved = moved_level(self.request.tenant, choice, self.view, self.at_us)
        if moved is not None:
            yield from ask(moved)
        choice = fallback.within(self.request.link, choice, self.view.policy)
        if isinstance(choice, Refusal):
            refused = refusals.not_served(self.id, self.request.tenant, choice, self.view, self.at_us)
            return refused if self.request.link.tried else (yield from self._refuse(refused))
        self.choice = choice
        self.record = records.decided(self.record, choice, self.reasons)
        reply, self.tries = yield from repeats.reserve(self._reservation, self.tries)
        if isinstance(reply, books.Refused):
            told, zone = (yield from repeats.named(self.request, reply)), self.view.timezone
            own = bool(self.request.offers)
            refused = refusals.from_ledger(self.id, self.request.tenant, told, self.at_us, zone, own=own)
            return (yield from self._refuse(refused))
        assert isinstance(reply, books.Held)
        self.held = reply
        return (yield from self._repeated(reply.hold_id)) if reply.replayed else None

    def _repeated(self, first_id: str) -> Generator[Any, Any, Refused]:
        """Refuse a key that is used; who sends for itself may get its hold again, and is not refused then."""
        refused = refusals.duplicate(self.id, first_id)
        again = yield from repeats.open_again(self.request, first_id)
        return refused if again is not None else (yield from self._refuse(refused))

    def choose(self, unhealthy: Mapping[str, int]) -> Choice | Refusal:
        """
        Route the call; one that brings offers of its own keeps them.
        """
        view = self.view
        if self.profile is None:
            return requests.own_choice(self.request.offers, view.level)
        known = views.known(view, self.profile, self.memory)
        inputs = Inputs(self.profile, views.headroom(view), view.level, unhealthy, self.at_us, known)
        self.record = {**self.record, "inputs": to_json(inputs), "prices": digest(self.tools.prices)}
        return replay(inputs, view.policy, self.tools.prices)

    def _reservation(self, number: int) -> books.Reserve:
        ttl_s = self.request.hold_ttl_s or self.view.policy.limits.hold_ttl_s
        return books.Reserve(
            tenant=self.request.tenant,
            key=repeats.hold_key(self.request, self.id, number),
            now_us=self.at_us,
            hold_id=self.id,
            offers=records.held_offers(self.record, self.choice.offers),
            ttl_us=ttl_s * 1_000_000,
            scopes=requests.scopes(self.request),
            owner=self.tools.owner,
            request_hash=repeats.stands_for(self.request),
            enforce=self.view.enforced,
        )

    def _claim(self) -> Generator[Any, Any, bool]:
        """
        Claim the probe where the model needs one; tell whether somebody else was faster.

        A caller that sends for itself cannot probe: nobody would tell how the model did. Where the policy
        only observes, the call goes out either way.
        """
        state = self.assessment.probes.get(self._model)
        rule = self.view.rules.provider
        if state is None or rule is None or self.profile is None:
            return False
        if self.request.surface == repeats.HOLDS:
            return self.view.enforced
        lost = yield from self.probe.claim(state, rule, self.at_us)
        return lost and self.view.enforced

    def _clear(self) -> Generator[Any, Any, Sending | Refused]:
        """Read the kill switches once more, now that the money is held; then say what is to be sent."""
        cost_nanos = self.held.cost_nanos + self.asked_nanos
        refused = refusals.over_share(self.id, cost_nanos, self.request.link.most_nanos)
        if refused is None:
            halted = yield from ask(CheckSwitches(self.request.tenant))
            if halted is None:
                return self.sending()
            refused = refusals.from_circuit(self.id, halted)
        yield from self._withdraw(refused.code)
        return refused

    def _or_give_back(self, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """
        Take steps between hold and send; where they fail nothing was sent, so the hold is given back.

        So it is where the process is told to stop there; steps that are dropped cannot ask for anything.
        """
        try:
            return (yield from steps)
        except GeneratorExit:
            raise
        except BaseException as error:
            yield from self._withdraw(stopped_by(error))
            raise

    def _withdraw(self, code: str, *, recorded: bool = True) -> Generator[Any, Any, None]:
        """Give back a hold that nothing was sent for, and the probe that came with it."""
        done = closing.withdrawn(self._held(), code, self.tools.now_us())
        assert done.op is not None
        yield from ask(CloseHold(done.op, done.row if recorded else None))
        yield from self.probe.finish(Health.NEUTRAL)

    def _start_over(self, undecided: records.Plan) -> Generator[Any, Any, None]:
        """
        Give back a hold whose model somebody else probes; the call goes on under another id.

        A question that names the id before as the call that it was asked for, stays linked with it.
        """
        yield from self._withdraw("probe_lost", recorded=False)
        link = self.request.link
        if self.asked and link.parent is None:
            self.request = replace(self.request, link=replace(link, parent=self.id))
        self.id = self.tools.new_id(self.at_us)
        self.record = {**undecided, "id": self.id, "parent": self.request.link.parent}

    # sending and closing

    @property
    def _model(self) -> str:
        return self.choice.offers[self.held.offer_index].model

    @property
    def _upstream(self) -> str | None:
        return None if self.profile is None else self.profile.upstream

    def sending(self) -> Sending:
        """
        Say what is to be sent, and where.
        """
        offer, link = self.choice.offers[self.held.offer_index], self.request.link
        reasons = (*self.reasons, *self.choice.reasons, *offer.reasons)
        told = answers.before(self.id, self.choice, offer, self.held, reasons)
        return Sending(
            decision_id=self.id,
            model=offer.model,
            body=self.request.body if self.request.offers else self._translated(offer),
            upstream=self.tools.upstream(self.view.policy, self._upstream),
            headers={**told, **answers.attempts(link.tried)},
            offer=offer,
            offer_index=self.held.offer_index,
            reasons=reasons,
            held_nanos=self.held.amount_nanos,
            expires_us=self.held.expires_us,
            link=replace(link, tries=self.tries),
        )

    def _translated(self, offer: Offer) -> Mapping[str, object]:
        before = frozenset(self.record["served_before"])
        return requests.served_body(self.request.body, offer.model, offer.effort, offer.max_tokens, before)

    def _held(self) -> closing.Held:
        record = self.record
        if not self.view.enforced:
            record = records.observed(record, self.held, self.view.timezone)
        plan = {**record, "offer": self.held.offer_index}
        return closing.Held(self.request.tenant, self.id, self.held.cost_nanos, plan)

    def close(self, outcome: Outcome) -> Steps:
        """
        Write what came of the call: money, record and the model's health in one transaction.
        """
        now_us = self.tools.now_us()
        done = closing.close(self._held(), outcome, self.tools.prices, now_us)
        health = requests.health(outcome)
        breaker = self.view.snapshot.breakers.get(model_scope(self._model))
        generation = 0 if breaker is None else breaker.version
        delta = call_delta(self._model, health, now_us, self.tools.owner, generation)
        booked: books.Result | None = None
        if done.op is None:
            yield from ask(Note(done.row, delta))
        else:
            booked = yield from ask(CloseHold(done.op, done.row, delta))
        yield from self.probe.finish(health)
        if done.output_tokens is not None:
            yield from ask(Remember(self.request.tenant, requests.kind(self.request), done.output_tokens))
        return Done(self.id, done.outcome, done.cost_nanos, answers.after(done, booked))

    def _refuse(self, refused: Refused) -> Generator[Any, Any, Refused]:
        now_us = self.tools.now_us()
        record = records.refused(self.record, refused)
        yield from ask(Note(records.row(record, outcome="refused", code=refused.code, finished_us=now_us)))
        return refused
