"""
GET /healthz and /readyz: whether the process lives, and whether it can serve.
"""

import asyncio

from gateway.errors import ApiError
from gateway.exchange import Exchange, answer_json
from gateway.house import House
from outlay import schema
from outlay.clock import now_us
from outlay.errors import ClockAhead, OutlayError, SchemaMismatch, translated
from outlay.tables import EVERYBODY


async def alive(_house: House, exchange: Exchange) -> None:
    """
    Answer as long as the process does.
    """
    await answer_json(exchange, {"status": "ok"})


async def ready(house: House, exchange: Exchange) -> None:
    """
    Answer 200 while the database is reachable, has the right schema, holds a policy that loads, and agrees
    with the clock of this machine.
    """
    try:
        await asyncio.to_thread(_check, house)
    except OutlayError as error:
        code = error.code if isinstance(error, ClockAhead) else "outlay_not_ready"
        details = {"error_code": code}
        raise ApiError(
            503, "api_error", f"not ready: {error}", details, retry=True, retry_after_s=1
        ) from error
    await answer_json(exchange, {"status": "ready"})


def _check(house: House) -> None:
    found, wanted = schema.current(house.app.engine), schema.head()
    if found != wanted:
        raise SchemaMismatch(found, wanted, schema.UPGRADE)
    with translated():
        house.app.ledger.check_clock(now_us())
    with house.app.reading() as connection:
        house.app.policies.applied(connection, EVERYBODY)
