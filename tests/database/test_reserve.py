"""A disk that is full to the last byte, and the room that the database keeps for itself."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from cloudfs.database.bridge import Database
from cloudfs.database.reserve import RESERVE_BYTES, Reserve
from cloudfs.model.errors import LocalStorageFull

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a small disk takes root to mount")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "cloudfs-test", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, file.tell() + free_bytes(disk))


def put(key: str, value: bytes) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute(
        "INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (key, value)
    )


def test_it_holds_what_the_disk_has(disk: Path) -> None:
    reserve = Reserve(disk / "a.db")
    before = free_bytes(disk)
    reserve.hold()
    assert free_bytes(disk) == before - RESERVE_BYTES
    reserve.release()
    assert free_bytes(disk) == before
    fill(disk)
    reserve.hold()
    assert free_bytes(disk) == 0, "nothing to be had is no failure"


async def test_small_commits_go_on_for_long_on_a_full_disk(disk: Path) -> None:
    async with trio.open_nursery() as nursery:
        database = Database(disk / "a.db")
        await nursery.start(lambda task_status: database.run(task_status=task_status))
        await database.commit(put("first", bytes(1000)))
        fill(disk)
        for i in range(3000):
            await database.commit(put(f"{i % 10}", bytes(2000)))
        with pytest.raises(LocalStorageFull):
            await database.commit(put("big", bytes(4 * RESERVE_BYTES)))
        await database.commit(put("last", b"x"))
        assert database.read("SELECT count(*) FROM settings") == [(12,)]
        (disk / "ballast").unlink()
        await database.commit(put("big", bytes(1_000_000)))
        nursery.cancel_scope.cancel()


async def test_a_start_on_a_full_disk(disk: Path) -> None:
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            database = Database(disk / "a.db")
            await nursery.start(lambda task_status, db=database: db.run(task_status=task_status))
            await database.commit(put("key", b"x"))
            nursery.cancel_scope.cancel()
        fill(disk)
