"""The kernel's requests, each a few calls into the layers below.

What the tree and the cache know is answered at once: no SQL, no thread, no wait. The network is waited for
in `lookup`, `opendir` and `read` alone (through `NetworkWaits`), never in `open`, `readdir` or `getattr`.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyfuse3
from pyfuse3 import (
    ENOATTR,
    EntryAttributes,
    FileInfo,
    FUSEError,
    ReaddirToken,
    RequestContext,
    SetattrFields,
    StatvfsData,
)

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Quota
from cloudfs.fuse.attributes import LONG_S, absent, attributes_of, statistics_of
from cloudfs.fuse.guard import guarded, shown
from cloudfs.fuse.handles import FolderHandle, Handles
from cloudfs.fuse.open_files import OpenFiles
from cloudfs.fuse.page_cache import PageCache
from cloudfs.fuse.refusals import ReadOnlyOperations
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.fuse.watchers import Watchers
from cloudfs.fuse.xattrs import NEVER_THERE, Attributes
from cloudfs.model.entry import NAME_MAX, join
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.errors import NotFound, ReadOnly
from cloudfs.model.node import ROOT, Node
from cloudfs.transfers.listings import Listings
from cloudfs.tree.tree import Tree

_log = logging.getLogger(__name__)

# Entries taken from the tree at a time. A readdirplus buffer of 4 KiB, the usual one, holds 25 to 32.
_PAGE = 32
# The offsets behind "." and ".."; the offset behind an entry is one more than its inode, hence above them.
_AFTER_DOT, _AFTER_DOT_DOT = 1, 2
_NO_SUCH_ENTRY = absent(LONG_S)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the requests are answered from.

    quota: what was last heard of it. unused: told an inode that lost its name once the kernel has
    forgotten it; never blocks.
    """

    tree: Tree
    store: Store
    listings: Listings
    files: OpenFiles
    handles: Handles
    attributes: Attributes
    pages: PageCache
    watchers: Watchers
    waits: NetworkWaits
    quota: Callable[[], Quota | None]
    unused: Callable[[int], None]


