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
from cloudfs.model.errors import CloudfsError, LocalIOError
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
        Of a dirty content the file is what counts: its length is the size, and where it can't be opened
        LocalIOError is raised, as nothing else has what it holds.
        """
        row = self._rows.load(inode)
        if row is None:
            return None
        content = content_of(row)
        try:
            content.fd, length = self._files.open(row.file)
        except OSError as error:
            if row.dirty:
                raise LocalIOError(f"cache file {row.file} can't be opened ({error.strerror})") from error
            log.warning("cache file %s of inode %d can't be opened (%s)", row.file, inode, error.strerror)
            content.clip(0)
            content.file_id = None
            return content
        content.durable = row.durable
        fit(content, length)
        return content

    def note(self, content: Content, count: int) -> None:
        """`count` bytes came that no row knows of yet.

        What the cloud adds to a dirty content waits until it is settled, where its row tells of bytes that
        survive power loss: a row that does not may not take its place.
        """
        if content.is_dirty and content.durable:
            return
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
        rows = [self.row(content, durable) for content in saved]
        for content in saved:
            content.unsaved, content.durable = False, durable
            self._unsaved.discard(content)
        try:
            with trio.CancelScope(shield=True):
                await self._rows.upsert(rows, durable=durable)
        except CloudfsError:
            for content in saved:
                content.durable = False
                self.lost(content)
            raise
        for content, row in zip(saved, rows, strict=True):
            content.has_row = True
            content.row_survives = durable and row.whole

    def lost(self, content: Content) -> None:
        """What it was to be committed with was not committed: it is still to be saved."""
        content.unsaved = True
        self._unsaved.add(content)
        self._something.set()

    async def sync(self, content: Content) -> None:
        """Make what is held survive power loss: fdatasync(2) in a thread, then the row that says so.

        Raises LocalStorageFull, LocalIOError; the map then is as durable as before.
        """
        while content.fd is not None and not content.detached and (content.unsaved or not content.durable):
            before, edits = content.held.copy(), content.edits
            with trio.CancelScope(shield=True):
                await self.sync_file(content)
            if content.changers:
                self.note(content, 0)  # who changes it commits more than this
                return
            # What changed meanwhile is not covered by that fdatasync.
            is_covered = content.held == before and content.edits == edits
            if is_covered or not (content.is_dirty and content.durable):
                await self.save([content], durable=is_covered)
                return

    async def keep(self, content: Content) -> None:
        """Commit the map, where the row tells of bytes that survive power loss by another such row.

        Raises LocalStorageFull, LocalIOError; the map then counts as unsaved as before.
        """
        if content.is_dirty and content.durable:
            await self.sync(content)
        else:
            await self.save([content])

    async def sync_file(self, content: Content) -> None:
        """The cache file as it is at this moment survives power loss, under its name. LocalIOError."""
        assert content.fd is not None and content.file_id is not None  # noqa: PT018
        try:
            await trio.to_thread.run_sync(self._sync_file, content.fd, content.file_id, content.is_placed)
            content.is_placed = True
        except OSError as error:
            raise LocalIOError(f"the cache file can't be synced ({error.strerror})") from error

    def _sync_file(self, fd: int, file_id: str, is_placed: bool) -> None:
        os.fdatasync(fd)
        if not is_placed:
            self._files.sync_names([file_id])

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
            # Who is about to change a content commits it as well, and better informed.
            ready = [content for content in self._unsaved if not content.changers]
            if ready:
                await self.save(ready)
            if self._unsaved:
                self._something.set()
            if uses:
                await self._rows.touch(uses.items())
        except CloudfsError as error:
            log.warning("what the cache holds can't be recorded: %s", error.reason)
            self._uses = uses | self._uses
            self._something.set()
            return False
        return True

    def row(self, content: Content, durable: bool) -> ContentRow:
        """The content as it is at this moment. It has a cache file."""
        assert content.file_id is not None
        if content.is_dirty and content.fd is not None and not content.unflushed:
            content.written_ns = os.fstat(content.fd).st_mtime_ns
        base, (ranges, held_bytes) = content.version, map_of(content)
        return ContentRow(
            inode=content.inode,
            file=content.file_id,
            size=content.size,
            etag=base.etag if base is not None else None,
            mtime_ns=base.mtime_ns if base is not None else None,
            ranges=ranges,
            held_bytes=held_bytes,
            whole=content.is_whole,
            durable=durable,
            boot_id=self._boot_id,
            last_use_ms=_now_ms(),
            dirty=content.is_dirty,
            base_size=base.size if base is not None else None,
            written_ns=content.written_ns,
        )


def content_of(row: ContentRow) -> Content:
    """The content that a row tells of; its file was not looked at.

    Where the map is damaged nothing is held. A dirty content then can't be told from its base any more:
    none of it is read, and none of it goes to the cloud.
    """
    size = row.size if row.dirty else None
    try:
        held = RangeSet([(0, row.size)]) if row.whole else RangeSet.from_bytes(row.ranges)
        content = Content(row.inode, row.version, held, row.file, size=size)
    except ValueError as error:
        log.error("the map of inode %d is damaged (%s)", row.inode, error)
        content = Content(row.inode, row.version, file_id=row.file, size=size)
        content.is_stale = row.dirty
    content.has_row = True
    content.is_placed = row.durable
    content.row_survives = row.durable and row.whole
    content.written_ns = row.written_ns
    return content


def map_of(content: Content) -> tuple[bytes, int]:
    """The map as a row keeps it, and how many bytes it claims."""
    return b"" if content.is_whole else content.held.to_bytes(), content.held_bytes


def fit(content: Content, length: int) -> None:
    """The cache file turned out to be of this length."""
    if not content.is_dirty:
        if lost := content.clip(length):
            log.warning("cache file %s is damaged: %d bytes lost", content.file_id, lost)
    elif length != content.size:
        content.resize(length, time.time_ns())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
