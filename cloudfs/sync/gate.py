"""Keeping requests below a folder apart from the move of that folder: a path is right only between moves.

Folders go by inode. Whoever sends a request passes the folders that its path leads through; a move closes
its folder, waits until all who passed are through, and holds up those who come meanwhile (DESIGN 8.9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio


class Gate:
    """The folders of one cloud.

    No deadlock: who passes waits for nothing while it holds anything, and who closes a folder waits only
    for those who are through without it.
    """

    def __init__(self) -> None:
        self._passing: Counter[int] = Counter()
        self._closed: set[int] = set()
        self._changed = trio.Event()

    @asynccontextmanager
    async def passing(self, folders: Iterable[int]) -> AsyncIterator[None]:
        """None of these folders moves while this lasts."""
        way = frozenset(folders)
        while not way.isdisjoint(self._closed):
            await self._changed.wait()
        self._passing.update(way)
        try:
            yield
        finally:
            for folder in way:
                self._passing[folder] -= 1
                if not self._passing[folder]:
                    del self._passing[folder]
            self._wake()

    @asynccontextmanager
    async def closed(self, folder: int) -> AsyncIterator[None]:
        """Nobody passes this folder while this lasts, and nobody else has closed it."""
        while folder in self._closed:
            await self._changed.wait()
        self._closed.add(folder)
        try:
            while self._passing[folder]:
                await self._changed.wait()
            yield
        finally:
            self._closed.discard(folder)
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
