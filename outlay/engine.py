"""
Carries out what the flow asks for: reads, movements of breakers, and operations of the ledger.

One engine serves a process; the blocking and the async driver share it and differ only in how they wait.
"""

import logging
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

import circuit.tables
from circuit.health import CallDelta
from circuit.rules import ProviderRule, Rules, SpendRule
from circuit.switch import halted, switch_scopes
from circuit.types import GLOBAL, Halted, model_scope, tenant_scope
from ledger import LedgerError, OperationFailed, OutcomeUnknown, reads
from ledger.types import Attachment, Noted, Operation, Release, Reserve, Result, Settle
from ledger.types import Note as LedgerNote
from ledger.types import Refused as LedgerRefused
from outlay.calls import Refused, Upstream
from outlay.classifiers_sql import predicted
from outlay.clock import now_us
from outlay.demand_sql import Demand, Money, attachments
from outlay.effects import (
    CheckSwitches,
    CloseHold,
    Commit,
    Effect,
    FindHold,
    FindTry,
    Look,
    Move,
    Note,
    Predict,
    Recall,
    Remember,
    SetLevel,
    Tools,
    fail,
    feed,
)
from outlay.errors import translated
from outlay.evidence import EvidenceStore
from outlay.ids import new_id
from outlay.latencies_sql import Latencies
from outlay.later import Later
from outlay.leases import Leases
from outlay.levels_sql import read_standing, write_level
from outlay.prices_sql import keep_prices
from outlay.refusals import from_circuit
from outlay.storms import Counts, Storms
from outlay.tables import EVERYBODY, decision
from outlay.typical import Typical
from outlay.views import View
from outlay.wiring import App
from pricing.money import format_usd
from router.policy import Policy
from router.types import Known

CREDIT_FULL_DAYS: Final = 3
MEAN_SPEND_KEPT_S: Final = 60.0
SWITCH_FRESH_S: Final = 0.020
"""A reading of the kill switch is good for this long; whoever halts waits a little longer."""
RECHECKS_MAX: Final = 10
_log = logging.getLogger("outlay")

LedgerEffect = Commit | CloseHold | Note


