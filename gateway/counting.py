"""
POST /v1/messages/count_tokens: passed to the provider, free of charge and not metered.
"""

from functools import partial

from gateway.errors import refusal, unanswered, unreachable
from gateway.exchange import Exchange, answer, passed_headers
from gateway.house import House
from gateway.messages import still_on, take_in, upstream_headers, upstream_url
from outlay import counting
from outlay.calls import Refused
from outlay.upstream import Lost, NotReached, TooLarge
from outlay.wire import to_json

ANSWER_BYTES_MAX = 1024 * 1024


async def count(house: House, exchange: Exchange) -> None:
    """
    Pass one count on, and its answer back.
    """
    request = await take_in(house, exchange)
    placed = await house.calls.carry_out(counting.place(request, house.calls.engine.tools))
    if isinstance(placed, Refused):
        raise refusal(placed)
    url = upstream_url(placed.upstream, exchange, "/v1/messages/count_tokens")
    headers = upstream_headers(placed.upstream, exchange.headers)
    before = partial(still_on, house, request.tenant)
    try:
        found = await house.upstream.post(url, to_json(placed.body), headers, before=before)
        raw = await found.read(ANSWER_BYTES_MAX)
    except NotReached as error:
        raise unreachable(type(error).__name__, "") from error
    except (Lost, TooLarge) as error:
        trouble = unanswered(type(error).__name__, "")
        trouble.retry = True  # a count is never billed
        raise trouble from error
    await answer(exchange, found.status, raw, passed_headers(found.headers))
