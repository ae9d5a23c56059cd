"""What the tests do as programs would: read to the end, and see which errno they met."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from cloudfs.model.enums import State
from tests.mount.harness import CLOUDFS, Mount


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def read(path: Path) -> bytes:
    """The whole file by read(2) alone, for Python's own readers take EAGAIN for "nothing yet"."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
    finally:
        os.close(fd)


def errno_of(call: Callable[[], object]) -> int:
    """The errno that a call met, 0 where it met none."""
    try:
        call()
    except OSError as error:
        return error.errno or -1
    return 0


def reads_as(path: Path, data: bytes) -> bool:
    try:
        return read(path) == data
    except OSError:
        return False


def cloudfs(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line, to its end."""
    command = [*CLOUDFS, *(str(each) for each in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def download(mount: Mount, name: str) -> dict[str, int]:
    """CloudFileCache.start by a client that waits for the end; the event that ended it."""
    connection = mount.connect()
    connection.call("CloudFileCache.on", event="progress")
    connection.call("CloudFileCache.start", uri=mount.uri(name))
    events = connection.events_until(lambda e: State(e["params"]["progress"]["state"]).is_end)
    end: dict[str, int] = events[-1]["params"]["progress"]
    return end


def fill(disk: Path) -> Path:
    """Leave no byte free; the file to be removed for having room again."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while errno_of(lambda: file.write(bytes(65536))) == 0:
            pass
    return ballast
