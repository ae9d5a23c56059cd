"""Open files: what an open decides, and how a read gets its bytes (DESIGN walk 1).

Invariants: a handle counts as one user of its content from open to release (and as a writer, where it may
change it), so that content is neither evicted nor mixed with another version's; opening never waits on the
network.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from pyfuse3 import FUSEError, RequestContext

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.config.settings import OnOpen
from cloudfs.fuse.callers import Caller, DenyList, caller_of
from cloudfs.fuse.guard import shown
from cloudfs.fuse.handles import FileHandle, Handles, TimedOut
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.model.entry import Version
from cloudfs.model.enums import DownloadErrorType, Priority
from cloudfs.model.errors import CloudfsError, NetworkTimeout, NotFound
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree

_log = logging.getLogger(__name__)

# How long a wait that timed out is not begun again; other failures are remembered by the transfers.
_TIMEOUT_STANDS_S = 1.0


@dataclass(frozen=True, slots=True)
class OpenPolicy:
    """[hydration] of the mount.

    on_open: whether an open starts the whole download.
    deny: who never starts any.
    hydration_begun: told the inode and the program whose open or read starts a download; never blocks.
    """

    on_open: OnOpen
    deny: DenyList
    hydration_begun: Callable[[int, Caller], None]


class OpenFiles:
    """The open files of one mount."""

    def __init__(
        self,
        *,
        tree: Tree,
        store: Store,
        transfers: Transfers,
        handles: Handles,
        waits: NetworkWaits,
        policy: OpenPolicy,
        editor: Editor,
    ) -> None:
        self._tree = tree
        self._store = store
        self._transfers = transfers
        self._handles = handles
        self._waits = waits
        self._policy = policy
        self._editor = editor

    # --- from open to release ---

    async def open(self, inode: int, pid: int) -> int:
        """Open for reading; answers the handle's number. NotFound."""
        async with self._taken(inode) as content:
            return self._handles.add_file(self._handle(content, pid))

    async def open_for_writing(self, inode: int, ctx: RequestContext) -> int:
        """Open for reading and writing: until the release no other version comes under this inode."""
        async with self._taken(inode) as content:
            return self._handles.add_file(self._writer(content, ctx))

    async def create(self, inode: int, ctx: RequestContext) -> int:
        """Open a file for writing that was made a moment ago."""
        content = self._store.create(inode)
        return self._handles.add_file(self._writer(content, ctx))

    def hydrate(self, number: int) -> None:
        """What follows from an open: under `on_open = "full"` the download starts, unless it is denied.

        NotFound where the cloud has said that it no longer has the content: the try goes on, and the next
        open meets its end.
        """
        handle = self._handles.file(number)
        if handle.content.is_whole or handle.denied or self._policy.on_open is OnOpen.RANGES:
            return
        is_gone = self._tree.node(handle.inode).error == DownloadErrorType.CONTENT_NOT_FOUND.name
        self._begin(handle)
        self._transfers.start(handle.inode, Priority.OPENED)
        if is_gone:
            raise NotFound("the cloud does not have the content any more")

    async def release(self, number: int) -> FileHandle:
        """The last close; answers what was open. What was written since the last flush is committed."""
        handle = self._handles.remove_file(number)
        await self._close(handle)
        return handle

    async def release_all(self) -> None:
        """Close what the kernel left open: it is gone."""
        for handle in self._handles.clear():
            await self._close(handle)

    def path_of(self, number: int) -> str:
        """For the log."""
        inode = self._handles.file(number).inode
        return shown(self._tree.path(inode))

    # --- bytes ---

    async def read(self, number: int, offset: int, size: int) -> bytes:
        """The bytes at `offset`, fewer than `size` only at the end of the file.

        Raises what the transfer met, NetworkTimeout, or FUSEError EPERM for a denied program.
        """
        handle = self._handles.file(number)
        content = handle.content
        if content.detached and self._store.is_dirty(handle.inode):
            content = await self.current(handle)
        stop = min(offset + size, content.size)
        if offset >= stop:
            return b""
        if not content.holds(offset, stop):
            await self._fetch(handle, offset, stop)
        elif not (content.is_whole or handle.denied):
            self._transfers.note_read(content, offset, stop)
        return self._store.read_at(content, offset, stop - offset)

    async def current(self, handle: FileHandle) -> Content:
        """The content that others of the same inode see, after the handle's own was put aside.

        A clean content is, where somebody cleans the cache. What is written goes to the one that took its
        place, and who reads must see it, as the kernel's pages are the inode's and not the handle's.
        """
        content = await self._content(handle.inode)
        former, handle.content = handle.content, content
        if handle.writes:
            self._store.begin_writing(content)
            self._store.end_writing(former)
        await self._store.close(former)
        return content

    # --- inside ---

    @asynccontextmanager
    async def _taken(self, inode: int) -> AsyncIterator[Content]:
        """The content that the tree shows, its caller counted as a user; not so after a failure."""
        content = await self._content(inode)
        try:
            yield content
        except BaseException:
            await self._store.close(content)
            raise

    async def _content(self, inode: int) -> Content:
        """The tree may move on while the map is loaded. What was changed here stands above any version."""
        while True:
            content = await self._store.open(inode, self._tree.node(inode).content_version)
            if content.is_dirty or _is_same(content.version, self._tree.node(inode).content_version):
                return content
            await self._store.close(content)

    def _handle(self, content: Content, pid: int) -> FileHandle:
        if content.is_whole:
            return FileHandle(content.inode, content, denied=False, caller=Caller(pid, None))
        caller = caller_of(pid)
        return FileHandle(content.inode, content, denied=self._policy.deny.holds(caller), caller=caller)

    def _writer(self, content: Content, ctx: RequestContext) -> FileHandle:
        handle = self._handle(content, ctx.pid)
        handle.writes = True
        handle.is_privileged = ctx.uid == 0
        self._store.begin_writing(content)
        return handle

    async def _close(self, handle: FileHandle) -> None:
        if handle.writes:
            try:
                await self._editor.flush(handle.content)
            except CloudfsError as error:
                # Its bytes are in the cache file, which the next start finds newer than its record.
                _log.error("the last write to inode %d is not recorded: %s", handle.inode, error.reason)
            self._store.end_writing(handle.content)
        await self._store.close(handle.content)

    async def _fetch(self, handle: FileHandle, start: int, stop: int) -> None:
        if handle.denied:
            raise FUSEError(errno.EPERM)
        past = handle.timeout_over(start, stop, trio.current_time())
        if past is not None:
            raise past
        self._begin(handle)
        try:
            await self._waits.bounded(lambda: self._transfers.need(handle.content, start, stop))
        except NetworkTimeout as timeout:
            cause = self._transfers.cause(handle.content) or timeout
            handle.timed_out = TimedOut(start, stop, trio.current_time() + _TIMEOUT_STANDS_S, cause)
            raise cause from None

    def _begin(self, handle: FileHandle) -> None:
        """The first download that this handle causes is the opener's."""
        if not handle.has_fetched:
            handle.has_fetched = True
            self._policy.hydration_begun(handle.inode, handle.caller)


def _is_same(one: Version | None, other: Version | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.is_same_as(other)
