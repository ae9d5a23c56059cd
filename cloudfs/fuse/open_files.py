"""Open files: what an open decides, and how a read gets its bytes (DESIGN walk 1).

Invariants: a handle counts as one user of its content from open to release, so that content is neither
evicted nor mixed with another version's; opening never waits on the network.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

import trio
from pyfuse3 import FUSEError

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.config.settings import OnOpen
from cloudfs.fuse.callers import Caller, DenyList, caller_of
from cloudfs.fuse.guard import shown
from cloudfs.fuse.handles import FileHandle, Handles, TimedOut
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.model.entry import Version
from cloudfs.model.enums import DownloadErrorType, Priority
from cloudfs.model.errors import ContentNotFound, NetworkTimeout, NotFound
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree

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
    ) -> None:
        self._tree = tree
        self._store = store
        self._transfers = transfers
        self._handles = handles
        self._waits = waits
        self._policy = policy

    async def open(self, inode: int, pid: int) -> tuple[int, Version]:
        """Open for reading; answers the handle's number and the version that it will read.

        Under `on_open = "full"` the download starts, unless the opener is denied it. ENOENT where the
        cloud has said that it no longer has the content: the try goes on, and the next open meets its end.
        """
        content = await self._content(inode)
        try:
            handle = self._handle(content, pid)
        except BaseException:
            await self._store.close(content)
            raise
        return self._handles.add_file(handle), content.version

    async def read(self, number: int, offset: int, size: int) -> bytes:
        """The bytes at `offset`, fewer than `size` only at the end of the file.

        Raises what the transfer met, NetworkTimeout, or FUSEError EPERM for a denied program.
        """
        handle = self._handles.file(number)
        content = handle.content
        stop = min(offset + size, content.size)
        if offset >= stop:
            return b""
        if not content.holds(offset, stop):
            await self._fetch(handle, offset, stop)
        elif not (content.is_whole or handle.denied):
            self._transfers.note_read(content, offset, stop)
        return self._store.read_at(content, offset, stop - offset)

    async def release(self, number: int) -> int:
        """The last close; answers the inode."""
        handle = self._handles.remove_file(number)
        await self._store.close(handle.content)
        return handle.inode

    async def release_all(self) -> None:
        """Close what the kernel left open: it is gone."""
        for handle in self._handles.clear():
            await self._store.close(handle.content)

    def path_of(self, number: int) -> str:
        """For the log."""
        inode = self._handles.file(number).inode
        return shown(self._tree.path(inode))

    async def _content(self, inode: int) -> Content:
        """The content of the version that the tree shows. The tree may move on while the map is loaded."""
        while True:
            node = self._tree.node(inode)
            if node.version is None:
                raise ContentNotFound("the cloud never told a version of it")
            content = await self._store.open(inode, node.version)
            current = self._tree.node(inode).version
            if current is not None and current.is_same_as(content.version):
                return content
            await self._store.close(content)

    def _handle(self, content: Content, pid: int) -> FileHandle:
        inode = content.inode
        if content.is_whole:
            return FileHandle(inode, content, denied=False, caller=Caller(pid, None))
        caller = caller_of(pid)
        handle = FileHandle(inode, content, denied=self._policy.deny.holds(caller), caller=caller)
        if handle.denied or self._policy.on_open is OnOpen.RANGES:
            return handle
        is_gone = self._tree.node(inode).error == DownloadErrorType.CONTENT_NOT_FOUND.name
        self._begin(handle)
        self._transfers.start(inode, Priority.OPENED)
        if is_gone:
            raise NotFound("the cloud does not have the content any more")
        return handle

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
