"""Locks between local programs: the kernel keeps them, by the inode, as on any file system."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuse.mounts import mounted
from tests.servers.memory_cloud import MemoryCloud

_TRY = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        getattr(fcntl, sys.argv[2])(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("held")
    else:
        print("free")
"""


def _is_held(path: Path, call: str) -> bool:
    command = [sys.executable, "-c", _TRY, str(path), call]
    return subprocess.run(command, check=True, capture_output=True).stdout == b"held\n"


@pytest.mark.parametrize("call", ["flock", "lockf"])
async def test_a_lock_keeps_others_out_until_it_is_let_go(tmp_path: Path, call: str) -> None:
    def hold(path: Path) -> list[bool]:
        found = [_is_held(path, call)]
        with open(path, "r+b") as file:
            getattr(fcntl, call)(file, fcntl.LOCK_EX)
            found.append(_is_held(path, call))
            file.write(b"under the lock")
            file.flush()
            os.close(os.dup(file.fileno())) if call == "flock" else None
            found.append(_is_held(path, call))
            getattr(fcntl, call)(file, fcntl.LOCK_UN)
            found.append(_is_held(path, call))
        return found

    cloud = MemoryCloud()
    cloud.put(b"shared", b"content")
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.do(hold, mount.path / "shared") == [False, True, True, False]
        assert await mount.read("shared") == b"under the lock"
