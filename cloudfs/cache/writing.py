"""Bytes into cache files: room is made first, then they are written, then they count as held."""

from __future__ import annotations

import errno
import os

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.eviction import Eviction
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.maps import Maps
from cloudfs.cache.space import Space
from cloudfs.model.errors import LocalIOError, LocalStorageFull
from cloudfs.model.ranges import RangeSet

_DROP_AT_LEAST = 4 * 1024 * 1024  # a file that does not fit gives up its oldest bytes in such steps


class Writing:
    """The only writer of cache files.

    Invariants: room is made by one task at a time; a range that is being dropped is not written to.
    """

    def __init__(self, files: ContentFiles, maps: Maps, space: Space, eviction: Eviction) -> None:
        self._files = files
        self._maps = maps
        self._space = space
        self._eviction = eviction
        self._making_room = trio.Lock()
        self._dropping: tuple[Content, RangeSet] | None = None

    async def admit(self, content: Content, count: int) -> None:
        """See Store.admit."""
        async with self._making_room:
            more = count - content.reserved
            await self._evict_for(more, 0)
            if self._space.room() < more:
                raise LocalStorageFull("the cache, or its disk, has no room for this file")
            content.reserved += more
            self._space.reserved += more

    async def write(self, content: Content, offset: int, data: bytes) -> None:
        """See Store.write_at."""
        stop = offset + len(data)
        if stop > content.size:
            raise ValueError(f"[{offset}, {stop}) is outside of {content!r}")
        if self._space.room(content.reserved) < len(data) or self._is_being_dropped(content, offset, stop):
            await self._make_room(content, len(data))
        try:
            self._put(content, offset, data)
        except LocalStorageFull:
            # The disk is fuller than it said. One more try, with as much as may go out of the way.
            self._space.look_again()
            await self._clear(content, len(data))
            self._put(content, offset, data)

    def _put(self, content: Content, offset: int, data: bytes) -> None:
        """Write and claim in one step. pwrite is faster here than in a thread (FACTS 9)."""
        try:
            if content.fd is None:
                content.file_id, content.fd = self._files.create()
            _write_all(content.fd, data, offset)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LocalStorageFull("the disk of the cache directory is full") from error
            raise LocalIOError(f"the cache file can't be written ({error.strerror})") from error
        gained = content.add(offset, offset + len(data))
        self._space.took(gained)
        spent = min(gained, content.reserved)
        content.reserved -= spent
        self._space.reserved -= spent
        if not content.detached:
            self._maps.note(content, gained)

    async def _make_room(self, content: Content, count: int) -> None:
        async with self._making_room:
            await self._evict_for(count, content.reserved)
            lacking = count - self._space.room(content.reserved)
            if lacking > 0 and not content.reserved:
                await self._drop_oldest(content, lacking)
            if self._space.room(content.reserved) < count:
                raise LocalStorageFull("the cache, or its disk, is full and nothing in it may go")

    async def _clear(self, content: Content, count: int) -> None:
        """The disk said ENOSPC: free at least `count` bytes, whatever the books say."""
        async with self._making_room:
            await self._eviction.free(count)
            if not content.reserved:
                await self._drop_oldest(content, count)

    async def _evict_for(self, count: int, own: int) -> None:
        lacking = count - self._space.room(own)
        if lacking > 0:
            await self._eviction.free(lacking)

    async def _drop_oldest(self, content: Content, count: int) -> None:
        """Give up the bytes that came first: in the map, then in its row, then on the disk (DESIGN 8.12)."""
        pieces = content.oldest(max(count, min(_DROP_AT_LEAST, content.held_bytes // 4)))
        if not pieces or content.fd is None:
            return
        self._dropping = (content, RangeSet(pieces))
        try:
            lost = sum(content.drop(start, stop) for start, stop in pieces)
            self._space.gave(lost)
            await self._maps.save([content])
            for start, stop in pieces:
                self._files.free(content.fd, start, stop)
            self._space.look_again()
        except OSError as error:
            raise LocalStorageFull(f"no part of a cache file can be freed ({error.strerror})") from error
        finally:
            self._dropping = None

    def _is_being_dropped(self, content: Content, start: int, stop: int) -> bool:
        if self._dropping is None or self._dropping[0] is not content:
            return False
        return self._dropping[1].missing(start, stop) != [(start, stop)]


def _write_all(fd: int, data: bytes, offset: int) -> None:
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)
