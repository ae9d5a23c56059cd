"""How many more bytes the cache may take: its configured size, and the disk less what is to stay free."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from cloudfs.model.errors import LocalIOError

_LOOK_AGAIN_S = 1.0  # others write to the disk too


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """used and size in bytes; files: how many have content in the cache."""

    used: int
    size: int
    files: int


class Space:
    """Counts what is used and what is promised.

    is_full: whether the disk is to count as full, whatever it says.
    used: bytes held, those of detached contents too. reserved: bytes that admitted downloads still bring.
    Invariant: both are never negative; whoever writes or frees bytes says so here in the same step.
    """

    def __init__(
        self, directory: Path, *, size: int, min_free: int, is_full: Callable[[], bool] = lambda: False
    ) -> None:
        self._directory = directory
        self._min_free = min_free
        self.is_full = is_full
        self._free = 0
        self._looked_at = float("-inf")
        self.size = size
        self.used = 0
        self.reserved = 0

    def room(self, own: int = 0) -> int:
        """Bytes that may be written at this moment by one who has `own` of the reserved ones.

        Below 0 where the cache, or the disk, is fuller than it should be.
        """
        promised = self.reserved - own
        return min(self.size - self.used, self._disk_free() - self._min_free) - promised

    def disk_room(self) -> int:
        """Bytes that the disk still takes, whatever the cache's own size: for what programs write."""
        return self._disk_free() - self._min_free

    def took(self, count: int) -> None:
        """Bytes were written."""
        self.used += count
        self._free -= count

    def gave(self, count: int) -> None:
        """Bytes were freed: punched or unlinked."""
        self.used -= count
        self.look_again()

    def look_again(self) -> None:
        """What was known of the disk is no longer true."""
        self._looked_at = float("-inf")

    def _disk_free(self) -> int:
        if self.is_full():
            return 0
        now = trio.current_time()
        if now - self._looked_at > _LOOK_AGAIN_S:
            try:
                disk = os.statvfs(self._directory)
            except OSError as error:
                raise LocalIOError(f"the cache directory is out of reach ({error.strerror})") from error
            self._free = disk.f_bavail * disk.f_frsize
            self._looked_at = now
        return self._free
