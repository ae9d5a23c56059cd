"""What programs write: into the cache file, beside the map, and what is committed of it.

The order that data depends on (DESIGN 7.1, 8.13): before the first byte of a clean content changes, or of
one that is being sent, a commit says that it is dirty; what was flushed is committed with size and map;
a sync comes before the commit that says so. Whoever changes a content holds its turn, unless nobody waits
for it and nothing has to be waited for.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.maps import Maps
from cloudfs.cache.space import Space
from cloudfs.cache.tags import PathTags
from cloudfs.cache.turns import Turns
from cloudfs.cache.writing import Writing, translated, write_all
from cloudfs.database.contents import write_rows
from cloudfs.model.errors import LocalStorageFull
from cloudfs.model.ranges import Range

Also = Callable[[sqlite3.Connection], None]  # work of another table, for the same commit

_LARGE_CUT = 64 * 1024 * 1024  # freeing so many bytes takes a disk longer than a hop to a thread
_SLOW_WRITE_S = 0.005  # a write into the page cache takes a fiftieth of that
_SLOW_FOR_S = 1.0
_FULL_FOR_S = 1.0  # how long a cache in which nothing may go is not searched again


class Edits:
    """Changes of contents by programs.

    path_of: the path of an inode in the mount; None where it has none.
    """

    def __init__(
        self,
        *,
        files: ContentFiles,
        maps: Maps,
        space: Space,
        writing: Writing,
        turns: Turns,
        tags: PathTags,
        path_of: Callable[[int], bytes | None],
    ) -> None:
        self._files = files
        self._maps = maps
        self._space = space
        self._writing = writing
        self._turns = turns
        self._tags = tags
        self._path_of = path_of
        self._full_until = float("-inf")
        self._slow_until = float("-inf")

    def turn(self, content: Content) -> AbstractAsyncContextManager[None]:
        """To be held around all but `write_now`."""
        return self._turns.take(content)

    # --- before a change ---

    def prepare(self, content: Content) -> None:
        """The content has a cache file, as long as itself, that tells whose it is should its row be lost.

        To be done before the commit that makes it dirty: from then on the file's length is its size.
        Raises LocalIOError, LocalStorageFull; the content is as before then.
        """
        try:
            if content.fd is None:
                content.file_id, content.fd = self._files.create()
                content.has_row = content.is_placed = False
            if os.fstat(content.fd).st_size != content.size:
                os.ftruncate(content.fd, content.size)
        except OSError as error:
            raise translated(error) from error
        path = self._path_of(content.inode)
        if path is not None:
            self._tags.put(content.fd, path)

    def needs_durable_mark(self, content: Content) -> bool:
        """Whether power loss could bring back a row that calls its bytes the cloud's.

        The mark then has to be a durable commit, or the cloud's version would be claimed over them.
        """
        return content.has_row and (content.was_sent or not content.is_dirty)

    def dirty_row(self, content: Content, *, durable: bool = False) -> Also:
        """The row of a content that is dirty from then on, as it is at this moment, for a commit of the tree.

        It counts as dirty at once, so that no other row of it says otherwise after that commit.
        durable: all that was written is synced. `recorded` or `not_recorded` is to follow. The content
        has been prepared; without a cache file there is nothing to record.
        """
        content.is_dirty = True
        if content.file_id is None or content.detached:
            return lambda connection: None
        if content.fd is not None:
            content.written_ns = os.fstat(content.fd).st_mtime_ns
        row = self._maps.row(content, durable)
        content.unsaved = False
        self._maps.drop(content)
        return lambda connection: write_rows(connection, [row])

    def recorded(self, content: Content, *, durable: bool = False) -> None:
        """The commit with its row was done."""
        content.has_row = content.has_row or content.file_id is not None
        content.durable = durable
        content.row_survives = durable and content.is_whole and content.file_id is not None
        if not content.is_whole:
            # A map of the moment between may have been overwritten by this older one.
            content.unsaved = True
            self._maps.note(content, 0)

    def not_recorded(self, content: Content, *, was_dirty: bool = True) -> None:
        """The commit with its row failed; was_dirty: before that."""
        content.is_dirty = was_dirty
        if content.file_id is None or content.detached:
            return
        if was_dirty or content.has_row:
            self._maps.lost(content)
        elif content.fd is not None:
            self._tags.take(content.fd)

    # --- changes ---

    def write_now(self, content: Content, offset: int, data: bytes) -> bool:
        """Write into a marked content if nothing has to be waited for; else False, and `write` is to be used.

        This is what each small write of a program costs: one pwrite(2) and some numbers.
        """
        if content.changers or not content.is_marked or content.fd is None:
            return False
        count, began = len(data), trio.current_time()
        if began < self._slow_until or (self._space.room() < count and not self._may_overfill(count)):
            return False
        try:
            if os.pwrite(content.fd, data, offset) != count:
                return False
        except OSError:
            return False
        self._wrote(content, offset, offset + count)
        self._note_pace(began)
        return True

    async def write(self, content: Content, offset: int, data: bytes) -> None:
        """Write into a marked content whose turn the caller has, making room for it first.

        Raises LocalStorageFull, LocalIOError: size and map are as before then, but the bytes in the range
        may be new ones in part, as after any write(2) that failed.
        """
        if content.fd is None:
            self.prepare(content)
        await self._find_room(content, offset, offset + len(data))
        try:
            await self._put(content, offset, data)
        except LocalStorageFull:
            await self._writing.clear_for_edit(len(data))
            await self._put(content, offset, data)

    async def resize(self, content: Content, size: int) -> None:
        """Cut a marked content, or make it longer by zeros; the caller has its turn.

        Raises LocalStorageFull, LocalIOError; the content is as before then.
        """
        if content.fd is None:
            self.prepare(content)
        assert content.fd is not None
        before, gaps = content.size, content.missing(size, content.size)
        self._resized(content, size)
        try:
            if before - size > _LARGE_CUT:
                await trio.to_thread.run_sync(os.ftruncate, content.fd, size)
            else:
                os.ftruncate(content.fd, size)
        except OSError as error:
            self._resized(content, before)
            for gap in gaps:
                self._space.gave(content.drop(*gap))
            raise translated(error) from error

    async def sync_file(self, content: Content) -> None:
        """What was written so far survives power loss; a row has still to say so. LocalIOError."""
        if content.fd is not None:
            await self._maps.sync_file(content)

    # --- inside ---

    async def _put(self, content: Content, offset: int, data: bytes) -> None:
        assert content.fd is not None
        began = trio.current_time()
        content.note_edit(time.time_ns())  # before a byte changes: what is being sent looks at it
        try:
            if began < self._slow_until:
                await trio.to_thread.run_sync(write_all, content.fd, data, offset)
            else:
                write_all(content.fd, data, offset)
        except OSError as error:
            self._restore_length(content.fd, content.size)
            raise translated(error) from error
        self._wrote(content, offset, offset + len(data))
        self._note_pace(began)

    def _note_pace(self, began: float) -> None:
        """The kernel slows writers down where the disk does not keep up: not to all of us, but in a thread.

        Otherwise a thread costs more than a write of any size takes.
        """
        now = trio.current_time()
        if now - began > _SLOW_WRITE_S:
            self._slow_until = now + _SLOW_FOR_S

    def _wrote(self, content: Content, start: int, stop: int) -> None:
        self._space.took(content.wrote(start, stop, time.time_ns()))
        if content.unsaved and not content.detached:
            self._note(content)

    def _resized(self, content: Content, size: int) -> None:
        gained = content.resize(size, time.time_ns())
        if gained < 0:
            self._space.gave(-gained)
        else:
            self._space.took(gained)

    def _note(self, content: Content) -> None:
        """Let the map be committed soon, where recovery could not make up for it by the file's length."""
        if content.has_row and content.is_whole:
            content.unsaved = False
        else:
            self._maps.note(content, 0)

    async def _find_room(self, content: Content, start: int, stop: int) -> None:
        lacking = sum(b - a for a, b in _new(content, start, stop))
        if not lacking or self._space.room() >= lacking or self._may_overfill(lacking):
            return
        await self._writing.make_room_for_edit(content, lacking)
        if self._space.room() < lacking:
            self._full_until = trio.current_time() + _FULL_FOR_S

    def _may_overfill(self, count: int) -> bool:
        """Whether nothing in the cache could go a moment ago, while its disk has room all the same."""
        return trio.current_time() < self._full_until and self._space.disk_room() >= count

    @staticmethod
    def _restore_length(fd: int, size: int) -> None:
        """A write that failed may have made the file longer than the content is."""
        try:
            if os.fstat(fd).st_size > size:
                os.ftruncate(fd, size)
        except OSError as error:
            raise translated(error) from error


def _new(content: Content, start: int, stop: int) -> list[Range]:
    """The parts of [start, stop) that are not held yet."""
    beyond = [(max(start, content.size), stop)] if stop > content.size else []
    return content.missing(start, stop) + beyond
