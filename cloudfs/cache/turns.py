"""One change of a content at a time, in the order of asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import trio

from cloudfs.cache.content import Content


class Turns:
    """Who waits within a change of a content, for a commit or a thread, holds its turn meanwhile.

    What neither waits nor finds anybody waiting (`content.changers` is 0) needs no turn: nothing can come
    in between.
    """

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[Content, trio.Lock] = WeakKeyDictionary()

    @asynccontextmanager
    async def take(self, content: Content) -> AsyncIterator[None]:
        """Have the turn for the length of the block. Cancelled before that, or not at all by this.

        Where nobody has it other tasks get no chance in between: that would cost each write a step.
        """
        lock = self._locks.setdefault(content, trio.Lock())
        content.changers += 1
        try:
            try:
                lock.acquire_nowait()
            except trio.WouldBlock:
                await lock.acquire()
            try:
                yield
            finally:
                lock.release()
        finally:
            content.changers -= 1

    async def wait(self, content: Content) -> None:
        """Return once nobody is within a change, in that very step."""
        while content.changers:
            async with self._locks.setdefault(content, trio.Lock()):
                pass
