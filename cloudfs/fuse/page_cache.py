"""Which version of a file the kernel's page cache holds, as far as we let it keep any.

Pages outlive the last close (`keep_cache`), so the next open must know whether they are of the version
that the tree shows now. Invalidation follows a change only after a moment, and runs in another thread; this
is what makes an open in between right.
"""

from __future__ import annotations

from cloudfs.model.entry import Version


class PageCache:
    """Versions by inode, for inodes that were opened since the kernel last looked them up anew."""

    def __init__(self) -> None:
        self._versions: dict[int, Version] = {}

    def may_keep(self, inode: int, version: Version) -> bool:
        """Whether an open at this version may go on with the kernel's pages."""
        return self._versions.setdefault(inode, version).is_same_as(version)

    def invalidated(self, inode: int, version: Version | None) -> None:
        """The kernel has dropped its pages; `version` was the tree's before it was asked to.

        What was opened since then read that version or a newer one. Where it is newer, another
        invalidation is on its way, and only that one may call the pages clean.
        """
        if version is not None and inode in self._versions:
            self._versions[inode] = version

    def forget(self, inode: int) -> None:
        """The kernel has dropped the inode, and its pages with it."""
        self._versions.pop(inode, None)
