"""Open files and folders: what the kernel's small numbers stand for.

Invariants: a number names one thing at a time, over files and folders together; what is in a handle was
decided at open and never changes, but for what reads have met (`has_fetched`, `timed_out`) and for a
content that was put aside under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from cloudfs.cache.content import Content
from cloudfs.fuse.callers import Caller
from cloudfs.model.errors import CloudfsError


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A wait for the bytes [start, stop) timed out; until then (trio's clock) nobody waits for them again."""

    start: int
    stop: int
    until: float
    cause: CloudfsError


@dataclass(slots=True)
class FileHandle:
    """One open file.

    content: counted as a user of the store until release. It keeps its version when the name goes on
    to another inode.
    denied: the opener must never cause a download (`[hydration] deny`).
    caller: who opened it, for `hydrated_by`.
    writes: whether it may change the content; it is counted as a writer of it then.
    is_privileged: whether what it writes leaves the set-user-ID and set-group-ID bits (CAP_FSETID).
    has_fetched: whether it has caused a download yet.
    """

    inode: int
    content: Content
    denied: bool
    caller: Caller
    writes: bool = False
    is_privileged: bool = False
    has_fetched: bool = False
    timed_out: TimedOut | None = None

    def timeout_over(self, start: int, stop: int, now: float) -> CloudfsError | None:
        """The cause, where a wait for some of these bytes has just failed.

        A failing read comes twice, for the read-ahead and for the page itself; one deadline holds for both.
        """
        past = self.timed_out
        if past is None or now >= past.until or stop <= past.start or start >= past.stop:
            return None
        return past.cause


@dataclass(frozen=True, slots=True)
class FolderHandle:
    """One open folder."""

    inode: int


class Handles:
    """The open files and folders of one mount, by number."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._files: dict[int, FileHandle] = {}
        self._folders: dict[int, FolderHandle] = {}

    def __len__(self) -> int:
        return len(self._files) + len(self._folders)

    def add_file(self, handle: FileHandle) -> int:
        number = next(self._numbers)
        self._files[number] = handle
        return number

    def add_folder(self, handle: FolderHandle) -> int:
        number = next(self._numbers)
        self._folders[number] = handle
        return number

    def file(self, number: int) -> FileHandle:
        return self._files[number]

    def folder(self, number: int) -> FolderHandle:
        return self._folders[number]

    def remove_file(self, number: int) -> FileHandle:
        return self._files.pop(number)

    def remove_folder(self, number: int) -> FolderHandle:
        return self._folders.pop(number)

    def clear(self) -> list[FileHandle]:
        """Take all away; the files that were open. The kernel is gone without releasing them."""
        files = list(self._files.values())
        self._files.clear()
        self._folders.clear()
        return files
