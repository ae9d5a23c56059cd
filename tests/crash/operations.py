"""What the load does to a tree: each operation as data, as system calls, and as what it may leave behind.

`do` carries it out below an open folder, `after` is the tree once that has returned, and `explains` tells
whether a tree may be what is there if it was begun and never acknowledged.

Paths are relative to one folder, which a worker holds open: after the daemon's death it leads nowhere,
while its name would lead to what lies below the mountpoint.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Tree = Mapping[str, bytes | None]  # a path -> its content, None for a folder
CHUNK = 64 * 1024  # bytes of one write(2)
PAGE = 4096


def made_of(seed: int, size: int) -> bytes:
    """Content that worker and checker make alike."""
    return random.Random(seed).randbytes(size)


class _Whole:
    """What happens at once or not at all."""

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        raise NotImplementedError

    def explains(self, before: Tree, found: Tree) -> bool:
        return found in (before, self.after(before))


@dataclass(frozen=True, slots=True)
class Write:
    """Write data at an offset of a file, made if it is missing, and close it; cut: emptied first.

    syncs: fsync before it counts as done. Without `closes` the file stays open for writing: then it
    counts from its fsync on.
    """

    path: str
    offset: int
    seed: int
    size: int
    cut: bool
    syncs: bool
    closes: bool = True

    def do(self, top: int) -> None:
        flags = os.O_CREAT | os.O_WRONLY | (os.O_TRUNC if self.cut else 0)
        fd = os.open(self.path, flags, 0o644, dir_fd=top)
        data = made_of(self.seed, self.size)
        for start in range(0, self.size, CHUNK):
            os.pwrite(fd, data[start : start + CHUNK], self.offset + start)
        if self.syncs or not self.closes:
            os.fsync(fd)
        if self.closes:
            os.close(fd)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        return {**tree, self.path: self._written(tree, self.size)}

    def explains(self, before: Tree, found: Tree) -> bool:
        if self.path not in found:
            return found == before
        others = {name: data for name, data in before.items() if name != self.path}
        if {name: data for name, data in found.items() if name != self.path} != others:
            return False
        pages = range(-self.offset % PAGE, self.size, PAGE)  # where the kernel may split a write
        begun = (self.size, *range(0, self.size, CHUNK), *pages)
        return found[self.path] == before.get(self.path) or any(
            found[self.path] == self._written(before, done) for done in begun
        )

    def _written(self, tree: Tree, done: int) -> bytes:
        """The file after so many bytes of it."""
        old = b"" if self.cut else tree.get(self.path) or b""
        if done == 0:
            return old
        head = old[: self.offset].ljust(self.offset, b"\0")
        return head + made_of(self.seed, self.size)[:done] + old[self.offset + done :]


@dataclass(frozen=True, slots=True)
class Cut(_Whole):
    """truncate(2): cuts, or makes longer by zeros."""

    path: str
    size: int

    def do(self, top: int) -> None:
        fd = os.open(self.path, os.O_WRONLY, dir_fd=top)
        os.ftruncate(fd, self.size)
        os.close(fd)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        return {**tree, self.path: (tree[self.path] or b"")[: self.size].ljust(self.size, b"\0")}


@dataclass(frozen=True, slots=True)
class Rename(_Whole):
    """rename(2) of a file over whatever file is there, or of a folder to a free name."""

    source: str
    target: str

    def do(self, top: int) -> None:
        os.rename(self.source, self.target, src_dir_fd=top, dst_dir_fd=top)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        below = f"{self.source}/"
        moved = {
            self.target + name[len(self.source) :]: data
            for name, data in tree.items()
            if name == self.source or name.startswith(below)
        }
        kept = {
            name: data for name, data in tree.items() if name != self.source and not name.startswith(below)
        }
        return kept | moved


@dataclass(frozen=True, slots=True)
class Unlink(_Whole):
    path: str

    def do(self, top: int) -> None:
        os.unlink(self.path, dir_fd=top)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        return {name: data for name, data in tree.items() if name != self.path}


@dataclass(frozen=True, slots=True)
class MakeFolder(_Whole):
    path: str

    def do(self, top: int) -> None:
        os.mkdir(self.path, dir_fd=top)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        return {**tree, self.path: None}


@dataclass(frozen=True, slots=True)
class RemoveFolder(_Whole):
    """rmdir(2) of an empty one."""

    path: str

    def do(self, top: int) -> None:
        os.rmdir(self.path, dir_fd=top)

    def after(self, tree: Tree) -> dict[str, bytes | None]:
        return {name: data for name, data in tree.items() if name != self.path}


Operation = Write | Cut | Rename | Unlink | MakeFolder | RemoveFolder
KINDS: dict[str, type[Operation]] = {
    kind.__name__: kind for kind in (Write, Cut, Rename, Unlink, MakeFolder, RemoveFolder)
}


def to_json(operation: Operation) -> dict[str, Any]:
    return {"kind": type(operation).__name__, **asdict(operation)}


def from_json(told: Mapping[str, Any]) -> Operation:
    fields = {key: value for key, value in told.items() if key != "kind"}
    return KINDS[told["kind"]](**fields)
