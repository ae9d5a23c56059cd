"""Each thing that is measured of writing, in the order of the table."""

from __future__ import annotations

import io
import os
import sqlite3
import subprocess
import tarfile
import time
from pathlib import Path

from benchmarks.figures import Against, Better, Figure, Measure, Target
from benchmarks.mounts import Mount
from benchmarks.trees import DATA, EMPTY
from benchmarks.world import World

MIB = 1 << 20
SMALL_BYTES = 4096
FILES_A_FOLDER = 20
LOOK_EVERY_S = 0.01
ARRIVAL_S = 300.0
COMMAND_S = 300
ENVIRONMENT = os.environ | {
    "LC_ALL": "C",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
}


def large(mount: Mount, world: World) -> dict[str, float]:
    """One large file in pieces of 1 MiB, from its creation until `close` has returned."""
    block = os.urandom(MIB)
    count = world.trees.scale.written_bytes // MIB
    begin = time.perf_counter()
    with (mount.path / DATA / "large").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(block)
    elapsed = time.perf_counter() - begin
    return {"write": count * MIB / elapsed / 1e6}


def small(mount: Mount, world: World) -> dict[str, float]:
    """Small files one after the other: create, write, close."""
    count = world.trees.scale.small_files
    begin = time.perf_counter()
    _write_small(mount.path / DATA, count)
    return {"create": count / (time.perf_counter() - begin)}


def uploads(mount: Mount, world: World) -> dict[str, float]:
    """Small files as they come up in the server's folder: from the first to the last, without the waiting
    for local changes to rest."""
    count = world.trees.scale.uploads
    _write_small(mount.path / DATA, count)
    first, last = _arrivals(world, count)
    _compare(mount.path, world.trees.root / EMPTY, count)
    return {"uploads": (count - 1) / (last - first)}


def untar(mount: Mount, world: World) -> dict[str, float]:
    """`tar x` of small files in folders, until all of them are in the server's, resting time included."""
    count = world.trees.scale.small_files
    archive = mount.path.parent / "files.tar"
    _make_archive(archive, count)
    begin = time.perf_counter()
    _run(["tar", "xf", archive, "-C", mount.path / DATA])
    unpacked = time.perf_counter() - begin
    _, last = _arrivals(world, count)
    _compare(mount.path, world.trees.root / EMPTY, count)
    return {"untar": unpacked, "untar-sent": last - begin}


def git(mount: Mount, world: World) -> dict[str, float]:
    """`git clone` of a small repository into the mount, then `git status` in it."""
    origin = mount.path.parent / "origin"
    _make_repository(origin, world.trees.scale.uploads)
    clone = mount.path / DATA / "clone"
    begin = time.perf_counter()
    _run(["git", "clone", "--quiet", origin, clone])
    cloned = time.perf_counter() - begin
    begin = time.perf_counter()
    said = _run(["git", "-C", clone, "status", "--porcelain"])
    looked = time.perf_counter() - begin
    if said:
        raise ValueError(f"a fresh clone has changes: {said[:200]!r}")
    return {"git-clone": cloned, "git-status": looked}


def sqlite(mount: Mount, world: World) -> dict[str, float]:
    """Commits of one row each, with the rollback journal, every one synced."""
    count = world.trees.scale.commits
    database = sqlite3.connect(mount.path / DATA / "rows.db", isolation_level=None)
    try:
        database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY, words TEXT)")
        begin = time.perf_counter()
        for number in range(count):
            database.execute("INSERT INTO numbers VALUES (?, ?)", (number, "some words"))
        elapsed = time.perf_counter() - begin
        ((said,),) = database.execute("PRAGMA integrity_check").fetchall()
    finally:
        database.close()
    if said != "ok":
        raise ValueError(f"the database is damaged: {said}")
    return {"sqlite": count / elapsed}


def _content(number: int) -> bytes:
    return f"{number:08}".encode() * (SMALL_BYTES // 8)


def _write_small(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"document {number:05}.txt").write_bytes(_content(number))


def _make_archive(path: Path, count: int) -> None:
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"folder-{number // FILES_A_FOLDER:03}/document {number:05}.txt")
            member.size = SMALL_BYTES
            member.mtime = 1_700_000_000 + number
            archive.addfile(member, io.BytesIO(_content(number)))


def _make_repository(path: Path, files: int) -> None:
    _run(["git", "init", "--quiet", path])
    for number in range(files):
        folder = path / f"folder-{number // FILES_A_FOLDER:03}"
        folder.mkdir(exist_ok=True)
        (folder / f"document {number:05}.txt").write_bytes(_content(number))
    _run(["git", "-C", path, "add", "."])
    _run(["git", "-C", path, "commit", "--quiet", "-m", "files"])


def _arrivals(world: World, count: int) -> tuple[float, float]:
    """When the first file came up in the server's folder, and when all had."""
    first: float | None = None
    deadline = time.perf_counter() + ARRIVAL_S
    while True:
        there = len(_documents(world.trees.root / EMPTY))
        now = time.perf_counter()
        if there and first is None:
            first = now
        if there >= count:
            return first or now, now
        if now > deadline:
            raise TimeoutError(f"{there} of {count} files are in the cloud after {ARRIVAL_S:.0f} s")
        time.sleep(LOOK_EVERY_S)


def _documents(folder: Path) -> list[Path]:
    """The whole ones: what a server keeps of a PUT under way has another name, or is shorter."""
    return [path for path in folder.rglob("document *.txt") if path.stat().st_size == SMALL_BYTES]


def _compare(mounted: Path, served: Path, count: int) -> None:
    for number, path in enumerate(sorted(_documents(served), key=lambda path: path.name)):
        if path.read_bytes() != _content(number) or not (mounted / path.relative_to(served)).exists():
            raise ValueError(f"{path.name} has other bytes in the cloud, or is gone here")
    if number + 1 != count:
        raise ValueError(f"{number + 1} files are in the cloud, not {count}")


def _run(command: list[str | Path]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT, timeout=COMMAND_S).stdout


NO_SLOWER = Target(1.0, Against.RCLONE)
TEN_TIMES = Target(10.0, Against.RCLONE)
AS_MANY_AT_A_TIME = Target(1.0, Against.RCLONE_32)
WITH_32 = ("cloudfs", "rclone", "rclone-32")
WRITES = (
    Measure((Figure("write", "sequential write", "MB/s", Better.MORE, NO_SLOWER),), EMPTY, large),
    Measure(
        (Figure("create", "small files created", "files/s", Better.MORE, Target(1.5, Against.RCLONE)),),
        EMPTY,
        small,
    ),
    Measure(
        (Figure("uploads", "300 small files sent", "files/s", Better.MORE, TEN_TIMES, AS_MANY_AT_A_TIME),),
        EMPTY,
        uploads,
        systems=WITH_32,
    ),
    Measure(
        (
            Figure("untar", "`tar x` of 1,000 files", "s", Better.LESS, NO_SLOWER),
            Figure("untar-sent", "until all are sent", "s", Better.LESS, TEN_TIMES, AS_MANY_AT_A_TIME),
        ),
        EMPTY,
        untar,
        systems=WITH_32,
    ),
    Measure(
        (
            Figure("git-clone", "`git clone`, 300 files", "s", Better.LESS, NO_SLOWER),
            Figure("git-status", "`git status`", "s", Better.LESS, NO_SLOWER),
        ),
        EMPTY,
        git,
    ),
    Measure((Figure("sqlite", "sqlite commits", "commits/s", Better.MORE, NO_SLOWER),), EMPTY, sqlite),
)
