"""What a mount does not do: what no cloud holds (EPERM), and under `read_only` any change (EROFS).

A refusal by handler, not by the mount option `ro`, for pins and `user.*` attributes can be set all the
same (xattr(7) asks only for write permission, which a read-only mount would deny).
"""

from __future__ import annotations

import errno
import stat
from typing import NoReturn

import pyfuse3
from pyfuse3 import EntryAttributes, FileInfo, FUSEError, RequestContext


class Refusals(pyfuse3.Operations):  # type: ignore[misc, unused-ignore]
    """Answers to requests for links and special files, and to every one that would change something."""

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> EntryAttributes:
        raise FUSEError(errno.EROFS if stat.S_ISREG(mode) else errno.EPERM)

    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EPERM)

    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EPERM)

    async def readlink(self, inode: int, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EINVAL)  # readlink(2) of what is no symbolic link

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        raise FUSEError(errno.EROFS)

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> EntryAttributes:
        raise FUSEError(errno.EROFS)

    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        raise FUSEError(errno.EROFS)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> None:
        raise FUSEError(errno.EROFS)

    async def rename(  # noqa: PLR0917 - pyfuse3 passes them by position
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> None:
        raise FUSEError(errno.EROFS)

    async def write(self, fh: int, off: int, buf: bytes) -> int:
        raise FUSEError(errno.EROFS)

    async def flush(self, fh: int) -> None:
        """Nothing here is newer than the disk."""

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Nothing here is newer than the disk."""

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Nothing here is newer than the disk."""
