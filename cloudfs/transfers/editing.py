"""What programs do to contents: each change in the order that data depends on, commits included.

Nothing here waits on the network. A write to a content that is marked already is one pwrite(2); the first
one after a flush that was sent, or of what came from the cloud, commits that it is newer before it changes
a byte (DESIGN 8.13). What was cut off never comes back: neither from the cloud nor after a crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.model.enums import Priority
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree


class Editor:
    """Changes contents for the programs that have them open. The caller is a user of each content.

    All methods raise LocalStorageFull or LocalIOError; what was flushed before is as it was then. A cancel
    comes before a change or not at all.
    """

    def __init__(self, tree: Tree, store: Store, transfers: Transfers) -> None:
        self._tree = tree
        self._edits = store.edits
        self._transfers = transfers

    async def write(self, content: Content, offset: int, data: bytes) -> int:
        """Write all of `data` at `offset`; what lies between the end so far and it reads as zeros.

        Returns its length. Committed by `flush`; a crash before that may keep any part of it.
        """
        if not data:
            return 0
        if not self._edits.write_now(content, offset, data):
            async with self._changing(content):
                await self._mark(content)
                await self._edits.write(content, offset, data)
        self._transfers.note_edit(content)
        return len(data)

    async def truncate(self, content: Content, size: int) -> None:
        """Cut the file, or make it longer by zeros; committed when this returns."""
        if size == content.size:
            return
        async with self._changing(content):
            if size == content.size:
                return
            await self._mark(content)
            await self._edits.resize(content, size)
            self._transfers.note_edit(content)
            await self._record(content)
        self._fetch_rest(content)

    async def flush(self, content: Content) -> None:
        """What was written survives the end of this process (INTERFACE section 9, promise 3)."""
        if not content.unflushed:
            return
        async with self._changing(content):
            if content.unflushed:
                await self._record(content)
        self._fetch_rest(content)

    async def sync(self, content: Content) -> None:
        """What was written survives power loss (fsync(2))."""
        async with self._changing(content):
            if content.is_dirty and (content.unflushed or not content.durable):
                await self._edits.sync_file(content)
                await self._record(content, durable=True)
        self._fetch_rest(content)

    async def mark(self, content: Content) -> None:
        """Let the content count as changed here, though no byte of it was: the cloud is to get it anew."""
        async with self._changing(content):
            await self._mark(content)

    @asynccontextmanager
    async def _changing(self, content: Content) -> AsyncIterator[None]:
        async with self._edits.turn(content):
            with trio.CancelScope(shield=True):
                yield

    async def _mark(self, content: Content) -> None:
        """It is committed that the content is newer than the cloud's, and than what is being sent."""
        if content.is_marked:
            return
        self._edits.prepare(content)
        was_dirty, durable = content.is_dirty, self._edits.needs_durable_mark(content)
        row = self._edits.dirty_row(content, durable=was_dirty and content.durable)
        try:
            await self._tree.mark_modified(content.inode, row, durable=durable)
        except CloudfsError:
            self._edits.not_recorded(content, was_dirty=was_dirty)
            raise
        content.marked()
        self._edits.recorded(content, durable=was_dirty and content.durable)

    async def _record(self, content: Content, *, durable: bool = False) -> None:
        if content.detached:
            content.unflushed = False
            return
        mtime_ns = content.mtime_ns if content.unflushed else None
        if mtime_ns is None:
            mtime_ns = self._tree.node(content.inode).mtime_ns
        # A row that survives and calls the content dirty and safe is enough after power loss: size and time
        # are the cache file's then. So each further fsync costs one sync, not two.
        takes_sync = durable and not content.row_survives
        row = self._edits.dirty_row(content, durable=durable)
        try:
            await self._tree.record_content(content.inode, content.size, mtime_ns, row, durable=takes_sync)
        except CloudfsError:
            self._edits.not_recorded(content)
            raise
        content.unflushed = False
        self._edits.recorded(content, durable=durable)

    def _fetch_rest(self, content: Content) -> None:
        """Get what the content still has of its base while the cloud has that."""
        if content.is_whole or content.is_stale or content.detached:
            return
        try:
            self._transfers.start(content.inode, Priority.OPENED)
        except NotFound:
            return  # it was removed: nobody will have the rest
