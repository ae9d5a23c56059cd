"""Which bytes of a file the kernel's page cache holds, as far as we let it keep any.

Pages outlive the last close (`keep_cache`), so the next open must know whether they are of the content
that the tree shows now. Invalidation follows a change only after a moment, and runs in another thread; this
is what makes an open in between right.

Bytes are known by their version in the cloud, or by the cache file that they lie in: what programs write
goes through the kernel's pages and into the same cache file, and once it is uploaded only the version is
another one. What comes from the cloud instead gets a cache file of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs.cache.content import Content
from cloudfs.model.entry import Version


@dataclass(frozen=True, slots=True)
class _Pages:
    """version, file_id: of the content that the pages are of."""

    version: Version | None
    file_id: str | None

    def are_of(self, content: Content) -> bool:
        if content.file_id is not None and content.file_id == self.file_id:
            return True
        if self.version is None or content.version is None:
            return self.version is content.version and self.file_id is None
        return self.version.is_same_as(content.version)


class PageCache:
    """Contents by inode, for inodes that were opened since the kernel last looked them up anew."""

    def __init__(self) -> None:
        self._pages: dict[int, _Pages] = {}

    def may_keep(self, content: Content) -> bool:
        """Whether an open of this content may go on with the kernel's pages."""
        pages = self._pages.setdefault(content.inode, _Pages(content.version, content.file_id))
        return pages.are_of(content)

    def closed(self, content: Content) -> None:
        """The pages are of this content, as it is now: written to, or fetched."""
        pages = self._pages.get(content.inode)
        if pages is not None and not content.detached and pages.are_of(content):
            self._pages[content.inode] = _Pages(content.version, content.file_id)

    def invalidated(self, inode: int, version: Version | None) -> None:
        """The kernel has dropped its pages; `version` was the tree's before it was asked to.

        What was opened since then read that version or a newer one. Where it is newer, another
        invalidation is on its way, and only that one may call the pages clean.
        """
        if version is not None and inode in self._pages:
            self._pages[inode] = _Pages(version, None)

    def forget(self, inode: int) -> None:
        """The kernel has dropped the inode, and its pages with it."""
        self._pages.pop(inode, None)
