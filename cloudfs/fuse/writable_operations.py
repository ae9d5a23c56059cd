"""The kernel's requests that change something: names, content, attributes (DESIGN walk 2).

What a handler has answered is committed, but for what `write` took: that is, by the next `flush`, `fsync`
or `release`. Entries that lose their name here live until the kernel has forgotten them.
"""

from __future__ import annotations

import errno
import os
import stat

from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext, SetattrFields

from cloudfs.fuse.guard import guarded
from cloudfs.fuse.invalidation import Invalidation
from cloudfs.fuse.operations import Operations, Parts
from cloudfs.fuse.writing import NewAttributes, Writing
from cloudfs.model.errors import AlreadyExists
from cloudfs.model.node import Node


class WritableOperations(Operations):
    """pyfuse3's handlers of a mount that takes changes."""

    def __init__(self, parts: Parts, writing: Writing, invalidation: Invalidation) -> None:
        super().__init__(parts)
        self._writing = writing
        self._invalidation = invalidation

    # --- names ---

    @guarded(Operations._child)
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        """Only for a name that is free: the kernel has looked. It may not have heard the latest yet."""
        try:
            node = await self._names.create(parent_inode, name, mode, ctx)
        except AlreadyExists:
            present = self._tree.child(parent_inode, name)
            if flags & os.O_EXCL or present is None:
                raise
            raise self._sent_back(present.inode, ctx) from None
        number = await self._files.create(node.inode, ctx)
        return self._answer(number), self._introduced(node)

    @guarded(Operations._child)
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        """Regular files only: no cloud holds a device, a FIFO or a socket."""
        if not stat.S_ISREG(mode):
            raise FUSEError(errno.EPERM)
        return self._introduced(await self._names.create(parent_inode, name, mode, ctx))

    @guarded(Operations._child)
    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        return self._introduced(await self._names.make_folder(parent_inode, name, mode, ctx))

    @guarded(Operations._child)
    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """Who has the file open goes on reading and writing it."""
        self._retire((await self._names.unlink(parent_inode, name)).inode)

    @guarded(Operations._child)
    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        """Waits for the listing of a folder that was never listed: it may not be empty."""
        self._retire((await self._names.remove_folder(parent_inode, name, ctx.pid)).inode)

    @guarded(Operations._child)
    async def rename(  # noqa: PLR0917 - pyfuse3 passes them by position
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        source, target = (parent_inode_old, name_old), (parent_inode_new, name_new)
        replaced: Node | None = await self._names.rename(source, target, flags, ctx.pid)
        if replaced is not None:
            self._retire(replaced.inode)

    # --- files ---

    @guarded(Operations._entry)
    async def open(self, inode: int, flags: int, ctx: RequestContext) -> FileInfo:
        """Never waits: a killed program would stay until the answer."""
        if flags & os.O_ACCMODE == os.O_RDONLY and not flags & os.O_TRUNC:
            return await self._opened(await self._files.open(inode, ctx.pid))
        if flags & os.O_TRUNC:
            return await self._emptied(await self._files.open_for_writing(inode, ctx))
        if not self._invalidation.may_write(inode, ctx.pid):
            raise self._sent_back(inode, ctx)
        return await self._opened(await self._files.open_for_writing(inode, ctx))

    def _sent_back(self, inode: int, ctx: RequestContext) -> FUSEError:
        """By this answer the kernel looks the name up again, and then opens what is there, once."""
        self._invalidation.sent_back(inode, ctx.pid)
        return FUSEError(errno.ESTALE)

    async def _emptied(self, number: int) -> FileInfo:
        """The answer to an open under O_TRUNC: nothing is fetched."""
        try:
            await self._writing.truncate(number, 0)
        except BaseException:
            await self._files.release(number)
            raise
        return self._answer(number)

    @guarded(Operations._open_file)
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        return await self._writing.write(fh, off, buf)

    @guarded(Operations._open_file)
    async def flush(self, fh: int) -> None:
        """close(2) of one descriptor, which fails where this does."""
        await self._writing.flush(fh)

    @guarded(Operations._open_file)
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self._writing.sync(fh)

    @guarded(Operations._open_folder)
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        await self._tree.sync()

    # --- attributes ---

    async def _set_attributes(
        self, inode: int, attr: EntryAttributes, fields: SetattrFields, fh: int | None, ctx: RequestContext
    ) -> None:
        """What atime is set to is taken and not kept; a change of owner takes privileges away (chown(2))."""
        if fields.update_size:
            await self._resize(inode, attr.st_size, fh, ctx)
        mode = stat.S_IMODE(attr.st_mode) if fields.update_mode else None
        if mode is None and (fields.update_uid or fields.update_gid):
            mode = self._writing.without_privileges(inode)
        new = NewAttributes(
            mode=mode,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        if new != NewAttributes():
            await self._writing.set_attributes(inode, new)

    async def _resize(self, inode: int, size: int, fh: int | None, ctx: RequestContext) -> None:
        if fh is None:
            await self._writing.truncate_inode(inode, size, ctx)
        else:
            await self._writing.truncate(fh, size)
