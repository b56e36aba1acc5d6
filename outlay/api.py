"""
Outlay in process: open the books, hold money for calls, settle them, keep tenants. Blocking.

It decides nothing: orders go to `outlay.admin`, calls to `outlay.holds` and `outlay.flow`. Money is decimal
text in USD, in and out. Who can open the books may do everything that they allow, so hints that loosen
(priority, floor, pin) are taken from code in process without a right on a key.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, Unpack

from ledger import reads
from outlay import fields, holds, requests
from outlay.admin import policies
from outlay.calls import TRUSTED, CallRequest, Refused
from outlay.client import Calls
from outlay.clock import now_us
from outlay.effects import Tools
from outlay.errors import BadInput, CallRefused, translated
from outlay.flow import preview
from outlay.hint_words import HintWords, hints_of
from outlay.leases import Leases
from outlay.open_holds import Decision, HeldMoney, decision_of
from outlay.orders import ACTOR, Answer, Orders
from outlay.records import held_offers
from outlay.settings import Settings, normal_url
from outlay.wiring import App, open_app
from router.types import Choice

if TYPE_CHECKING:
    from outlay.strategies.cascade import Cascade
    from outlay.strategies.runner import Runner
    from outlay.strategies.steps import RunResult
    from outlay.strategies.workflow import Workflow, WorkflowResult

T = TypeVar("T")


def open(  # noqa: A001 - read as `outlay.open`
    url: str | None = None, *, policy: str | os.PathLike[str] | None = None, actor: str = ACTOR
) -> "Outlay":
    """
    Open the books; a new SQLite file is made ready by itself.

    Args:
        url: SQLAlchemy address, `sqlite:///books.db` or `postgresql://...`; None takes the environment's
            `OUTLAY_DATABASE_URL`, else SQLite in the user's data folder.
        policy: TOML text, or the path of a file; applied for everybody unless it is what is in force.
        actor: Recorded with every change made through this object.
    Raises:
        BadInput, PolicyInvalid: The address, the file or its text cannot be used.
        SchemaMismatch, BooksUnavailable: The database is not ready, or out of reach.
    """
    return Outlay(opened(url, policy, actor), actor=actor)


def opened(url: str | None, policy: str | os.PathLike[str] | None, actor: str) -> App:
    """
    Open the books as `open` documents it.
    """
    actor = fields.word(actor, "actor")
    text = None if policy is None else _policy_text(policy)
    with translated():
        settings = Settings.from_environment()
    if url is not None:
        settings = replace(settings, database_url=normal_url(fields.word(url, "url", most=2_000)))
    app = open_app(settings if text is None else replace(settings, policy_file=None))
    try:
        if text is not None and policies.show_policy(app)["text"] != text:
            policies.apply_policy(app, text, actor=actor, note="outlay.open")
        with translated():
            app.ledger.sweep(now_us())  # what an earlier process left held
    except BaseException:
        app.close()
        raise
    return app


def _policy_text(policy: str | os.PathLike[str]) -> str:
    """A text with a line break or an equals sign is TOML; any other is the path of a file."""
    if isinstance(policy, str) and ("\n" in policy or "=" in policy):
        return policy
    try:
        return Path(policy).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, TypeError, ValueError) as error:
        fix = "Give TOML text, or the path of a TOML file."
        raise BadInput("policy", str(policy), f"cannot be read ({error})", fix) from error


class Outlay(Orders):
    """
    The books of a process, blocking; safe to use from several threads, not across a fork.
    """

    def __init__(self, app: App, *, actor: str = ACTOR) -> None:
        """
        Take over books that are open; `close` closes them.
        """
        super().__init__(app, actor)
        self.calls = Calls(app)
        self._closed = False

    def __enter__(self) -> "Outlay":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """
        Write what waits and let go of the database; a second call does nothing.
        """
        if not self._closed:
            self._closed = True
            self.calls.close()
            self.app.close()

    def decide(self, tenant: str, request: Mapping[str, object], **hints: Unpack[HintWords]) -> Decision:
        """
        Tell which model a call would get now, and whether there is money for it; nothing is held.

        Args:
            request: Body of a Messages API call; its model may be "outlay/auto" or "outlay/TIER".
        Raises:
            CallRefused: It would not be routed at all: halted, no model fits, no cost bound, ...
        """
        order = to_decide(tenant, request, hints)
        choice = passed(self.calls.carry_out(preview(order, self.calls.engine.tools)))
        return decision(self.app, order, choice, self.calls.engine.tools)

    def hold(
        self,
        tenant: str,
        request: Mapping[str, object] | None = None,
        *,
        offers: Sequence[Mapping[str, object]] | None = None,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "Hold":
        """
        Hold money for a call that you make yourself.

        Args:
            request: Body of a Messages API call, to be routed; or else
            offers: Ways to serve it, best first, each {"name", "cost_usd" (at most), "expected_usd"}.
            ttl_s: How long at most, unless you renew it; else the policy's `limits.hold_ttl_s`, and in a
                `with` block as long as that runs.
            idempotency_key: The same key never holds twice.
        Raises:
            CallRefused: There is no money, no model, or spending is halted.
            BadInput: A field cannot be used.
        """
        order = to_hold(tenant, request, offers, ttl_s, idempotency_key, hints)
        answer = self.calls.carry_out(holds.authorize(order, self.calls.engine.tools))
        return Hold(self, tenant, passed(answer), self.calls.engine.leases if ttl_s is None else None)

    def run(
        self,
        tenant: str,
        request: Mapping[str, object],
        *,
        strategy: "Cascade",
        send: object,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "RunResult":
        """
        Have a question answered by a strategy: by as many calls as it takes, each with a hold of its own.

        Args:
            send: An Anthropic client without Outlay's middleware, or a function from a body to a message.
            idempotency_key: A run that comes again under its key never pays twice: it is refused, unless
                nothing of the one before was billed.
        Returns:
            The best answer, whether it passed, what it took and what that cost.
        Raises:
            BadInput: The strategy names a tier that the policy does not have.
            CallRefused: The first call was refused (`outlay_duplicate_request` where the key is used); a
                refusal after an answer ends the run with that answer.
            Exception: What the client raised first, where there is no answer.
        """
        from outlay.strategies.begin import steps_of, to_run
        from outlay.strategies.names import check_plan

        order = to_run(tenant, request, hints, strategy, idempotency_key)
        runner, steps = self._runner(send), steps_of(strategy, order)
        check_plan(self.app, order.tenant, strategy)
        return runner.run(steps)  # type: ignore[no-any-return]

    def run_workflow(
        self,
        tenant: str,
        workflow: "Workflow",
        *,
        send: object,
        idempotency_key: str | None = None,
        **hints: Unpack[HintWords],
    ) -> "WorkflowResult":
        """
        Carry out a workflow, step after step, within its own budget.

        Args:
            idempotency_key: As in `run`. A repeated workflow is refused at its first call; tools before that
                run again.
        Returns:
            What each step came to, also where the workflow could not be completed.
        """
        from outlay.strategies.begin import to_run
        from outlay.strategies.names import check_plan
        from outlay.strategies.workflow import workflow as steps

        order = to_run(tenant, {}, hints, workflow, idempotency_key)
        check_plan(self.app, order.tenant, workflow)
        return self._runner(send).run(steps(workflow, order))  # type: ignore[no-any-return]

    def _runner(self, send: object) -> "Runner":
        from outlay.strategies.runner import Runner

        return Runner(self.app, self.calls, send, self.actor)

    def settle(
        self,
        tenant: str,
        hold_id: str,
        *,
        cost_usd: str | None = None,
        usage: object = None,
        model: str | None = None,
    ) -> Answer:
        """
        Book what a held call has cost; also from another process, and after it expired.

        Args:
            cost_usd: What the provider bills; or else
            usage: Its usage object (a mapping, or the SDK's), priced at `model`.
        Returns:
            hold, cost_usd, charge_usd, late, replayed.
        """
        steps = holds.settle(tenant, hold_id, to_settle(cost_usd, usage, model), self.calls.engine.tools)
        return passed(self.calls.carry_out(steps))

    def release(self, tenant: str, hold_id: str, reason: str = "") -> Answer:
        """
        Give a hold back whole.
        """
        steps = holds.release(tenant, hold_id, {"reason": reason}, self.calls.engine.tools)
        return passed(self.calls.carry_out(steps))

    def renew(self, tenant: str, hold_id: str, ttl_s: int) -> Answer:
        """
        Keep a hold open until `ttl_s` seconds from now.
        """
        steps = holds.renew(tenant, hold_id, {"ttl_s": ttl_s}, self.calls.engine.tools)
        return passed(self.calls.carry_out(steps))


class Hold(HeldMoney):
    """
    A hold to be closed by `settle` or `release`.

    As a context manager it gives nothing back by itself, also not when its body raises: the provider may have
    been called by then. One that is left open is logged as a warning. It is renewed while the body runs, for
    a day at most, unless a `ttl_s` was named for it.
    """

    def __init__(self, books: Outlay, tenant: str, answer: Answer, leases: Leases | None = None) -> None:
        super().__init__(tenant, answer, leases)
        self._books = books

    def settle(
        self, *, cost_usd: str | None = None, usage: object = None, model: str | None = None
    ) -> Answer:
        """
        Book what the call has cost, see `Outlay.settle`; `model` is this hold's unless told.
        """
        named = self.model if model is None and usage is not None else model
        answer = self._books.settle(self.tenant, self.id, cost_usd=cost_usd, usage=usage, model=named)
        self._ended()
        return answer

    def release(self, reason: str = "") -> Answer:
        """
        Give it back, as the provider was not called or bills nothing.
        """
        answer = self._books.release(self.tenant, self.id, reason)
        self._ended()
        return answer

    def renew(self, ttl_s: int) -> Answer:
        """
        Keep it open until `ttl_s` seconds from now.
        """
        answer = self._books.renew(self.tenant, self.id, ttl_s)
        self.expires_at = answer["expires_at"]
        return answer

    def __enter__(self) -> "Hold":
        self._entered()
        return self

    def __exit__(self, *_: object) -> None:
        self._left()


# the same for both


def passed(answer: T | Refused) -> T:
    """
    Return an answer, or raise the refusal.
    """
    if isinstance(answer, Refused):
        raise CallRefused(answer)
    return answer


def to_decide(tenant: str, request: Mapping[str, object], hints: Mapping[str, object]) -> CallRequest:
    """
    Read what is to be decided on.
    """
    name = fields.tenant_name(tenant)
    if not isinstance(request, Mapping):
        raise BadInput("request", request, "is no object", "Give the body of a Messages API call.")
    return CallRequest(name, request, rights=TRUSTED, hints=hints_of(hints), surface="python")


def to_hold(
    tenant: str,
    request: Mapping[str, object] | None,
    offers: Sequence[Mapping[str, object]] | None,
    ttl_s: int | None,
    idempotency_key: str | None,
    hints: Mapping[str, object],
) -> CallRequest:
    """
    Read what is to be held for.
    """
    given = {"request": request, "offers": offers, "ttl_s": ttl_s}
    body = {name: value for name, value in given.items() if value is not None}
    order = holds.order(fields.tenant_name(tenant), body, rights=TRUSTED, idempotency_key=idempotency_key)
    return replace(order, hints=hints_of(hints))


def to_settle(cost_usd: str | None, usage: object, model: str | None) -> dict[str, object]:
    """
    Put what a call has cost into the body of a settlement.
    """
    dump = getattr(usage, "model_dump", None)
    counts = dump(mode="json", exclude_none=True) if callable(dump) else usage
    given = {"cost_usd": cost_usd, "usage": counts, "model": model}
    return {name: value for name, value in given.items() if value is not None}


def decision(app: App, order: CallRequest, choice: Choice, tools: Tools) -> Decision:
    """
    Say which of the offers the money bears at this instant; a hold decides that again inside its lock.
    """
    offers, scopes = held_offers({}, choice.offers), requests.scopes(order)
    with translated(), app.reading() as connection:
        fitting = reads.would_take(connection, order.tenant, scopes, offers, tools.now_us())
    return decision_of(choice, fitting)
