"""Each thing that is measured of reading, in the order of the table."""

from __future__ import annotations

import os
import random
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmarks import bare
from benchmarks.figures import Against, Better, Figure, Measure, Target
from benchmarks.mounts import Mount
from benchmarks.trees import DATA
from benchmarks.world import World

MIB = 1 << 20
BLOCK_BYTES = 4096
SETTLE_S = 0.3  # a person's pause between seeing a folder and opening a file in it
COMMAND_S = 300
ENVIRONMENT = os.environ | {"LC_ALL": "C"}


def first_byte(mount: Mount, world: World) -> dict[str, float]:
    """From `open` to the first byte of a large file, its folder listed before."""
    os.listdir(mount.path / DATA)
    time.sleep(SETTLE_S)
    begin = time.perf_counter()
    fd = os.open(mount.path / DATA / "file", os.O_RDONLY)
    try:
        data = os.pread(fd, 1, 0)
        elapsed = time.perf_counter() - begin
    finally:
        os.close(fd)
    _expect(data == _original(world, "large", 0, 1), "the first byte is another")
    return {"first-byte": elapsed / world.round_trip_s}


def sequential(mount: Mount, world: World) -> dict[str, float]:
    """A large file from its first byte to its last, twice; `page-cache` tells who serves the second time."""
    path = mount.path / DATA / "file"
    size = world.trees.scale.large_bytes
    os.listdir(path.parent)
    time.sleep(SETTLE_S)
    cold = _read_through(path, size)
    held = _page_cache_share(path, size)
    warm = _read_through(path, size)
    _compare(path, world.trees.root / "large" / DATA / "file", size)
    return {"sequential": cold / 1e6, "second-read": warm / 1e6, "page-cache": 100 * held}


def sequential_reference(world: World) -> dict[str, float]:
    """What 16 connections carry, and what the page cache gives of a plain file."""
    size = world.trees.scale.large_bytes
    carried = bare.throughput(world.link.url_for(f"/large/{DATA}/file"), size)
    return {
        "sequential": carried / 1e6,
        "second-read": _read_through(world.trees.root / "large" / DATA / "file", size) / 1e6,
    }


