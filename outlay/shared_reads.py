"""
Reads that many calls want at once are made once: what group commit is to writes.

A reading is shared only by those who asked before it began, so nobody is ever told something older than the
question. While one is under way, the next gathers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any


class SharedReads:
    """
    One reading at a time for each key, within one event loop.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Future[Any]] = {}
        self._gathering: dict[Hashable, asyncio.Future[Any]] = {}

    async def read(self, key: Hashable, reader: Callable[[], Awaitable[Any]]) -> Any:
        """
        Return what a reading that begins from now on finds.

        Args:
            reader: Makes the reading; of those who share one, any one's is used.
        """
        gathering = self._gathering.get(key)
        if gathering is None:
            gathering = asyncio.ensure_future(self._after(self._running.get(key), key, reader))
            self._gathering[key] = gathering
        return await asyncio.shield(gathering)

    async def _after(
        self, before: asyncio.Future[Any] | None, key: Hashable, reader: Callable[[], Awaitable[Any]]
    ) -> Any:
        """Wait for the reading under way, then make the one that has gathered meanwhile."""
        if before is not None:
            await asyncio.wait([before])
        own = self._running[key] = self._gathering.pop(key)
        try:
            return await reader()
        finally:
            if self._running.get(key) is own:
                del self._running[key]
