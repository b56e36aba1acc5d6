"""
Orders of the in-process API: tenants, money, switches, as `outlay.admin` carries them out. Blocking.
"""

from typing import Any, Final

from outlay.admin import breakers, decisions, money, quality, statements, tenants
from outlay.wiring import App

Answer = dict[str, Any]
ACTOR: Final = "python"


class Orders:
    """
    What an operator may do with books that are open; every change is recorded with the actor.
    """

    def __init__(self, app: App, actor: str = ACTOR) -> None:
        self._app = app
        self.actor = actor

    @property
    def app(self) -> App:
        """
        The open books.

        Raises:
            BooksUnavailable: They were closed.
        """
        self._app.check_open()
        return self._app

    def create_tenant(
        self,
        tenant: str,
        *,
        credit: str = "0",
        daily_budget: str | None = None,
        timezone: str | None = None,
        multiplier: str = "1",
    ) -> Answer:
        """
        Create a tenant, see `outlay.admin.tenants.create_tenant`.
        """
        return tenants.create_tenant(
            self.app, tenant, credit=credit, daily_budget=daily_budget, timezone=timezone,
            multiplier=multiplier, actor=self.actor,
        )  # fmt: skip

    def top_up(
        self,
        tenant: str,
        amount: str,
        *,
        kind: str = "paid",
        expires: str | None = None,
        idempotency_key: str | None = None,
        reason: str = "",
    ) -> Answer:
        """
        Add credit, see `outlay.admin.money.top_up`.
        """
        return money.top_up(
            self.app, tenant, amount, kind=kind, expires=expires, idempotency_key=idempotency_key,
            reason=reason, actor=self.actor,
        )  # fmt: skip

    def set_budget(
        self,
        tenant: str,
        limit: str,
        *,
        window: str = "day",
        scope: str = "tenant",
        until: str | None = None,
        counts: str | None = None,
        reason: str = "",
        idempotency_key: str | None = None,
    ) -> Answer:
        """
        Set the limit of a budget, see `outlay.admin.money.set_budget`.
        """
        return money.set_budget(
            self.app, tenant, limit, window=window, scope=scope, until=until, counts=counts,
            reason=reason, idempotency_key=idempotency_key, actor=self.actor,
        )  # fmt: skip

    def balance(self, tenant: str) -> Answer:
        """
        Return credit, what is held of it, debt and budgets.
        """
        return money.balance(self.app, tenant)

    def statement(
        self, tenant: str, *, since: str | None = None, until: str | None = None, limit: int | None = None
    ) -> Answer:
        """
        Return the transfers of a period, oldest first.
        """
        return statements.statement(self.app, tenant, since=since, until=until, limit=limit)

    def explain(self, decision_id: str) -> Answer:
        """
        Return a decision as stored, with its hold and settlement.
        """
        return decisions.explain(self.app, decision_id)

    def score(
        self,
        decision_id: str,
        value: float | bool | str,
        *,
        source: str = quality.SOURCE,
        weight: float = 1.0,
        comment: str = "",
        model: str | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """
        Say how good the answer of a decision was, see `outlay.admin.quality.score`.

        Args:
            value: 0 to 1, or True for pass and False for fail.
        """
        return quality.score(
            self.app, decision_id, value, source=source, weight=weight, comment=comment,
            model=model, idempotency_key=idempotency_key, actor=self.actor,
        )  # fmt: skip

    def calibration(self, tenant: str | None = None) -> Answer:
        """
        Return what scores prove of each task class, see `outlay.admin.quality.calibration`.
        """
        return quality.calibration(self.app, tenant)

    def halt(self, *, reason: str, tenant: str | None = None) -> Answer:
        """
        Stop spending, of everybody or of one tenant; once this returns no process starts a call.
        """
        return breakers.halt(self.app, tenant=tenant, reason=reason, actor=self.actor)

    def resume(self, *, reason: str, tenant: str | None = None) -> Answer:
        """
        Let spending go on.
        """
        return breakers.resume(self.app, tenant=tenant, reason=reason, actor=self.actor)
