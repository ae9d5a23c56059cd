"""What is in the cache comes to survive power loss by itself, a little later and many files at a time.

Neither a close nor an upload waits for the disk. Without this, after another boot, what was fetched would be
fetched again, and what programs wrote could only go up as a conflict copy (DESIGN 8.2).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence

import trio

from cloudfs.cache.files import ContentFiles
from cloudfs.database.contents import ContentRow, Contents
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

EVERY_S = 5.0
_AT_ONCE = 256


class Safekeeping:
    """Syncs cache files behind their users, then lets their rows say so. boot_id: of the running machine.

    Invariant: a row is called durable only as it was when its file was synced; one that changed meanwhile
    is left to the next time.
    """

    def __init__(self, rows: Contents, files: ContentFiles, boot_id: str) -> None:
        self._rows = rows
        self._files = files
        self._boot_id = boot_id
        self._noted: set[int] = set()
        self._something = trio.Event()

    def note(self, inode: int) -> None:
        """The committed content of an inode may not be safe yet."""
        self._noted.add(inode)
        self._something.set()

    async def run(self) -> None:
        """Go through what was noted every few seconds, until cancelled."""
        for inode in self._rows.not_durable(self._boot_id):
            self.note(inode)
        while True:
            await self._something.wait()
            await trio.sleep(EVERY_S)
            noted, self._noted, self._something = self._noted, set(), trio.Event()
            waiting = sorted(noted)
            for start in range(0, len(waiting), _AT_ONCE):
                await self._keep(waiting[start : start + _AT_ONCE])

    async def _keep(self, inodes: Sequence[int]) -> None:
        rows = [row for inode in inodes if (row := self._rows.load(inode)) is not None and not row.durable]
        try:
            with trio.CancelScope(shield=True):
                safe = await trio.to_thread.run_sync(self._sync, rows)
                if safe:
                    await self._rows.mark_durable(safe)
        except (OSError, CloudfsError) as error:
            log.warning("%d cached files are not safe from power loss yet (%s)", len(rows), error)
            for row in rows:
                self.note(row.inode)

    def _sync(self, rows: Iterable[ContentRow]) -> list[ContentRow]:
        """Sync the files, and their names; returns the rows of which the disk has all. In a thread."""
        synced = [row for row in rows if self._sync_file(row)]
        self._files.sync_names(row.file for row in synced)
        return synced

    def _sync_file(self, row: ContentRow) -> bool:
        try:
            fd, _ = self._files.open(row.file)
            try:
                os.fdatasync(fd)
                return not row.dirty or os.fstat(fd).st_mtime_ns == row.written_ns
            finally:
                os.close(fd)
        except FileNotFoundError:
            return False  # it was dropped a moment ago
        except OSError as error:  # it holds up no other, and another try would hardly help
            log.warning("cache file %s can't be made safe from power loss (%s)", row.file, error.strerror)
            return False
