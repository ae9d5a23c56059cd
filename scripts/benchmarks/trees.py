"""The files that the measures read, each tree made when the first measure asks for it.

Names and sizes are all that a listing shows, so trees of many files are hard links to a few.
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
DATA = "data"
EMPTY = "empty"  # the tree that is written to
LINKS_EACH = 10_000  # ext4 ends at 65,000 links to one file


@dataclass(frozen=True, slots=True)
class Scale:
    """How much a run reads: as the targets say, or a quick look."""

    large_bytes: int = 1 << 30
    flat_files: int = 10_000
    deep_folders: int = 50
    deep_files: int = 100
    many_folders: int = 100
    many_files: int = 1_000
    random_reads: int = 100
    written_bytes: int = 256 << 20
    small_files: int = 1_000
    uploads: int = 300
    commits: int = 1_000

    @property
    def deep_entries(self) -> int:
        """Lines that `find` prints for the deep tree, its root included."""
        return 1 + self.deep_folders * (1 + self.deep_files)

    @property
    def many_entries(self) -> int:
        """The same for the tree of many files."""
        return 1 + self.many_folders * (1 + self.many_files)


QUICK = Scale(
    large_bytes=256 << 20,
    many_folders=20,
    random_reads=30,
    written_bytes=64 << 20,
    small_files=300,
    uploads=100,
    commits=200,
)


class Trees:
    """Makes what is asked for below `root`, once.

    Each tree is mounted by itself and lies in its folder `data`, so that what a mount lists in the
    background is the same whichever other figures are taken.
    """

    def __init__(self, root: Path, scale: Scale) -> None:
        self.root = root
        self.scale = scale
        root.mkdir()
        (root / "probe").write_bytes(b"p" * 4096)

    def make(self, name: str) -> None:
        """Make one of `large`, `medium`, `flat`, `deep`, `many`, `empty`, unless it is there."""
        folder = self.root / name / DATA
        if folder.exists():
            return
        folder.mkdir(parents=True)
        scale = self.scale
        match name:
            case "empty":
                (self.root / name).chmod(0o777)  # Apache writes as www-data
                folder.chmod(0o777)
            case "large":
                _write_random(folder / "file", scale.large_bytes)
            case "medium":
                _write_random(folder / "file", 64 << 20)
            case "flat":
                _fill(folder, scale.flat_files)
            case "deep":
                _fill_folders(folder, scale.deep_folders, scale.deep_files)
            case "many":
                _fill_folders(folder, scale.many_folders, scale.many_files)
            case _:
                raise ValueError(f"no tree {name!r}")

    def clear(self, name: str) -> None:
        """Make a tree anew."""
        shutil.rmtree(self.root / name, ignore_errors=True)
        self.make(name)


def _write_random(path: Path, size: int) -> None:
    source = random.Random(path.name)
    with path.open("wb") as file:
        for _ in range(0, size, CHUNK_BYTES):
            file.write(source.randbytes(CHUNK_BYTES))


def _fill_folders(folder: Path, folders: int, files: int) -> None:
    for number in range(folders):
        below = folder / f"folder-{number:03}"
        below.mkdir()
        _fill(below, files)


def _fill(folder: Path, files: int) -> None:
    original = folder
    for number in range(files):
        path = folder / f"document {number:05}.txt"
        if number % LINKS_EACH == 0:
            original = path
            path.write_bytes(b"some words, as a document has them\n" * 100)
        else:
            os.link(original, path)
