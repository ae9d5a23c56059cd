"""The cache files themselves: random names, in 256 folders, made with O_EXCL.

A file's name is 32 random hexadecimal digits, ab/cdef...; nothing from a server is ever part of a path.
More folders would cost more than the files: one that is made anew takes ten times as long as a file. Files
that are made one after the other go into the same folder, where a disk has them side by side.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from cloudfs.cache.hole import punch
from cloudfs.cache.spread import spread

FOLDER = "contents"
_NAMELESS = "nameless-"
_IN_A_ROW = 256
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DIGITS = frozenset("0123456789abcdef")


class ContentFiles:
    """The files below one cache directory. All methods raise OSError as the system calls do."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._created = 0
        self._shelf = ""
        self._placed: set[Path] = set()  # folders whose own names survive power loss

    def prepare(self) -> None:
        """The folder is there, and no nameless file of an earlier run in it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        spread(self._folder)
        for left in self._folder.glob(f"{_NAMELESS}*"):
            left.unlink()

    def path(self, file_id: str) -> Path:
        return self._folder / file_id[:2] / file_id[2:]

    def create(self) -> tuple[str, int]:
        """A new file: its name and a descriptor. It has no row yet."""
        if self._created % _IN_A_ROW == 0:
            self._shelf = secrets.token_hex(1)
        self._created += 1
        file_id = self._shelf + secrets.token_hex(15)
        path = self.path(file_id)
        try:
            return file_id, os.open(path, _NEW, 0o600)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return file_id, os.open(path, _NEW, 0o600)

    def create_nameless(self) -> int:
        """A descriptor of a file that goes with it: nothing is left of it after whatever end."""
        path = self._folder / f"{_NAMELESS}{secrets.token_hex(16)}"
        fd = os.open(path, _NEW, 0o600)
        os.unlink(path)
        return fd

    def sync_names(self, file_ids: Iterable[str]) -> None:
        """The files' names survive power loss (fsync(2): that of a new file takes a sync of its folder)."""
        folders = {self.path(file_id).parent for file_id in file_ids}
        for folder in folders:
            _sync_folder(folder)
        if not folders <= self._placed:
            _sync_folder(self._folder)
            self._placed |= folders

    def open(self, file_id: str) -> tuple[int, int]:
        """A descriptor and the file's size in bytes."""
        fd = os.open(self.path(file_id), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return fd, os.fstat(fd).st_size

    def has_data(self, file_id: str) -> bool:
        """Whether anything was ever written to it: it may be all hole (lseek(2), SEEK_DATA)."""
        fd, size = self.open(file_id)
        try:
            return size > 0 and os.lseek(fd, 0, os.SEEK_DATA) >= 0
        except OSError as error:
            if error.errno == errno.ENXIO:
                return False
            raise
        finally:
            os.close(fd)

    def unlink(self, file_id: str) -> None:
        """Gone after it, also where it was gone before."""
        with suppress(FileNotFoundError):
            os.unlink(self.path(file_id))

    def free(self, fd: int, start: int, stop: int) -> None:
        """Give the blocks of a range back to the disk."""
        punch(fd, start, stop)

    def groups(self) -> Iterator[list[str]]:
        """The names of all files, by folder; what is no cache file is left out."""
        for first in sorted(os.listdir(self._folder)):
            yield [first + rest for rest in _entries(self._folder / first) if _is_file_id(first + rest)]


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _entries(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_file_id(name: str) -> bool:
    return len(name) == 32 and _DIGITS.issuperset(name)
