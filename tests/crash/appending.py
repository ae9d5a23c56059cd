"""A program that only ever adds: `python -m tests.crash.appending FOLDER JOURNAL SEED NAME`.

It appends tokens to files, makes files and folders, and renames both to names that are free; it never
removes or writes over anything. So each token that it was acknowledged must be in the cloud in the end,
whatever another device did at the same time. The journal, outside of the mount, has a line for each.
"""

from __future__ import annotations

import ctypes
import errno
import os
import random
import sys
import time

from tests.crash.load import DEAD

CROSSED = {errno.ENOENT, errno.EEXIST, errno.EIO}  # moved, made, or replaced while it was read
RENAME_NOREPLACE = 1  # renameat2(2)
FILES_MOST = 25
PAUSE_S = 0.02  # a busy program would only slow the other one

_libc = ctypes.CDLL(None, use_errno=True)


def rename(top: int, source: str, target: str) -> None:
    """To a name that must be free."""
    paths = os.fsencode(source), os.fsencode(target)
    if _libc.renameat2(top, paths[0], top, paths[1], RENAME_NOREPLACE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), source)


class Program:
    """One device's user."""

    def __init__(self, top: int, journal: int, seed: int, name: str) -> None:
        self._top = top
        self._journal = journal
        self._random = random.Random(seed)
        self._name = name
        self._tokens = 0
        self._held: list[int] = []  # files kept open

    def act(self) -> None:
        """One thing, by chance. OSError of CROSSED where the other device was there first."""
        files, folders = self._look()
        act = self._random.choices(
            (self._append, self._move_file, self._move_folder, self._make), (8, 2, 1, 1)
        )
        act[0](files, folders)

    def _look(self) -> tuple[list[str], list[str]]:
        files, folders = [], []
        for folder, below, names, _ in os.fwalk(".", dir_fd=self._top):
            files += [os.path.join(folder, name) for name in names]
            folders += [os.path.join(folder, name) for name in below]
        return files, folders

    def _append(self, files: list[str], folders: list[str]) -> None:
        is_new = not files or (len(files) < FILES_MOST and self._random.random() < 0.2)
        path = self._free("file", folders) if is_new else self._random.choice(files)
        token = f"{self._name} {self._tokens}\n".encode()
        self._tokens += 1
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o644, dir_fd=self._top)
        try:
            while os.read(fd, 1 << 20):
                pass  # what was not fetched when the other device changes the file is lost to this one
            os.write(fd, token)
            if self._random.random() < 0.1:
                os.fsync(fd)
        finally:
            if self._random.random() < 0.05:
                os.fsync(fd)
                self._held.append(fd)
            else:
                os.close(fd)
        if len(self._held) > 3:
            os.close(self._held.pop(0))
        os.write(self._journal, token)

    def _move_file(self, files: list[str], folders: list[str]) -> None:
        if files:
            rename(self._top, self._random.choice(files), self._free("moved", folders))

    def _move_folder(self, files: list[str], folders: list[str]) -> None:
        if folders:
            source = self._random.choice(folders)
            others = [folder for folder in folders if not f"{folder}/".startswith(f"{source}/")]
            rename(self._top, source, self._free("folder", others))

    def _make(self, files: list[str], folders: list[str]) -> None:
        if len(folders) < 6:
            os.mkdir(self._free("folder", [f for f in folders if f.count("/") < 3]), dir_fd=self._top)

    def _free(self, what: str, folders: list[str]) -> str:
        """A name that may well be chosen by the other device too."""
        return f"{self._random.choice(['.', *folders])}/{what} {self._random.randrange(40)}"


def main(folder: str, journal: str, seed: str, name: str) -> None:
    top = os.open(folder, os.O_RDONLY)
    log = os.open(journal, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    program = Program(top, log, int(seed), name)
    try:
        while True:
            try:
                program.act()
            except OSError as error:
                if error.errno not in CROSSED:
                    raise
            time.sleep(PAUSE_S)
    except OSError as error:
        if error.errno not in DEAD:
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
