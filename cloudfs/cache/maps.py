"""The committed side of contents: their rows, loaded when a file is opened and saved in batches.

Invariants: a row never claims a byte that was not written before (DESIGN 7.1); bytes are written first and
claimed later, and given up first and freed later, so a crash loses the end of a map and nothing else.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Sequence

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.files import ContentFiles
from cloudfs.database.contents import ContentRow, Contents
from cloudfs.model.errors import CloudfsError
from cloudfs.model.ranges import RangeSet

log = logging.getLogger(__name__)

SAVE_AFTER_S = 0.5
SAVE_AFTER_BYTES = 8 * 1024 * 1024
_RETRY_S = 5.0


class Maps:
    """Rows of `contents` as Content objects and back. boot_id: of the running machine."""

    def __init__(self, rows: Contents, files: ContentFiles, boot_id: str) -> None:
        self._rows = rows
        self._files = files
        self._boot_id = boot_id
        self._unsaved: set[Content] = set()
        self._unsaved_bytes = 0
        self._uses: dict[int, int] = {}
        self._something = trio.Event()
        self._plenty = trio.Event()

    def load(self, inode: int) -> Content | None:
        """What the database says of an inode, checked against the cache file; None where it says nothing.

        A file that is shorter than claimed, or missing, loses the claims: those bytes are fetched again.
        """
        row = self._rows.load(inode)
        if row is None:
            return None
        content = Content(inode, row.version, _held(row), row.file)
        try:
            content.fd, length = self._files.open(row.file)
        except OSError as error:
            log.warning("cache file %s of inode %d can't be opened (%s)", row.file, inode, error.strerror)
            content.clip(0)
            content.file_id = None
            return content
        content.durable = row.durable
        if lost := content.clip(length):
            log.warning("cache file %s of inode %d is damaged: %d bytes lost", row.file, inode, lost)
        return content

    def note(self, content: Content, count: int) -> None:
        """`count` bytes came that no row knows of yet."""
        self._unsaved.add(content)
        self._unsaved_bytes += count
        self._something.set()
        if self._unsaved_bytes >= SAVE_AFTER_BYTES:
            self._plenty.set()

    def used(self, inode: int) -> None:
        """The last user of a content without changes has gone."""
        self._uses[inode] = _now_ms()
        self._something.set()

    async def save(self, contents: Iterable[Content], *, durable: bool = False) -> None:
        """Commit the maps as they are at this moment. durable: their bytes were synced.

        Shielded. A detached content has no row, one without a file has nothing to claim. Raises
        LocalStorageFull, LocalIOError; the maps then count as unsaved as before.
        """
        saved = [content for content in contents if content.file_id is not None and not content.detached]
        rows = [self._row(content, content.file_id or "", durable) for content in saved]
        for content in saved:
            content.unsaved, content.durable = False, durable
            self._unsaved.discard(content)
        try:
            with trio.CancelScope(shield=True):
                await self._rows.upsert(rows, durable=durable)
        except CloudfsError:
            for content in saved:
                content.unsaved, content.durable = True, False
                self._unsaved.add(content)
            raise

    async def sync(self, content: Content) -> None:
        """Make what is held survive power loss: fdatasync(2) in a thread, then the row that says so.

        Raises LocalStorageFull, LocalIOError, OSError; the map then is as durable as before.
        """
        if content.fd is None or content.detached or content.durable:
            return
        before = content.held.copy()
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(os.fdatasync, content.fd)
        # What changed meanwhile is not covered by that fdatasync.
        await self.save([content], durable=content.held == before)

    async def forget(self, inodes: Sequence[int]) -> None:
        """Delete rows; shielded."""
        for inode in inodes:
            self._uses.pop(inode, None)
        with trio.CancelScope(shield=True):
            await self._rows.delete(inodes)

    def drop(self, content: Content) -> None:
        """Nothing of it is to be saved any more."""
        self._unsaved.discard(content)

    async def run(self) -> None:
        """Commit what is unsaved every half second, or as soon as there is plenty; once more at the end."""
        try:
            while True:
                await self._something.wait()
                with trio.move_on_after(SAVE_AFTER_S):
                    await self._plenty.wait()
                if not await self._save_all():
                    await trio.sleep(_RETRY_S)
        finally:
            with trio.CancelScope(shield=True):
                await self._save_all()

    async def _save_all(self) -> bool:
        """Commit what there is. Returns whether that went well; else it stays to be done."""
        self._something, self._plenty, self._unsaved_bytes = trio.Event(), trio.Event(), 0
        uses, self._uses = self._uses, {}
        try:
            if self._unsaved:
                await self.save(list(self._unsaved))
            if uses:
                await self._rows.touch(uses.items())
        except CloudfsError as error:
            log.warning("what the cache holds can't be recorded: %s", error.reason)
            self._uses = uses | self._uses
            self._something.set()
            return False
        return True

    def _row(self, content: Content, file_id: str, durable: bool) -> ContentRow:
        return ContentRow(
            inode=content.inode,
            file=file_id,
            size=content.size,
            etag=content.version.etag,
            mtime_ns=content.version.mtime_ns,
            ranges=b"" if content.is_whole else content.held.to_bytes(),
            held_bytes=content.held_bytes,
            whole=content.is_whole,
            durable=durable,
            boot_id=self._boot_id,
            last_use_ms=_now_ms(),
        )


def _held(row: ContentRow) -> RangeSet:
    if row.whole:
        return RangeSet([(0, row.size)])
    try:
        return RangeSet.from_bytes(row.ranges)
    except ValueError as error:
        log.warning("the map of inode %d is damaged (%s)", row.inode, error)
        return RangeSet()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
