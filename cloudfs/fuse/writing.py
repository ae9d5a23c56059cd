"""What programs change of files: bytes, size, attributes (DESIGN walk 2).

What `flush` and `sync` answered is kept whatever becomes of the daemon (and the machine, for `sync`); so is
a size set by path, which no close follows. Nothing here waits on the network.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from pyfuse3 import RequestContext

from cloudfs.cache.store import Store
from cloudfs.fuse.callers import Caller, caller_of
from cloudfs.fuse.handles import FileHandle, Handles
from cloudfs.fuse.open_files import OpenFiles
from cloudfs.transfers.editing import Editor
from cloudfs.tree.tree import Tree

_PRIVILEGES = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True)
class NewAttributes:
    """What chmod(2), chown(2) and utimensat(2) set; None stays as it is. Times in epoch nanoseconds."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    mtime_ns: int | None = None


class Writing:
    """Changes of files, by handle and by inode.

    changed: told the inode and the program that changed a file which was as the cloud has it; never blocks.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        editor: Editor,
        files: OpenFiles,
        handles: Handles,
        *,
        changed: Callable[[int, Caller], None],
    ) -> None:
        self._tree = tree
        self._store = store
        self._editor = editor
        self._files = files
        self._handles = handles
        self._changed = changed

    # --- content ---

    async def write(self, number: int, offset: int, data: bytes) -> int:
        """Write all of `data`, and answer its length; where O_APPEND puts it the kernel has settled.

        LocalStorageFull, LocalIOError: nothing of it counts then, and what was written before stands.
        """
        handle = self._handles.file(number)
        content = handle.content
        if not handle.is_privileged:
            await self._drop_privileges(handle.inode)
        if content.detached:
            content = await self._files.current(handle)
        was_dirty = content.is_dirty
        count = await self._editor.write(content, offset, data)
        if not was_dirty:
            self._tell(handle)
        return count

    async def truncate(self, number: int, size: int) -> None:
        """Cut an open file, or lengthen it by zeros. Errors as for `write`."""
        handle = self._handles.file(number)
        if not handle.is_privileged:
            await self._drop_privileges(handle.inode)
        content = await self._files.current(handle) if handle.content.detached else handle.content
        if content.size == size:  # only the time changes, and there is nothing to send
            await self.set_attributes(content.inode, NewAttributes(mtime_ns=time.time_ns()))
            return
        was_dirty = content.is_dirty
        await self._editor.truncate(content, size)
        if not was_dirty:
            self._tell(handle)

    async def truncate_inode(self, inode: int, size: int, ctx: RequestContext) -> None:
        """The same for a file that the caller has not open (truncate(2))."""
        number = await self._files.open_for_writing(inode, ctx)
        try:
            await self.truncate(number, size)
        finally:
            await self._files.release(number)

    async def flush(self, number: int) -> None:
        """close(2) of one descriptor: what was written until now survives the end of the daemon."""
        handle = self._handles.file(number)
        if handle.writes:
            await self._editor.flush(handle.content)

    async def sync(self, number: int) -> None:
        """fsync(2): what was written until now, through whichever handle, survives power loss too."""
        content = self._handles.file(number).content
        if content.is_dirty:
            await self._editor.sync(content)

    def _tell(self, handle: FileHandle) -> None:
        self._changed(handle.inode, caller_of(handle.caller.pid))

    # --- attributes ---

    async def set_attributes(self, inode: int, new: NewAttributes) -> None:
        """Set what is given, in one commit. A time stays until the next write: what came before it is
        committed first, so that no later close puts its own time in its place."""
        if new.mtime_ns is not None and self._store.is_unflushed(inode):
            await self._flush_inode(inode)
        await self._tree.set_attributes(
            inode, mode=new.mode, uid=new.uid, gid=new.gid, mtime_ns=new.mtime_ns, now_ns=time.time_ns()
        )

    def without_privileges(self, inode: int) -> int | None:
        """The mode that is left once others write or own the file; None where it stays as it is.

        S_ISGID without the group's execute bit is no privilege (it once meant mandatory locking). The
        kernel leaves this to us (FUSE_HANDLE_KILLPRIV, on by default in libfuse).
        """
        node = self._tree.node(inode)
        if node.is_folder or not node.mode & _PRIVILEGES:
            return None
        lost = _PRIVILEGES if node.mode & stat.S_IXGRP else stat.S_ISUID
        return node.mode & ~lost if node.mode & lost else None

    async def _drop_privileges(self, inode: int) -> None:
        mode = self.without_privileges(inode)
        if mode is not None:
            await self.set_attributes(inode, NewAttributes(mode=mode))

    async def _flush_inode(self, inode: int) -> None:
        content = await self._store.open(inode, self._tree.node(inode).content_version)
        try:
            await self._editor.flush(content)
        finally:
            await self._store.close(content)