class Engine:
    """
    What stands between the flow and the world.
    """

    def __init__(self, app: App, clock: Callable[[], int] = now_us) -> None:
        self._app = app
        with translated():
            keep_prices(app.engine, app.prices, clock())
        self._typical = Typical()
        self._storms = Storms()
        self._counts = Counts(self._storms, app.ledger)
        self._evidence = EvidenceStore(app.scores)
        self._latencies = Latencies()
        self._demand = Demand(app.engine.dialect.name)
        self._later = Later(app.ledger, app.settings.spool_folder, app.owner)
        self._later.start()
        self.leases = Leases(app.ledger, clock)
        self._full_credit: dict[str, tuple[float, int | None]] = {}
        self._running: dict[str, float] = {}
        self.tools = Tools(
            now_us=clock,
            new_id=new_id,
            prices=app.prices,
            owner=app.owner,
            upstream=self._upstream,
            usual=self._typical.tokens,
        )

    def close(self) -> None:
        """
        Write what still waits to be written.
        """
        self.write_counts()
        self.leases.close()
        self._later.close()

    def write_counts(self) -> None:
        """
        Write the refusals that were only counted; a gateway does it every few seconds.
        """
        self._counts.write(self.tools.now_us())

    def perform(self, effect: Effect[Any]) -> Any:
        """
        Carry out one effect and wait for it.

        Raises:
            OutlayError: The books are out of reach; a hold that may have been made is given back.
        """
        if isinstance(effect, LedgerEffect):
            op, attach = self.operation(effect)
            if _empty(op, attach):
                return None
            try:
                return self.reply(effect, self._app.ledger.do(op, attach))
            except LedgerError as error:
                return self.failed(effect, error)
            except BaseException:
                self._interrupted(effect)
                raise
        with translated():
            return self._read_or_move(effect)

    def step(self, steps: Generator[Any, Any, Any], effect: Effect[Any]) -> Any:
        """
        Carry out an effect and tell the flow, its reply or its failure; returns the next effect or `Ended`.
        """
        try:
            reply = self.perform(effect)
        except BaseException as error:  # noqa: BLE001 - an interrupt, too: what is held is given back
            return fail(steps, error)
        return feed(steps, reply)

    def _read_or_move(self, effect: Effect[Any]) -> Any:
        match effect:
            case Look():
                return self._look(effect)
            case Recall(tenant, session):
                with self._app.reading() as conn:
                    return self._app.sessions.memory(conn, tenant, session)
            case CheckSwitches(tenant):
                return self._halted(tenant)
            case Move(transitions):
                return self._app.circuit.apply(transitions)
            case SetLevel(tenant, level, at_us, pace):
                return write_level(self._app.engine, tenant, level, at_us, pace)
            case FindHold(hold_id):
                with self._app.reading() as conn:
                    return reads.hold(conn, hold_id)
            case FindTry(tenant, key):
                with self._app.reading() as conn:
                    return reads.hold_by_key(conn, tenant, key)
            case Predict(tenant, version, prompt, task_class):
                with self._app.reading() as conn:
                    model = self._app.classifiers.model(conn, tenant, version)
                return predicted(model, version, prompt, task_class)
            case Remember(tenant, kind, tokens):
                return self._typical.saw(tenant, kind, tokens)
            case _:
                raise AssertionError(f"no such effect: {effect!r}")

    # the ledger's part

    def operation(self, effect: LedgerEffect) -> tuple[Operation, Sequence[Attachment]]:
        """
        Give the ledger's operation of an effect, and the rows of its transaction.
        """
        match effect:
            case Commit(op, row):
                return op, (*_decision(row), *attachments(row))
            case CloseHold(op, row, health):
                return op, (*_decision(row), *attachments(row), *_health(health))
            case Note(row, health):
                key = f"note:{row['id']}"
                note = LedgerNote(str(row["tenant"]), key, self.tools.now_us())
                return note, (*self._record(row), *_health(health))

    def submit(self, effect: LedgerEffect) -> Future[Result]:
        """
        Queue the ledger's operation of an effect; `reply` and `failed` take its answer or error.
        """
        op, attach = self.operation(effect)
        if _empty(op, attach):
            done: Future[Result] = Future()
            done.set_result(Noted())
            return done
        return self._app.ledger.submit(op, attach)

    def reply(self, effect: LedgerEffect, result: Result) -> Result | None:
        """
        Turn the ledger's answer into the effect's reply.
        """
        if isinstance(effect, CloseHold) and isinstance(result, LedgerRefused):
            self._not_closed(effect, result)
            return None
        if isinstance(effect, CloseHold) and isinstance(effect.op, Settle):
            _watch_bound(effect.op, effect.row)
        return None if isinstance(effect, Note) else result

    def _not_closed(self, effect: CloseHold, refused: LedgerRefused) -> None:
        """Close the hold later where the queue was full; else its books say otherwise, and they stand."""
        if refused.busy:
            self._later.add(*self.operation(effect))
        else:
            _log.error("call %s could not be closed: %s", effect.op.hold_id, refused)

    def failed(self, effect: LedgerEffect, error: LedgerError) -> None:
        """
        Do what can be done about an operation that could not be carried out.

        Raises:
            OutlayError: The call cannot go on.
        """
        match effect:
            case CloseHold():
                _log.warning("a call is closed later: %s", error)
                self._later.add(*self.operation(effect))
            case Note():
                _log.warning("a decision record was not written: %s", error)
            case Commit(op, _):
                if isinstance(op, Reserve) and isinstance(error, OutcomeUnknown | OperationFailed):
                    self._later.add(_give_back(op, self.tools.now_us()))
                with translated():
                    raise error

    def _interrupted(self, effect: LedgerEffect) -> None:
        """Leave nothing open though the thread was told to stop: it may or may not have been written."""
        match effect:
            case CloseHold():
                self._later.add(*self.operation(effect))
            case Commit(Reserve() as op, _):
                self._later.add(_give_back(op, self.tools.now_us()))

    def _record(self, row: Any) -> list[Attachment]:
        """Keep a refusal as a record of its own, unless there is a storm of its like; those are counted."""
        tenant, code, at_us = str(row["tenant"]), str(row["code"]), row["at_us"]
        calm = row["outcome"] != "refused" or self._storms.is_calm(tenant, code, at_us)
        if not calm:
            self._storms.count(tenant, code, at_us)
        self._counts.write_lately(at_us)
        return [Attachment(decision, row, ignore=True)] if calm else []

    # reading

    def _look(self, effect: Look) -> View:
        app, tenant = self._app, effect.tenant
        app.ledger.check_clock(effect.now_us)  # before levels and breakers are moved by it
        with app.reading() as conn:
            applied = app.policies.applied(conn, tenant)
            shared = applied if applied.tenant == EVERYBODY else app.policies.applied(conn, EVERYBODY)
            rules = rules_of(applied.policy, shared.policy)
            account, gauges = reads.standing(conn, tenant, effect.scopes, effect.now_us)
            standing = read_standing(conn, tenant)
            money = Money(account, gauges, standing.pace)
            return View(
                policy=applied.policy,
                policy_tenant=applied.tenant,
                policy_version=applied.version,
                rules=rules,
                snapshot=app.circuit.read(conn, _scopes(applied.policy, tenant), effect.now_us, rules),
                known=account is not None,
                frozen=account is not None and account.frozen,
                gauges=gauges,
                multiplier_ppm=1_000_000 if account is None else account.multiplier_ppm,
                credit_full_nanos=self._credit_full(conn, applied.policy, tenant, effect.now_us),
                level=standing.level,
                measured=Known(
                    latencies_ms=self._latencies.of(conn, applied.policy, effect.now_us),
                    level_since_us=standing.since_us,
                    pace=self._demand.of(conn, money, applied.policy, app.prices, effect.now_us),
                ),
                evidence=self._evidence.of(conn, applied.policy, tenant, effect.now_us),
                timezone="UTC" if account is None else account.timezone,
                debt_nanos=0 if account is None else account.debt_nanos,
            )

    def _credit_full(self, conn: Any, policy: Policy, tenant: str, at_us: int) -> int | None:
        """Credits that count as full: the policy's, else some days of the mean spend, looked up rarely."""
        if policy.limits.credit_full_nanos is not None:
            return policy.limits.credit_full_nanos
        until, full = self._full_credit.get(tenant, (0.0, None))
        if time.monotonic() < until:
            return full
        mean = reads.mean_daily_spend_nanos(conn, tenant, at_us)
        full = None if mean is None or mean == 0 else mean * CREDIT_FULL_DAYS
        self._full_credit[tenant] = (time.monotonic() + MEAN_SPEND_KEPT_S, full)
        return full

    def _halted(self, tenant: str) -> Halted | None:
        """Read the kill switches; again while the reading grew too old on its way here."""
        for _ in range(RECHECKS_MAX):
            began = time.monotonic()
            found = halted(self._app.circuit.switches(switch_scopes(tenant)), tenant)
            if found is not None or time.monotonic() - began <= SWITCH_FRESH_S:
                break
        if found is None:
            self._running[tenant] = began
        return found

    def was_running(self, tenant: str) -> bool:
        """
        Tell whether a reading of the kill switches that is still good found no halt of a tenant.
        """
        return time.monotonic() - self._running.get(tenant, -math.inf) <= SWITCH_FRESH_S

    def still_on(self, tenant: str, decision_id: str = "") -> Refused | None:
        """
        Look at the kill switches a last time, right before a request goes on the wire: it may have waited for
        a connection since the flow did. At once while that reading is good.

        Raises:
            OutlayError: They cannot be read.
        """
        if self.was_running(tenant):
            return None
        halted = self.perform(CheckSwitches(tenant))
        return None if halted is None else from_circuit(decision_id, halted)

    def _upstream(self, policy: Policy, name: str | None) -> Upstream:
        settings = self._app.settings
        if name is None:
            return Upstream("default", settings.upstream_url, settings.upstream_key)
        found = policy.upstreams[name]
        return Upstream(name, str(found.url).rstrip("/"), settings.upstream_keys.get(found.key_env))


