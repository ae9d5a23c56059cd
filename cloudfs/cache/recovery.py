"""What an earlier end left in the cache: put right before anything is opened, and swept in the background.

A dirty content is as long as its cache file, whatever its row says; of what lies between, only what was
committed counts as written. Files that no row knows are removed, but for those that were dirty: they are
kept where the user can find them.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import trio

from cloudfs.cache.directory import RECOVERED_NAME
from cloudfs.cache.files import ContentFiles
from cloudfs.cache.maps import content_of, fit, map_of
from cloudfs.cache.tags import PathTags
from cloudfs.database.contents import ContentRow, Contents, Recovered
from cloudfs.model.entry import NAME_MAX
from cloudfs.model.errors import LocalIOError

log = logging.getLogger(__name__)

_ID_LENGTH = 8  # of a file's random name; enough to tell files of one name apart


class Recovery:
    """The start of the cache under one directory. boot_id: of the running machine."""

    def __init__(
        self, directory: Path, rows: Contents, files: ContentFiles, tags: PathTags, boot_id: str
    ) -> None:
        self._directory = directory
        self._rows = rows
        self._files = files
        self._tags = tags
        self._boot_id = boot_id

    async def settle(self) -> list[int]:
        """Let rows, entries and cache files agree; nothing else may use them yet.

        Where no row is left, as the database was lost, the sweep comes first: who mounts is told of what it
        recovered.
        Returns the inodes whose dirty content the machine may have lost a part of, as it went down before
        the bytes were synced. Raises LocalIOError, LocalStorageFull.
        """
        if lost := await self._rows.forget_unsynced(self._boot_id):
            log.warning("the machine went down before %d cached files were safe: fetched again", lost)
        dirty = self._rows.dirty()
        await self._remove([row for row, size in dirty if size is None])
        found: list[Recovered] = []
        missing: list[int] = []
        kept = [(row, size) for row, size in dirty if size is not None]
        for row, size in kept:
            try:
                recovered = self._examined(row, size)
            except FileNotFoundError:
                log.error("inode %d: the cache file with its changes is gone", row.inode)
                missing.append(row.inode)
                continue
            if recovered is not None:
                found.append(recovered)
        if found or missing:
            await self._rows.recover(found, missing, time.time_ns())
        if not self._rows.totals().files:
            await self.sweep(lambda: ())
        return [row.inode for row, _ in kept if not row.durable and row.boot_id != self._boot_id]

    async def sweep(self, in_use: Callable[[], Collection[str]]) -> None:
        """Remove the files that no row knows: a crash came between the file and its row, or its end.

        in_use: names of files that may have no row yet. Dirty ones go to the folder of recovered files.
        """
        groups = self._files.groups()
        try:
            while (group := await trio.to_thread.run_sync(next, groups, None)) is not None:
                strays = set(group) - self._rows.known_files(group) - set(in_use())
                for name in strays:
                    await trio.to_thread.run_sync(self._put_away, name)
                if strays:
                    log.info("%d cache files without a record put away", len(strays))
        except OSError as error:
            log.warning("the cache directory can't be swept (%s)", error.strerror)

    def _examined(self, row: ContentRow, entry_size: int) -> Recovered | None:
        """What the cache file says; None where row and entry say the same. FileNotFoundError."""
        try:
            status = os.stat(self._files.path(row.file), follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LocalIOError(f"cache file {row.file} can't be read ({error.strerror})") from error
        mtime_ns = status.st_mtime_ns if status.st_mtime_ns > row.written_ns else None
        if status.st_size == row.size == entry_size and mtime_ns is None:
            return None
        content = content_of(row)
        fit(content, status.st_size)
        recovered = replace(row, size=content.size, written_ns=status.st_mtime_ns)
        if content.is_stale:
            return Recovered(recovered, mtime_ns)  # its map is damaged, and is to stay so
        ranges, held_bytes = map_of(content)
        recovered = replace(recovered, ranges=ranges, held_bytes=held_bytes, whole=content.is_whole)
        return Recovered(recovered, mtime_ns)

    async def _remove(self, rows: list[ContentRow]) -> None:
        """Content of what was removed, or was open without a name: row first, then the file."""
        if not rows:
            return
        await self._rows.delete([row.inode for row in rows])
        for row in rows:
            try:
                await trio.to_thread.run_sync(self._files.unlink, row.file)
            except OSError as error:
                log.warning("cache file %s can't be removed (%s)", row.file, error.strerror)

    def _put_away(self, name: str) -> None:
        path = self._files.path(name)
        tag = self._tags.of(path)
        if tag is None or not self._files.has_data(name):
            self._files.unlink(name)
            return
        folder = self._directory / RECOVERED_NAME
        folder.mkdir(mode=0o700, exist_ok=True)
        basename = tag.rpartition(b"/")[2][: NAME_MAX - _ID_LENGTH - 1]
        target = os.path.join(os.fsencode(folder), basename + b"-" + name[:_ID_LENGTH].encode())
        os.rename(path, target)
        log.warning("changes of %s that no record knows are kept as %s", tag, os.fsdecode(target))
