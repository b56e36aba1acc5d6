"""
What one gateway process works with: opened when the server starts, closed when it stops.
"""

import asyncio
import contextlib

from gateway.background import SWEEP_S, OpenCalls, care
from gateway.collector import spare_collector
from outlay.aio import AsyncCalls
from outlay.lifeline import follow_parent
from outlay.settings import Settings
from outlay.upstream import UpstreamClient
from outlay.wiring import App, open_app

PATIENCE_S = 20.0
"""How long a stopping gateway waits for open calls, streams without a client included."""


class House:
    """
    The books, the flow, the provider and the open calls of one process.

    Attributes:
        app, calls, upstream: Only between `open` and `close`.
    """

    app: App
    calls: AsyncCalls
    upstream: UpstreamClient

    def __init__(self, app: App | None = None) -> None:
        self._given = app
        self._care: asyncio.Task[None] | None = None
        self.open_calls = OpenCalls()
        self.is_open = False

    async def open(self) -> None:
        """
        Open everything. An app that was given stays its giver's to close.

        Raises:
            OutlayError: the books cannot be opened.
        """
        if self._given is None:
            self.app = await asyncio.to_thread(lambda: open_app(Settings.from_environment()))
        else:
            self.app = self._given
        self.calls = AsyncCalls(self.app)
        self.upstream = UpstreamClient()
        self._care = asyncio.create_task(care(self.app, self.calls.engine, SWEEP_S))
        if self._given is None:  # the process is the gateway's own
            spare_collector()
            follow_parent()
        self.is_open = True

    async def close(self) -> None:
        """
        Finish the open calls, up to a bound, then let go of everything.
        """
        self.is_open = False
        await self.open_calls.close(PATIENCE_S)
        if self._care is not None:
            self._care.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._care
        await self.upstream.close()
        await self.calls.close()
        if self._given is None:
            await asyncio.to_thread(self.app.close)
