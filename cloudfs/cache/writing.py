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
from cloudfs.cache.turns import Turns
from cloudfs.model.errors import CloudfsError, LocalIOError, LocalStorageFull
from cloudfs.model.ranges import RangeSet

_DROP_AT_LEAST = 4 * 1024 * 1024  # a file that does not fit gives up its oldest bytes in such steps

# What a file may hold to be read through a cache that is full of what may not go: some read-ahead of the
# kernel's, by more than one reader, is waited for at the same time.
_LEAST_WINDOW = 16 * 1024 * 1024


class Writing:
    """Writes what comes from the cloud, and makes room for everybody.

    Invariants: room is made by one task at a time; a range that is being dropped is not written to; bytes
    of the cloud land in gaps only, and never while a program's change of the content is under way.
    """

    def __init__(
        self, files: ContentFiles, maps: Maps, space: Space, eviction: Eviction, turns: Turns
    ) -> None:
        self._files = files
        self._maps = maps
        self._space = space
        self._eviction = eviction
        self._turns = turns
        self._making_room = trio.Lock()
        self._dropping: tuple[Content, RangeSet] | None = None

    def check_fits(self, inode: int, lacking: int, *, is_dirty: bool) -> None:
        """Raise LocalStorageFull where that much more of a file can't come, whatever other one is evicted.

        is_dirty: the cache may grow beyond its size for what has to come before its changes can be sent.
        """
        if lacking <= 0:
            return  # however full it is
        self._space.look_again()  # who made room a moment ago is not to be refused
        room = self._space.room()
        if is_dirty:
            room = max(room, self._space.disk_room())
        if lacking <= room:
            return
        self._require_disk()
        if self._eviction.evictable(lacking - room, but=inode) < lacking - room:
            raise LocalStorageFull("the cache, or its disk, has no room for this file")

    async def admit(self, content: Content, count: int) -> None:
        """See Store.admit."""
        async with self._making_room:
            more = count - content.reserved
            await self._evict_for(more, 0)
            room = self._space.room()
            if content.is_dirty:
                room = max(room, self._space.disk_room() - self._space.reserved)
            if room < more:
                raise LocalStorageFull("the cache, or its disk, has no room for this file")
            content.reserved += more
            self._space.reserved += more

    async def write(self, content: Content, offset: int, data: bytes) -> None:
        """See Store.write_at."""
        if content.changers:
            await self._turns.wait(content)
        if self._must_wait(content, offset, offset + len(data)):
            await self._make_room(content, len(data))
            await self._turns.wait(content)
        try:
            self._put(content, offset, data)
        except LocalStorageFull:
            # The disk is fuller than it said. One more try, with as much as may go out of the way.
            self._space.look_again()
            await self._clear(content, len(data))
            await self._turns.wait(content)
            self._put(content, offset, data)

    async def make_room_for_edit(self, content: Content, count: int) -> None:
        """Make room for what a program writes: the cache may grow beyond its size for that, as long as
        the disk has more than is to stay free. LocalStorageFull."""
        async with self._making_room:
            await self._evict_for(count, 0)
            if self._space.room() < count and self._space.disk_room() < count:
                raise LocalStorageFull("the disk of the cache directory has no more room for changes")

    async def clear_for_edit(self, count: int) -> None:
        """The disk said ENOSPC to a program's bytes: evict as many, whatever the books say."""
        self._space.look_again()
        async with self._making_room:
            await self._eviction.free(count)

    def _must_wait(self, content: Content, start: int, stop: int) -> bool:
        is_full = self._space.room(content.reserved) < stop - start
        return is_full or self._is_being_dropped(content, start, stop)

    def _put(self, content: Content, offset: int, data: bytes) -> None:
        """Write into the gaps and claim them, in one step. A thread would be slower (FACTS section 9)."""
        gaps = content.missing(offset, offset + len(data))
        gained = 0
        try:
            if content.fd is None and gaps:
                content.file_id, content.fd = self._files.create()
            for start, stop in gaps:
                assert content.fd is not None
                part = data if stop - start == len(data) else memoryview(data)[start - offset : stop - offset]
                write_all(content.fd, part, start)
                gained += content.add(start, stop)
        except OSError as error:
            raise translated(error) from error
        finally:
            self._claim(content, gained)

    def _claim(self, content: Content, gained: int) -> None:
        if not gained:
            return
        self._space.took(gained)
        spent = min(gained, content.reserved)
        content.reserved -= spent
        self._space.reserved -= spent
        if not content.detached:
            self._maps.note(content, gained)

    async def _make_room(self, content: Content, count: int) -> None:
        async with self._making_room:
            await self._evict_for(count, content.reserved)
            lacking = count - self._room(content)
            if lacking > 0 and not content.reserved:
                await self._drop_oldest(content, lacking)
            if self._room(content) < count:
                raise LocalStorageFull("the cache, or its disk, is full and nothing in it may go")

    def _room(self, content: Content) -> int:
        """Bytes that may come for a content now that nothing else may go.

        What lacks of a dirty one has to come before that can be sent: for it, as for what programs write,
        the disk's room counts. What fills the cache and may not go (dirty, pinned, open) leaves to every
        other file a little of that, so that it can be read through.
        """
        room = self._space.room(content.reserved)
        if content.is_dirty:
            return max(room, self._space.disk_room())
        if content.reserved:
            return room
        window = min(_LEAST_WINDOW, self._space.size) - content.held_bytes
        return max(room, min(window, self._space.disk_room()))

    async def _clear(self, content: Content, count: int) -> None:
        """The disk said ENOSPC: free at least `count` bytes, whatever the books say."""
        async with self._making_room:
            await self._eviction.free(count)
            if not content.reserved:
                await self._drop_oldest(content, count)

    async def _evict_for(self, count: int, own: int) -> None:
        lacking = count - self._space.room(own)
        if lacking > 0:
            self._require_disk()
            await self._eviction.free(lacking)

    def _require_disk(self) -> None:
        """Nothing is given up for room on a disk that counts as full whatever goes."""
        if self._space.is_full():
            raise LocalStorageFull("the disk of the cache directory counts as full")

    async def _drop_oldest(self, content: Content, count: int) -> None:
        """Give up the bytes that came first: in the map, then in its row, then on the disk (DESIGN 8.12)."""
        if content.changers:
            return  # who changes it may wait for room: nobody waits for both
        async with self._turns.take(content):
            pieces = content.oldest(max(count, min(_DROP_AT_LEAST, content.held_bytes // 4)))
            self._dropping = (content, RangeSet(pieces))
            try:
                await self._free(content, pieces)
            finally:
                self._dropping = None

    async def _free(self, content: Content, pieces: list[tuple[int, int]]) -> None:
        if not pieces or content.fd is None:
            return
        try:
            lost = sum(content.drop(start, stop) for start, stop in pieces)
            self._space.gave(lost)
            await self._maps.save([content])
            for start, stop in pieces:
                self._files.free(content.fd, start, stop)
            self._space.look_again()
        except OSError as error:
            raise LocalStorageFull(f"no part of a cache file can be freed ({error.strerror})") from error

    def _is_being_dropped(self, content: Content, start: int, stop: int) -> bool:
        if self._dropping is None or self._dropping[0] is not content:
            return False
        return self._dropping[1].missing(start, stop) != [(start, stop)]


def write_all(fd: int, data: bytes | memoryview, offset: int) -> None:
    """All of `data`, in as many calls as it takes. OSError; part of it may be written then."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        written += os.pwrite(fd, memoryview(data)[written:], offset + written)


def translated(error: OSError) -> CloudfsError:
    """What a refused change of a cache file means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return LocalStorageFull("the disk of the cache directory is full")
    return LocalIOError(f"the cache file can't be written ({error.strerror})")
