"""This machine in trouble: mountpoints, full disks, damaged caches and databases. Never a wrong byte."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cloudfs.model.enums import DownloadErrorType, State
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, RpcError, wait_until
from tests.mount.programs import cloudfs, content, download, errno_of, fill, read, reads_as
from tests.servers.apache import Apache
from tests.servers.faults import HangBody
from tests.servers.proxy import FaultProxy

MIB = 1024 * 1024


# --- where it can't be mounted ---


def _missing(mount: Mount) -> None:
    mount.path.rmdir()


def _a_file(mount: Mount) -> None:
    mount.path.rmdir()
    mount.path.touch()


def _not_empty(mount: Mount) -> None:
    (mount.path / "mine.txt").touch()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing, "does not exist; make it with: mkdir -p"),
        (_a_file, "is not a folder"),
        (_not_empty, "is not empty"),
    ],
)
def test_a_mountpoint_that_will_not_do(
    spoil: Callable[[Mount], None], said: str, apache: Apache, mounts: Mounts
) -> None:
    mount = mounts(apache.url, start=False)  # within reach: nothing else is to be said
    spoil(mount)
    _refused(mount, said)
    assert not mount.is_mounted()


def test_a_mountpoint_and_a_cache_in_use(apache: Apache, mounts: Mounts) -> None:
    first = mounts(apache.url)
    _refused(mounts(apache.url, start=False, mount={"path": str(first.path)}), "is mounted already")
    inside = {"path": str(first.path / "cache")}
    _refused(mounts(apache.url, start=False, mount={"path": str(first.path)}, cache=inside), "inside")
    _refused(mounts(apache.url, start=False, cache={"path": str(first.cache)}), "in use by process")
    assert first.is_mounted()
    assert os.listdir(first.path) == []
    assert first.status()["cloud"]["state"] == "ready"


def _refused(mount: Mount, said: str) -> None:
    """A foreground mount ends with one line that names the mend."""
    result = cloudfs("mount", "--foreground", "--config", mount.config)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert said in result.stderr


# --- full disks ---


def start_code(mount: Mount, name: str) -> int:
    try:
        mount.call("CloudFileCache.start", uri=mount.uri(name))
    except RpcError as refused:
        return refused.code
    return 0


def test_a_file_larger_than_the_disk(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    data, small = content(40 * MIB), content(300_000, seed=2)
    (apache.root / "huge.bin").write_bytes(data)
    (apache.root / "small.bin").write_bytes(small)
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")})
    assert read(mount.path / "huge.bin") == data, "its own oldest ranges make room"
    assert start_code(mount, "huge.bin") == 13900025
    assert reads_as(mount.path / "small.bin", small)


def test_a_full_disk_and_space_again(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    data, kept = content(4 * MIB), content(300_000, seed=2)
    (apache.root / "file.bin").write_bytes(data)
    (apache.root / "kept.bin").write_bytes(kept)
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache")}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    os.setxattr(mount.path / "kept.bin", "user.cloudfs.pin", b"always")
    wait_until(lambda: mount.xattr("state", "kept.bin") == "COMPLETED", "it is pinned, and here")
    wait_until(lambda: mount.xattr("location", "kept.bin") == "both", "it is pinned, and here")
    ballast = fill(small_disk)

    def read_right() -> None:
        assert read(mount.path / "file.bin") == data

    # Read through in what little space there is, or refused; but never a wrong byte.
    assert errno_of(read_right) in (0, errno.ENOSPC)
    assert start_code(mount, "file.bin") == 13900025
    assert read(mount.path / "kept.bin") == kept
    assert os.listdir(mount.path)
    assert mount.status()["cloud"]["state"] == "ready"
    ballast.unlink()
    wait_until(lambda: reads_as(mount.path / "file.bin", data), "it reads once there is room")
    assert download(mount, "file.bin")["state"] == State.COMPLETED


def test_a_disk_that_fills_up_under_a_download(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    data = content(8 * MIB)
    (apache.root / "file.bin").write_bytes(data)
    with FaultProxy(apache.url, bandwidth=4 * MIB) as proxy:
        sections = {"cloud": {"max_connections": 3}, "cache": {"path": str(small_disk / "cache")}}
        mount = mounts(proxy.url, sync={"auto": False}, **sections)
        assert mount.sync() == "COMPLETED"
        connection = mount.connect()
        connection.call("CloudFileCache.on", event="progress")
        connection.call("CloudFileCache.start", uri=mount.uri("file.bin"))
        wait_until(lambda: int(mount.xattr("progress", "file.bin").split("/")[0]) > MIB, "it is under way")
        ballast = fill(small_disk)
        proxy.conditions.bandwidth = None
        wait_until(lambda: mount.xattr("error", "file.bin") == "LOCAL_STORAGE_FULL", "it failed for space")
        ballast.unlink()
        events = connection.events_until(lambda e: State(e["params"]["progress"]["state"]).is_end)
        end = events[-1]["params"]["progress"]
        assert (end["state"], end["error"]) == (State.FAILED, DownloadErrorType.LOCAL_STORAGE_FULL)
        assert mount.sync() == "COMPLETED", "the next sync brings what failed for want of space"
        assert mount.xattr("location", "file.bin") == "both"
        assert read(mount.path / "file.bin") == data


def test_min_free_stays_free(apache: Apache, small_disk: Path, mounts: Mounts) -> None:
    data = content(12 * MIB)
    (apache.root / "file.bin").write_bytes(data)
    mount = mounts(apache.url, cache={"path": str(small_disk / "cache"), "min_free": "16MiB"})
    assert start_code(mount, "file.bin") == 13900025
    assert read(mount.path / "file.bin") == data, "it is read through all the same"
    disk = os.statvfs(small_disk)
    assert disk.f_bavail * disk.f_frsize > 14 * MIB, "but for a log of the database"


# --- a damaged cache ---


@pytest.fixture
def cached(apache: Apache, mounts: Mounts, proxy: FaultProxy) -> Mount:
    """A mount with one whole file in its cache."""
    (apache.root / "file.bin").write_bytes(content(2 * MIB))
    mount = mounts(proxy.url, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    assert read(mount.path / "file.bin") == content(2 * MIB)
    wait_until(lambda: mount.xattr("state", "file.bin") == "COMPLETED", "it is cached")
    return mount


def cache_file(mount: Mount) -> Path:
    (found,) = [path for path in (mount.cache / "contents").rglob("*") if path.is_file()]
    return found


def _truncate(mount: Mount) -> None:
    os.truncate(cache_file(mount), MIB)


def _empty(mount: Mount) -> None:
    os.truncate(cache_file(mount), 0)


def _delete(mount: Mount) -> None:
    cache_file(mount).unlink()


@pytest.mark.parametrize("damage", [_truncate, _empty, _delete])
def test_a_damaged_cache_file_is_fetched_again(damage: Callable[[Mount], None], cached: Mount) -> None:
    cached.stop()
    damage(cached)
    cached.start()
    assert read(cached.path / "file.bin") == content(2 * MIB)
    wait_until(lambda: cached.xattr("location", "file.bin") == "both", "it is whole again")


@pytest.mark.parametrize("damage", [_truncate, _delete])
def test_a_cache_file_damaged_under_the_mount(damage: Callable[[Mount], None], cached: Mount) -> None:
    damage(cached)
    _forget_pages(cached.path / "file.bin")
    wait_until(lambda: reads_as(cached.path / "file.bin", content(2 * MIB)), "it was fetched again")


def test_a_cache_file_damaged_under_a_reader(cached: Mount) -> None:
    with (cached.path / "file.bin").open("rb", buffering=0) as file:
        assert file.read(4096) == content(2 * MIB)[:4096]
        _truncate(cached)
        _forget_pages(cached.path / "file.bin")
        got, met = b"", 0
        while len(got) < 2 * MIB - 4096 and met < 5:
            try:
                got += file.read(65536)
            except OSError as error:
                assert error.errno == errno.EIO
                met += 1
        assert got == content(2 * MIB)[4096:]


def _forget_pages(path: Path) -> None:
    """Have the kernel ask the daemon again (posix_fadvise(2))."""
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def test_a_cache_directory_whose_contents_are_gone(cached: Mount) -> None:
    cached.stop()
    subprocess.run(["rm", "-r", cached.cache / "contents"], check=True)
    cached.start()
    assert read(cached.path / "file.bin") == content(2 * MIB)


# --- a damaged database ---


def _garbage(database: Path) -> None:
    database.write_bytes(content(65536))


def _half(database: Path) -> None:
    os.truncate(database, database.stat().st_size // 2)


def _no_database(database: Path) -> None:
    database.unlink()


@pytest.mark.parametrize("damage", [_garbage, _half, _no_database])
def test_a_damaged_database_is_built_anew(
    damage: Callable[[Path], None], cached: Mount, proxy: FaultProxy
) -> None:
    cached.stop()
    for log in cached.cache.glob("cloudfs.db-*"):
        log.unlink()
    damage(cached.cache / "cloudfs.db")
    cached.start()
    assert os.listdir(cached.path) == ["file.bin"]
    assert read(cached.path / "file.bin") == content(2 * MIB)
    assert damage is _no_database or list(cached.cache.glob("cloudfs.db.*")), "what it was is kept"
    wait_until(lambda: cached.xattr("location", "file.bin") == "both", "it is cached")
    cached.stop()
    cached.start()
    proxy.refuse()
    assert read(cached.path / "file.bin") == content(2 * MIB)


def test_a_truncated_answer_is_resumed_after_kill_9(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    data = content(4 * MIB)
    (apache.root / "file.bin").write_bytes(data)
    mount = mounts(proxy.url, cloud={"max_connections": 3}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    proxy.faults.add(HangBody(3 * MIB), method="GET")
    mount.call("CloudFileCache.start", uri=mount.uri("file.bin"))
    wait_until(lambda: int(mount.xattr("progress", "file.bin").split("/")[0]) > MIB, "it is under way")
    mount.kill()
    proxy.faults.clear()
    mount.start()
    assert read(mount.path / "file.bin") == data


def test_content_whose_entry_went_in_a_crash_makes_room_like_any_other(
    apache: Apache, mounts: Mounts
) -> None:
    for number in range(6):
        (apache.root / f"{number}.bin").write_bytes(content(2 * MIB, seed=number))
    mount = mounts(apache.url, cache={"size": "8MiB"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    assert read(mount.path / "0.bin") == content(2 * MIB, seed=0)
    wait_until(lambda: mount.xattr("state", "0.bin") == "COMPLETED", "it is here")
    mount.stop()
    with contextlib.closing(sqlite3.connect(mount.cache / "cloudfs.db")) as database:
        assert database.execute("DELETE FROM entries WHERE name = ?", (b"0.bin",)).rowcount == 1
        database.commit()
    mount.start()
    for number in range(1, 6):
        assert read(mount.path / f"{number}.bin") == content(2 * MIB, seed=number)
        wait_until(lambda n=number: mount.xattr("location", f"{n}.bin") == "both", "it found room")  # type: ignore[misc]
    assert mount.status()["cache"]["used"] <= 8 * MIB