def random_reads(name: str, mount: Mount, world: World) -> dict[str, float]:
    """Blocks of 4 KiB at random places of a large file, the next one when the last has come."""
    path = mount.path / DATA / "file"
    count = world.trees.scale.random_reads
    blocks = random.SystemRandom().sample(range(world.trees.scale.large_bytes // BLOCK_BYTES), count)
    os.listdir(path.parent)
    time.sleep(SETTLE_S)
    fd = os.open(path, os.O_RDONLY)
    try:
        os.pread(fd, 1, 0)
        begin = time.perf_counter()
        got = [os.pread(fd, BLOCK_BYTES, block * BLOCK_BYTES) for block in blocks]
        elapsed = time.perf_counter() - begin
    finally:
        os.close(fd)
    for block, data in zip(blocks, got, strict=True):
        original = _original(world, "large", block * BLOCK_BYTES, BLOCK_BYTES)
        _expect(data == original, f"block {block} has other bytes")
    return {name: count / elapsed}


def random_reference(name: str, world: World) -> dict[str, float]:
    """One a round trip."""
    return {name: 1 / world.round_trip_s}


def find_deep(mount: Mount, world: World) -> dict[str, float]:
    """`find` over a tree nobody has looked at, just after mounting."""
    return {"find": _timed(["find", mount.path / DATA], lines=world.trees.scale.deep_entries)}


def folder(name: str, command: list[str], extra: int, mount: Mount, world: World) -> dict[str, float]:
    """A command over one large folder, just after mounting and again (the median of three)."""
    arguments: list[str | Path] = [*command, mount.path / DATA]
    lines = world.trees.scale.flat_files + extra
    cold = _timed(arguments, lines=lines)
    warm = sorted(_timed(arguments, lines=lines) for _ in range(3))[1]
    return {f"{name}-cold": cold, f"{name}-warm": warm}


def sent(mount: Mount, world: World) -> dict[str, float]:
    """What the server sends for the first 64 KiB of a file of 64 MiB, late reads ahead included."""
    path = mount.path / DATA / "file"
    os.listdir(path.parent)
    time.sleep(SETTLE_S)
    before = world.link.counters().to_client
    with path.open("rb", buffering=0) as file:
        data = file.read(64 * 1024)
    time.sleep(1)
    after = world.link.counters().to_client
    _expect(data == _original(world, "medium", 0, 64 * 1024), "the head has other bytes")
    return {"sent": (after - before) / MIB}


def memory(mount: Mount, world: World) -> dict[str, float]:
    """What the mount's processes hold after `find` over a great many files."""
    _timed(["find", mount.path / DATA], lines=world.trees.scale.many_entries)
    return {"memory": mount.memory_bytes() / MIB}


def _read_through(path: Path, size: int) -> float:
    """Bytes a second."""
    buffer = bytearray(MIB)
    total = 0
    begin = time.perf_counter()
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
    elapsed = time.perf_counter() - begin
    _expect(total == size, f"{total} bytes read of {size}")
    return size / elapsed


def _page_cache_share(path: Path, size: int) -> float:
    """How much of a file the page cache holds after a new open, which is where a mount may drop it."""
    command: list[str | Path] = ["fincore", "--bytes", "--noheadings", "--output", "RES", path]
    held = subprocess.run(command, check=True, capture_output=True, timeout=COMMAND_S).stdout
    return int(held) / size


def _compare(path: Path, original: Path, size: int) -> None:
    with path.open("rb", buffering=0) as ours, original.open("rb", buffering=0) as theirs:
        for offset in range(0, size, 16 * MIB):
            ours.seek(offset)
            theirs.seek(offset)
            _expect(ours.read(BLOCK_BYTES) == theirs.read(BLOCK_BYTES), f"other bytes at {offset}")


def _original(world: World, tree: str, offset: int, size: int) -> bytes:
    with (world.trees.root / tree / DATA / "file").open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _timed(command: list[str | Path], *, lines: int) -> float:
    """Seconds that a command takes, which must print so many lines."""
    begin = time.perf_counter()
    output = subprocess.run(
        command, check=True, capture_output=True, env=ENVIRONMENT, timeout=COMMAND_S
    ).stdout
    elapsed = time.perf_counter() - begin
    _expect(output.count(b"\n") == lines, f"{output.count(bytes([10]))} lines of {lines}")
    return elapsed


def _expect(holds: bool, otherwise: str) -> None:
    """A fast wrong answer is no figure."""
    if not holds:
        raise ValueError(otherwise)


def _folder_measure(name: str, command: list[str], extra: int, *, warm: Target | None) -> Measure:
    title = " ".join(command)
    return Measure(
        figures=(
            Figure(f"{name}-cold", f"`{title}`, 10,000 files, cold", "s", Better.LESS, NO_SLOWER),
            Figure(f"{name}-warm", f"`{title}`, 10,000 files, warm", "s", Better.LESS, warm),
        ),
        tree="flat",
        sample=partial(folder, name, command, extra),
    )


def _random_measure(name: str, on_open: str) -> Measure:
    figure = Figure(
        name, f"random 4 KiB reads, `{on_open}`", "reads/s", Better.MORE, Target(0.8, Against.WIRE)
    )
    return Measure(
        figures=(figure,),
        tree="large",
        sample=partial(random_reads, name),
        reference=partial(random_reference, name),
        on_open=on_open,
    )


NO_SLOWER = Target(1.0, Against.RCLONE)
READS = (
    Measure(
        figures=(
            Figure(
                "first-byte",
                "first byte of a large file",
                "round trips",
                Better.LESS,
                Target(1.6, Against.NOTHING),
            ),
        ),
        tree="large",
        sample=first_byte,
    ),
    Measure(
        figures=(
            Figure("sequential", "sequential read", "MB/s", Better.MORE, Target(0.75, Against.WIRE)),
            Figure("second-read", "second read", "MB/s", Better.MORE),
            Figure("page-cache", "of it in the page cache", "%", Better.MORE, Target(99, Against.NOTHING)),
        ),
        tree="large",
        sample=sequential,
        reference=sequential_reference,
    ),
    _random_measure("random", "full"),
    _random_measure("random-ranges", "ranges"),
    Measure(
        figures=(
            Figure(
                "find", "`find`, 5,000 files in 50 folders, cold", "s", Better.LESS, Target(4, Against.RCLONE)
            ),
        ),
        tree="deep",
        sample=find_deep,
    ),
    _folder_measure("ls", ["ls"], 0, warm=NO_SLOWER),
    _folder_measure("find-flat", ["find"], 1, warm=NO_SLOWER),
    _folder_measure("ls-l", ["ls", "-l"], 1, warm=None),
    Measure(
        figures=(
            Figure(
                "sent",
                "sent for 64 KiB of 64 MiB, `ranges`",
                "MiB",
                Better.LESS,
                Target(1, Against.NOTHING),
            ),
        ),
        tree="medium",
        sample=sent,
        on_open="ranges",
    ),
    Measure(
        figures=(
            Figure(
                "memory",
                "memory after a walk of 100,000 files",
                "MiB",
                Better.LESS,
                Target(150, Against.NOTHING),
            ),
        ),
        tree="many",
        sample=memory,
    ),
)
