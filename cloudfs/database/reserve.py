"""Disk space that is kept for the database alone: a full disk must keep nobody from saying that it is full.

Without it neither an eviction, nor a failure's cause, nor the end of a download could be committed once
the disk is full to the last byte, whoever filled it.
"""

from __future__ import annotations

import errno
import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_BYTES = 2 * 1024 * 1024
_LOOK_AGAIN_S = 1.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Reserve:
    """A file of blocks without content, beside the database; given up when that needs room.

    It survives the end of the process, so that a start on a full disk has it too. For the writer's thread.
    """

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + "-reserve")
        self._held = 0
        self._look_at = float("-inf")  # time.monotonic

    def release(self) -> None:
        """Give it all to the database. Never raises."""
        self._held = 0
        self._look_at = float("-inf")
        try:
            if self._path.exists():
                os.truncate(self._path, 0)
        except OSError as error:
            log.warning("the room kept for the database can't be given to it (%s)", error.strerror)

    def hold(self) -> None:
        """Take what lacks, as far as the disk has it; costs nothing while nothing lacks. Never raises."""
        if self._held == RESERVE_BYTES or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_AGAIN_S
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._grow(fd)
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("no room can be kept for the database (%s)", error.strerror)

    def _grow(self, fd: int) -> None:
        disk = os.fstatvfs(fd)
        wanted = min(RESERVE_BYTES, self._held + disk.f_bavail * disk.f_frsize)
        if wanted <= self._held:
            return
        try:
            os.posix_fallocate(fd, 0, wanted)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            os.ftruncate(fd, self._held)  # somebody was faster; some systems keep what they got so far
        else:
            self._held = wanted