def rules_of(policy: Policy, shared: Policy) -> Rules:
    """
    Put a policy's breakers in the circuit's words.

    Args:
        shared: The policy for everybody: the speed of all tenants together is no tenant's own matter.
    """
    spend, everybody, provider = policy.breaker.spend, shared.breaker.global_spend, policy.breaker.provider
    return Rules(
        tenant_spend=None if spend is None else SpendRule(spend.window_s, spend.max_nanos, spend.cooldown_s),
        global_spend=None
        if everybody is None
        else SpendRule(everybody.window_s, everybody.max_nanos, everybody.cooldown_s),
        provider=None
        if provider is None
        else ProviderRule(
            window_s=provider.window_s,
            min_calls=provider.min_calls,
            failure_ratio=provider.failure_ratio,
            cooldown_s=provider.cooldown_s,
        ),
    )


def _scopes(policy: Policy, tenant: str) -> tuple[str, ...]:
    return (GLOBAL, tenant_scope(tenant), *(model_scope(model) for model in policy.model_ranks))


def _watch_bound(op: Settle, row: Mapping[str, object] | None) -> None:
    """Sound the alarm over a cost above its bound: it is booked, but somebody has to look at the bound."""
    bound_nanos = None if row is None else row["held_nanos"]
    if isinstance(bound_nanos, int) and op.cost_nanos > bound_nanos:
        told = format_usd(op.cost_nanos), format_usd(bound_nanos)
        _log.error("call %s cost %s USD, above its bound of %s USD", op.hold_id, *told)


def _decision(row: Mapping[str, object] | None) -> tuple[Attachment, ...]:
    return () if row is None else (Attachment(decision, row, ignore=True),)


def _health(delta: CallDelta | None) -> tuple[Attachment, ...]:
    if delta is None:
        return ()
    return (Attachment(circuit.tables.call_bucket, delta.row, add=("calls", "failures")),)


def _empty(op: Operation, attached: Sequence[Attachment]) -> bool:
    """
    Tell whether there is nothing to write: a refusal that was only counted.
    """
    return isinstance(op, LedgerNote) and not attached


def _give_back(op: Reserve, at_us: int) -> Release:
    """Nothing was sent for a hold of which nobody knows whether it was written."""
    return Release(op.tenant, f"release:{op.hold_id}", at_us, op.hold_id, "the books gave no answer")
