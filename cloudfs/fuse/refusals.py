"""What the mount does not do: changes of names and content (EROFS), and what no cloud holds (EPERM).

A refusal by handler, not by the mount option `ro`, for pins and `user.*` attributes can be set all the
same (xattr(7) asks only for write permission, which a read-only mount would deny).
"""

from __future__ import annotations

import errno
import stat
from typing import NoReturn

import pyfuse3
from pyfuse3 import FUSEError, RequestContext


class ReadOnlyOperations(pyfuse3.Operations):  # type: ignore[misc, unused-ignore]
    """Answers to every request that would make, change or remove an entry."""

    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: RequestContext
    ) -> NoReturn:
        raise FUSEError(errno.EROFS if stat.S_ISREG(mode) else errno.EPERM)

    async def symlink(self, parent_inode: int, name: bytes, target: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EPERM)

    async def link(self, inode: int, new_parent_inode: int, new_name: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EPERM)

    async def readlink(self, inode: int, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EINVAL)  # readlink(2) of what is no symbolic link

    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: RequestContext
    ) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def mkdir(self, parent_inode: int, name: bytes, mode: int, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def unlink(self, parent_inode: int, name: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def rmdir(self, parent_inode: int, name: bytes, ctx: RequestContext) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def rename(  # noqa: PLR0917 - pyfuse3 passes them by position
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: RequestContext,
    ) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def write(self, fh: int, off: int, buf: bytes) -> NoReturn:
        raise FUSEError(errno.EROFS)

    async def fsync(self, fh: int, datasync: bool) -> None:
        """Nothing here is newer than the disk."""

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Nothing here is newer than the disk."""
