"""A lock for each folder whose children are being changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass(slots=True)
class _FolderLock:
    """users: who holds it or waits for it."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    users: int = 0


class FolderLocks:
    """Locks by inode, made when first asked for and dropped when the last holder or waiter leaves."""

    def __init__(self) -> None:
        self._locks: dict[int, _FolderLock] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @asynccontextmanager
    async def hold(self, *folders: int) -> AsyncIterator[None]:
        """Hold the locks of all these folders, taken in the order of their inodes (so that none deadlock).

        What is free is taken at once, without giving other tasks a turn: each costs a program's call a step.
        """
        held: list[int] = []
        try:
            for folder in sorted(set(folders)):
                await self._take(folder)
                held.append(folder)
            yield
        finally:
            for folder in held:
                self._locks[folder].lock.release()
                self._leave(folder)

    async def _take(self, folder: int) -> None:
        wanted = self._locks.setdefault(folder, _FolderLock())
        wanted.users += 1
        try:
            wanted.lock.acquire_nowait()
        except trio.WouldBlock:
            try:
                await wanted.lock.acquire()
            except BaseException:
                self._leave(folder)
                raise

    def _leave(self, folder: int) -> None:
        left = self._locks[folder]
        left.users -= 1
        if not left.users:
            del self._locks[folder]
