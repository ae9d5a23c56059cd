"""A lock for each folder whose children are being changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import trio


class FolderLocks:
    """Locks by inode, made when first asked for and dropped when the last holder or waiter leaves."""

    def __init__(self) -> None:
        self._locks: dict[int, tuple[trio.Lock, set[object]]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, *folders: int) -> AsyncIterator[None]:
        """Hold the locks of all these folders, taken in the order of their inodes (so that none deadlock)."""
        async with AsyncExitStack() as stack:
            for folder in sorted(set(folders)):
                await stack.enter_async_context(self._one(folder))
            yield

    @asynccontextmanager
    async def _one(self, folder: int) -> AsyncIterator[None]:
        lock, users = self._locks.setdefault(folder, (trio.Lock(), set()))
        user = object()
        users.add(user)
        try:
            async with lock:
                yield
        finally:
            users.discard(user)
            if not users:
                del self._locks[folder]
