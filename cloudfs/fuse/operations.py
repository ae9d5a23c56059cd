"""The kernel's requests that only look, each a few calls into the layers below.

What the tree and the cache know is answered at once: no SQL, no thread, no wait. The network is waited for
in `lookup`, `opendir` and `read` alone (through `NetworkWaits`), never in `open`, `readdir` or `getattr`.
"""

from __future__ import annotations

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
from cloudfs.fuse.names import Names
from cloudfs.fuse.open_files import OpenFiles
from cloudfs.fuse.page_cache import PageCache
from cloudfs.fuse.refusals import Refusals
from cloudfs.fuse.watchers import Watchers
from cloudfs.fuse.xattrs import NEVER_THERE, Attributes
from cloudfs.model.entry import join
from cloudfs.model.enums import Kind
from cloudfs.model.errors import NotFound, ReadOnly
from cloudfs.model.node import ROOT, Node
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
    names: Names
    files: OpenFiles
    handles: Handles
    attributes: Attributes
    pages: PageCache
    watchers: Watchers
    quota: Callable[[], Quota | None]
    unused: Callable[[int], None]


class Operations(Refusals):
    """pyfuse3's handlers of a mount that takes no changes."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._tree = parts.tree
        self._store = parts.store
        self._names = parts.names
        self._files = parts.files
        self._handles = parts.handles
        self._attributes = parts.attributes
        self._pages = parts.pages
        self._watchers = parts.watchers
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
        node = await self._names.find(parent_inode, name, ctx.pid)
        return _NO_SUCH_ENTRY if node is None else self._introduced(node)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """The only handler that may raise nothing at all, for no program waits for an answer."""
        for inode, count in inode_list:
            try:
                self._forget(inode, count)
            except Exception:  # noqa: BLE001 - the edge of a request
                _log.exception("forget of inode %d failed by a bug", inode)

    def _introduced(self, node: Node) -> EntryAttributes:
        """The answer by which the kernel knows of the entry once more."""
        self._tree.hold(node.inode)
        return self._shown(node)

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
        await self._names.know(inode, ctx.pid)
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
                if not pyfuse3.readdir_reply(token, node.name, self._shown(node), node.inode + 1):
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
        return self._shown(self._tree.node(inode))

    @guarded(_entry)
    async def setattr(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> EntryAttributes:
        """Nothing is changed for a thread of our own that wakes who watches the entry."""
        if not self._watchers.is_waking(ctx.pid):
            await self._set_attributes(inode, attr, fields, fh, ctx)
        return self._shown(self._tree.node(inode))

    async def _set_attributes(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> None:
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

    def _shown(self, node: Node) -> EntryAttributes:
        """What stat(2) shows at this moment, also of a file that is being written."""
        if node.kind is not Kind.FILE:
            return attributes_of(node, 0)
        written = self._store.written(node.inode)
        size = node.size if written is None else written[0]
        return attributes_of(node, self._store.held_bytes(node.inode) if size else 0, written)

    # --- files ---

    @guarded(_entry)
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """Never waits: a killed program would stay until the answer."""
        if flags & os.O_ACCMODE != os.O_RDONLY or flags & os.O_TRUNC:
            raise ReadOnly("files can't be changed")
        return await self._opened(await self._files.open(inode, ctx.pid))

    async def _opened(self, number: int) -> FileInfo:
        """The answer to an open; the download starts where an open starts it."""
        try:
            self._files.hydrate(number)
        except BaseException:
            await self._files.release(number)
            raise
        return self._answer(number)

    def _answer(self, number: int) -> FileInfo:
        content = self._handles.file(number).content
        return FileInfo(fh=number, keep_cache=self._pages.may_keep(content))

    @guarded(_open_file)
    async def read(self, fh: int, off: int, size: int) -> bytes:
        return await self._files.read(fh, off, size)

    @guarded(_open_file)
    async def release(self, fh: int) -> None:
        self._pages.closed(self._handles.file(fh).content)
        handle = await self._files.release(fh)
        self._retire(handle.inode)