class Operations(ReadOnlyOperations):
    """pyfuse3's handlers."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._tree = parts.tree
        self._store = parts.store
        self._listings = parts.listings
        self._files = parts.files
        self._handles = parts.handles
        self._attributes = parts.attributes
        self._pages = parts.pages
        self._watchers = parts.watchers
        self._waits = parts.waits
        self._quota = parts.quota
        self._unused = parts.unused

    # --- what a request is about, for the log ---

    def _entry(self, inode: int, *_: object) -> str:
        return shown(self._tree.path(inode))

    def _child(self, parent: int, name: bytes, *_: object) -> str:
        return shown(join(self._tree.path(parent), name))

    def _open_file(self, number: int, *_: object) -> str:
        return self._files.path_of(number)

    def _open_folder(self, number: int, *_: object) -> str:
        return shown(self._tree.path(self._handles.folder(number).inode))

    def _filesystem(self, *_: object) -> str:
        return "of the mount"

    # --- names ---

    @guarded(_child)
    async def lookup(self, parent_inode: int, name: bytes, ctx: RequestContext) -> EntryAttributes:
        """A folder never seen is listed first; only a whole listing gives a negative answer."""
        node = self._tree.child(parent_inode, name)
        if node is None:
            node = await self._seek(parent_inode, name, ctx.pid)
        if node is None:
            return _NO_SUCH_ENTRY
        self._tree.hold(node.inode)
        return attributes_of(node, self._held(node))

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The only handler that may raise nothing at all, for no program waits for an answer."""
        for inode, count in inode_list:
            try:
                self._forget(inode, count)
            except Exception:  # noqa: BLE001 - the edge of a request
                _log.exception("forget of inode %d failed by a bug", inode)

    async def _seek(self, parent: int, name: bytes, pid: int) -> Node | None:
        """What the index does not have: a folder to be listed first, or no name of an entry."""
        if len(name) > NAME_MAX:
            raise FUSEError(errno.ENAMETOOLONG)
        folder = self._tree.node(parent)
        if name in (b".", b".."):  # asked for by an NFS server that has only the number
            return folder if name == b"." else self._tree.node(folder.parent or ROOT)
        if folder.listing is Listing.WHOLE:
            return None
        await self._list(parent, pid)
        return self._tree.child(parent, name)

    async def _list(self, folder: int, pid: int) -> None:
        await self._waits.interruptible(lambda: self._listings.ensure(folder), pid)

    def _forget(self, inode: int, count: int) -> None:
        self._tree.release(inode, count)
        if not self._tree.is_held(inode):
            self._pages.forget(inode)
            self._retire(inode)

    def _retire(self, inode: int) -> None:
        """No program may need an entry any more that has lost its name and that the kernel forgot."""
        if self._tree.is_held(inode):
            return
        try:
            is_unlinked = self._tree.node(inode).parent is None and inode != ROOT
        except NotFound:
            return
        if is_unlinked:
            self._unused(inode)

    # --- folders ---

    @guarded(_entry)
    async def opendir(self, inode: int, ctx: RequestContext) -> int:
        """Waits until the folder has been listed once; a failure is an error, never an empty folder."""
        if self._tree.node(inode).listing is not Listing.WHOLE:
            await self._list(inode, ctx.pid)
        return self._handles.add_folder(FolderHandle(inode))

    @guarded(_open_folder)
    async def readdir(self, fh: int, start_id: int, token: ReaddirToken) -> None:
        """Entries by inode, so that what stays in a changing folder is shown exactly once."""
        folder = self._handles.folder(fh).inode
        if start_id < _AFTER_DOT_DOT and not self._reply_dots(folder, start_id, token):
            return
        after = max(start_id - 1, 0)
        while children := self._tree.children(folder, after, _PAGE):
            self._store.warm([node.inode for node in children if node.kind is Kind.FILE])
            for node in children:
                entry = attributes_of(node, self._held(node))
                if not pyfuse3.readdir_reply(token, node.name, entry, node.inode + 1):
                    return
                self._tree.hold(node.inode)
            after = children[-1].inode

    @guarded(_open_folder)
    async def releasedir(self, fh: int) -> None:
        self._handles.remove_folder(fh)

    def _reply_dots(self, folder: int, start_id: int, token: ReaddirToken) -> bool:
        """ "." and ".."; the kernel counts no lookup for them."""
        node = self._tree.node(folder)
        own = attributes_of(node, 0)
        if start_id < _AFTER_DOT and not pyfuse3.readdir_reply(token, b".", own, _AFTER_DOT):
            return False
        parent = self._tree.node(node.parent or ROOT)
        return pyfuse3.readdir_reply(token, b"..", attributes_of(parent, 0), _AFTER_DOT_DOT)

    # --- attributes ---

    @guarded(_entry)
    async def getattr(self, inode: int, ctx: RequestContext) -> EntryAttributes:
        node = self._tree.node(inode)
        return attributes_of(node, self._held(node))

    @guarded(_entry)
    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        if self._watchers.is_waking(ctx.pid):
            return await self.getattr(inode, ctx)
        raise ReadOnly("attributes can't be changed")

    async def getxattr(self, inode: int, name: bytes, ctx: RequestContext) -> bytes:
        """Two of these names are asked of every entry by `ls -l`, so they come before all else."""
        if name in NEVER_THERE:
            raise FUSEError(ENOATTR)
        return await self._getxattr(inode, name)

    @guarded(_entry)
    async def _getxattr(self, inode: int, name: bytes) -> bytes:
        return self._attributes.get(inode, name)

    @guarded(_entry)
    async def listxattr(self, inode: int, ctx: RequestContext) -> Sequence[bytes]:
        return self._attributes.names(inode)

    @guarded(_entry)
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: RequestContext) -> None:
        await self._attributes.set(inode, name, value)

    @guarded(_entry)
    async def removexattr(self, inode: int, name: bytes, ctx: RequestContext) -> None:
        await self._attributes.remove(inode, name)

    @guarded(_filesystem)
    async def statfs(self, ctx: RequestContext) -> StatvfsData:
        return statistics_of(self._quota())

    def _held(self, node: Node) -> int:
        return self._store.held_bytes(node.inode) if node.kind is Kind.FILE and node.size else 0

    # --- files ---

    @guarded(_entry)
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """Never waits: a killed program would stay until the answer."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise ReadOnly("files can't be changed")
        number, version = await self._files.open(inode, ctx.pid)
        return FileInfo(fh=number, keep_cache=self._pages.may_keep(inode, version))

    @guarded(_open_file)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        return await self._files.read(fh, off, size)

    async def flush(self, fh: int) -> None:
        """close(2) of one descriptor: nothing here is newer than the disk."""

    @guarded(_open_file)
    async def release(self, fh: int) -> None:
        self._retire(await self._files.release(fh))
