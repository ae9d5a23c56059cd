"""A program at work in a mount until its daemon dies: `python -m tests.crash.load FOLDER JOURNAL SEED`.

The journal lies outside of the mount. A line before each operation says what is begun, a line after its
last system call has returned says that it was acknowledged.
"""

from __future__ import annotations

import errno
import json
import os
import random
import sys

from tests.crash.operations import (
    Cut,
    MakeFolder,
    Operation,
    RemoveFolder,
    Rename,
    Unlink,
    Write,
    to_json,
)

DEAD = {errno.ENOTCONN, errno.ECONNABORTED}  # what is met once the daemon is gone
FILES_MOST, FOLDERS_MOST = 40, 8
LARGE, SMALL = 800_000, 20_000


class Choices:
    """The next operation, by chance, of those that the tree of this moment allows."""

    def __init__(self, sizes: dict[str, int | None], seed: int) -> None:
        """sizes: what is there, a path -> its size, None for a folder."""
        self._sizes = sizes
        self._random = random.Random(seed)

    def next(self) -> Operation:
        choose = self._random.choices
        kinds = (
            self._save,
            self._patch,
            self._rename,
            self._unlink,
            self._cut,
            self._folder,
            self._move_folder,
        )
        while True:
            (kind,) = choose(kinds, (8, 4, 4, 4, 1, 2, 1))
            if (operation := kind()) is not None:
                self._note(operation)
                return operation

    def _files(self) -> list[str]:
        return [path for path, size in self._sizes.items() if size is not None]

    def _folders(self) -> list[str]:
        return [path for path, size in self._sizes.items() if size is None]

    def _new_path(self) -> str:
        name = f"{self._random.randrange(30)}.bin"
        folder = self._random.choice(["", *self._folders()])
        return f"{folder}/{name}" if folder else name

    def _size(self) -> int:
        return self._random.randrange(LARGE if self._random.random() < 0.1 else SMALL)

    def _save(self) -> Operation | None:
        path = self._new_path()
        if len(self._files()) >= FILES_MOST and path not in self._sizes:
            return None
        how = self._random.random()
        seed = self._random.randrange(1 << 30)
        return Write(path, 0, seed, self._size(), cut=True, syncs=how < 0.2, closes=how < 0.95)

    def _patch(self) -> Operation | None:
        if not (files := self._files()):
            return None
        path = self._random.choice(files)
        size = self._sizes[path] or 0
        offset = size if self._random.random() < 0.5 else self._random.randrange(size + 1000)
        seed = self._random.randrange(1 << 30)
        return Write(path, offset, seed, self._size(), cut=False, syncs=self._random.random() < 0.2)

    def _rename(self) -> Operation | None:
        if not (files := self._files()):
            return None
        source, target = self._random.choice(files), self._new_path()
        return Rename(source, target) if source != target else None

    def _unlink(self) -> Operation | None:
        return Unlink(self._random.choice(files)) if (files := self._files()) else None

    def _cut(self) -> Operation | None:
        if not (files := self._files()):
            return None
        path = self._random.choice(files)
        return Cut(path, self._random.randrange((self._sizes[path] or 0) + 2000))

    def _folder(self) -> Operation | None:
        folders = self._folders()
        empty = [f for f in folders if not any(path.startswith(f"{f}/") for path in self._sizes)]
        if empty and self._random.random() < 0.5:
            return RemoveFolder(self._random.choice(empty))
        return MakeFolder(self._new_folder()) if len(folders) < FOLDERS_MOST else None

    def _new_folder(self) -> str:
        free = (f"folder {n}" for n in range(10_000) if f"folder {n}" not in self._sizes)
        above = self._random.choice(["", *(f for f in self._folders() if "/" not in f)])
        name = next(free)
        return f"{above}/{name}" if above and f"{above}/{name}" not in self._sizes else name

    def _move_folder(self) -> Operation | None:
        if not (folders := self._folders()):
            return None
        source, target = self._random.choice(folders), self._new_folder()
        return Rename(source, target) if not target.startswith(f"{source}/") else None

    def _note(self, operation: Operation) -> None:
        """Keep the sizes in step with what is about to be done."""
        match operation:
            case Write():
                old = 0 if operation.cut else self._sizes.get(operation.path) or 0
                end = operation.offset + operation.size if operation.size else 0
                self._sizes[operation.path] = max(old, end)
            case Cut():
                self._sizes[operation.path] = operation.size
            case MakeFolder():
                self._sizes[operation.path] = None
            case Unlink() | RemoveFolder():
                del self._sizes[operation.path]
            case Rename():
                self._sizes = {path: size for path, size in self._moved(operation) if path is not None}

    def _moved(self, operation: Rename) -> list[tuple[str, int | None]]:
        source, target = operation.source, operation.target
        moved, kept = [], []
        for path, size in self._sizes.items():
            if path == source or path.startswith(f"{source}/"):
                moved.append((target + path[len(source) :], size))
            elif path != target:
                kept.append((path, size))
        return kept + moved


def sizes_below(top: int) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for folder, folders, files, fd in os.fwalk(".", dir_fd=top):
        at = os.path.relpath(folder, ".")
        head = "" if at == "." else f"{at}/"
        found.update({head + name: None for name in folders})
        found.update({head + name: os.stat(name, dir_fd=fd).st_size for name in files})
    return found


def main(folder: str, journal: str, seed: str) -> None:
    top = os.open(folder, os.O_RDONLY)
    log = os.open(journal, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        choices = Choices(sizes_below(top), int(seed))
        while True:
            operation = choices.next()
            os.write(log, json.dumps(to_json(operation)).encode() + b"\n")
            operation.do(top)
            os.write(log, b"done\n")
    except OSError as error:
        if error.errno not in DEAD:
            raise


if __name__ == "__main__":
    main(*sys.argv[1:])
