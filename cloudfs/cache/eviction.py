"""Taking content out of the cache: which goes first, and in which order row and file go.

Invariants: what is in `residents` with users, or is pinned, or dirty, is never chosen, and that is checked
in the step that marks it EVICTING; the row goes before the file (DESIGN 8.12).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.held import HeldBytes
from cloudfs.cache.maps import Maps
from cloudfs.cache.space import Space
from cloudfs.database.contents import ContentRow, Contents
from cloudfs.model.errors import TryAgain

log = logging.getLogger(__name__)

_PAGE = 64
_AT_LEAST_BYTES = 16 * 1024 * 1024  # a full cache makes room for some time, not for one write


class Eviction:
    """Least recently used first.

    residents: contents in memory by inode; shared with the store, which adds and removes those in use.
    is_pinned: whether an inode's content is to stay, by its own value or a folder's.
    """

    def __init__(
        self,
        *,
        rows: Contents,
        maps: Maps,
        files: ContentFiles,
        space: Space,
        held: HeldBytes,
        residents: dict[int, Content],
        is_pinned: Callable[[int], bool],
    ) -> None:
        self._rows = rows
        self._maps = maps
        self._files = files
        self._space = space
        self._held = held
        self._residents = residents
        self._is_pinned = is_pinned
        self._ends: dict[int, trio.Event] = {}

    async def free(self, count: int) -> None:
        """Evict until `count` bytes are freed, and a little more, or nothing is left that may go."""
        target = max(count, min(_AT_LEAST_BYTES, self._space.size // 16))
        chosen: list[ContentRow] = []
        for row in self._candidates():
            chosen.append(row)
            target -= row.held_bytes
            if target <= 0:
                break
        await self.remove([_shell(row) for row in chosen], freed=sum(row.held_bytes for row in chosen))

    def evictable(self, enough: int, *, but: int) -> int:
        """How many bytes of others than the inode `but` may go, counted until they are `enough`."""
        total = 0
        for row in self._candidates():
            if row.inode != but:
                total += row.held_bytes
            if total >= enough:
                break
        return total

    async def discard(self, *inodes: int) -> None:
        """Take away clean contents that nobody uses, pinned or not. TryAgain where one is dirty."""
        if any(self._rows.is_dirty(inode) for inode in inodes):
            raise TryAgain("the file has changes that are not in the cloud yet")
        await self.forget(*inodes)

    async def forget(self, *inodes: int) -> None:
        """Take away contents that nobody uses, whatever they are: their entries are gone."""
        rows = [row for inode in inodes if (row := self._rows.load(inode)) is not None]
        if rows:
            await self.remove([_shell(row) for row in rows], freed=sum(row.held_bytes for row in rows))

    async def over(self, inode: int) -> None:
        """Return once the eviction of an inode has ended."""
        if (end := self._ends.get(inode)) is not None:
            await end.wait()

    async def remove(self, shells: Sequence[Content], *, freed: int) -> None:
        """Mark, delete the rows in one commit, then unlink in a thread. Shielded.

        shells: name inode and file; they stand in `residents` until it is over, so that nobody loads a
        row that is about to go. freed: bytes that the disk gets back.
        Where the commit fails nothing was taken away, and its error is raised.
        """
        for shell in shells:
            shell.leave()
            self._residents[shell.inode] = shell
            self._ends[shell.inode] = trio.Event()
        try:
            with trio.CancelScope(shield=True):
                await self._maps.forget([shell.inode for shell in shells])
                await trio.to_thread.run_sync(
                    self._unlink, [shell.file_id for shell in shells if shell.file_id]
                )
            self._space.gave(freed)
        finally:
            for shell in shells:
                shell.gone()
                self._held.forget(shell.inode)
                del self._residents[shell.inode]
                self._ends.pop(shell.inode).set()

    def _candidates(self) -> Iterator[ContentRow]:
        """Rows that may go, the longest unused first."""
        after = (-1, -1)
        while rows := self._rows.least_recently_used(_PAGE, after):
            for row in rows:
                if row.inode not in self._residents and not self._is_pinned(row.inode):
                    yield row
            after = (rows[-1].last_use_ms, rows[-1].inode)

    def _unlink(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                self._files.unlink(name)
            except OSError as error:
                # It has no row any more: the sweep of the next start finds it.
                log.warning("cache file %s can't be removed (%s)", name, os.strerror(error.errno or 0))


def _shell(row: ContentRow) -> Content:
    """A content that only says which file goes."""
    return Content(row.inode, row.version, file_id=row.file)
