"""How content streams in: jumping the queue, sharing one transfer, never a wrong byte."""

from __future__ import annotations

import errno
import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import wait_until
from tests.servers.apache import Apache
from tests.servers.faults import LOGIN_PAGE, Answer, AppendBody, ChangeHeaders, CutBody, DropRange, Fault
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

MIB = 1024 * 1024


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def test_a_reader_at_the_end_of_a_slow_file_does_not_wait_for_its_beginning(
    apache: Apache, mounts: Mounts
) -> None:
    data = content(24 * MIB)
    (apache.root / "slow.bin").write_bytes(data)
    with FaultProxy(apache.url, bandwidth=1 * MIB) as proxy:
        mount = mounts(proxy.url, cloud={"timeout": "15s"})
        with (mount.path / "slow.bin").open("rb") as file:
            assert file.read(4096) == data[:4096]
            file.seek(-4096, os.SEEK_END)
            assert file.read() == data[-4096:]
            processed = int(mount.xattr("progress", "slow.bin").split("/")[0])
        assert processed < len(data), "the end came before the middle"


def test_many_readers_make_one_transfer(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(8 * MIB)
    (apache.root / "shared.bin").write_bytes(data)
    mount = mounts(proxy.url)
    list(mount.path.iterdir())
    before = proxy.counters.bytes_down
    results: list[bool] = []

    def read() -> None:
        results.append((mount.path / "shared.bin").read_bytes() == data)

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert results == [True] * 8
    assert proxy.counters.bytes_down - before < len(data) + MIB, "no byte is fetched twice"


def test_ranges_fetch_only_what_is_read(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(64 * MIB)
    (apache.root / "big.bin").write_bytes(data)
    mount = mounts(proxy.url, hydration={"on_open": "ranges"})
    list(mount.path.iterdir())
    wait_until(lambda: mount.status()["sync"]["files"]["last_sync_time"], "the walk is over")
    before = proxy.counters.bytes_down
    with (mount.path / "big.bin").open("rb", buffering=0) as file:
        assert file.read(65536) == data[:65536]
    time.sleep(0.3)  # whatever was asked for ahead of the reader would come now
    assert proxy.counters.bytes_down - before < MIB
    assert mount.xattr("location", "big.bin") == "partial"


def test_partial_content_resumes_after_a_remount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(16 * MIB)
    (apache.root / "big.bin").write_bytes(data)
    mount = mounts(proxy.url, hydration={"on_open": "ranges"})
    with (mount.path / "big.bin").open("rb", buffering=0) as file:
        got = b"".join(iter(lambda: file.read(MIB), b""))[: 8 * MIB]
    assert got == data[: 8 * MIB]
    held = int(mount.xattr("progress", "big.bin").split("/")[0])
    assert held >= 8 * MIB
    mount.stop()
    before = proxy.counters.bytes_down
    mount.start()
    assert (mount.path / "big.bin").read_bytes() == data
    assert proxy.counters.bytes_down - before < len(data) - held + MIB


def test_a_cut_connection_resumes_at_the_byte(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(4 * MIB)
    (apache.root / "cut.bin").write_bytes(data)
    mount = mounts(proxy.url)
    list(mount.path.iterdir())
    before = proxy.counters.bytes_down
    proxy.faults.add(CutBody(after=300_000), method="GET", times=3)
    assert (mount.path / "cut.bin").read_bytes() == data
    assert proxy.counters.bytes_down - before < len(data) + MIB


@pytest.mark.parametrize("kind", ["apache", "wsgidav"])
def test_an_open_file_is_read_on_after_its_folder_was_moved(
    kind: str, request: pytest.FixtureRequest, mounts: Mounts
) -> None:
    """It asks by the new path, and without the tag of the old one: that may be made of the path."""
    server: Apache | WsgiDav = request.getfixturevalue(kind)
    data = content(8 * MIB)
    (server.root / "before").mkdir()
    (server.root / "before" / "large.bin").write_bytes(data)
    mount = mounts(server.url, hydration={"on_open": "ranges"}, sync={"auto": False})
    with (mount.path / "before" / "large.bin").open("rb", buffering=0) as file:
        assert os.pread(file.fileno(), 4096, 0) == data[:4096]
        (mount.path / "before").rename(mount.path / "after")
        mount.settle()
        assert (server.root / "after" / "large.bin").exists()
        assert os.pread(file.fileno(), 4096, 6 * MIB) == data[6 * MIB : 6 * MIB + 4096]


def test_a_server_without_ranges_serves_one_stream(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(5 * MIB)
    (apache.root / "plain.bin").write_bytes(data)
    proxy.faults.add(DropRange(), method="GET")
    mount = mounts(proxy.url)
    with (mount.path / "plain.bin").open("rb") as file:
        file.seek(4 * MIB)
        assert file.read(1000) == data[4 * MIB : 4 * MIB + 1000]
    assert (mount.path / "plain.bin").read_bytes() == data


@pytest.mark.parametrize(
    "lie",
    [
        LOGIN_PAGE,
        Answer(206, {"Content-Range": "bytes 0-4/5"}, b"12345"),
        ChangeHeaders({"Content-Encoding": "gzip"}),
        ChangeHeaders({"Content-Range": "bytes 7-1000/2000"}),
        ChangeHeaders({"ETag": '"another"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}),
        Answer(204),
        Answer(500),
        Answer(404),
    ],
    ids=["login page", "other total", "gzip", "wrong range", "other version", "no content", "500", "404"],
)
def test_what_is_not_the_file_never_becomes_its_content(
    lie: Fault, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    data = content(300_000)
    (apache.root / "file.bin").write_bytes(data)
    (apache.root / "other.bin").write_bytes(data)
    time.sleep(1.1)  # Apache's tag is strong from now on
    mount = mounts(proxy.url, cloud={"timeout": "2s"})
    list(mount.path.iterdir())
    wait_until(lambda: mount.status()["sync"]["files"]["last_sync_time"], "the walk is over")
    proxy.faults.add(lie, method="GET", target="file.bin")
    with pytest.raises(OSError) as refused:
        (mount.path / "file.bin").read_bytes()
    assert refused.value.errno == errno.EIO
    wait_until(lambda: mount.xattr("error", "file.bin") != "NO_ERROR", "the failure is recorded")
    assert (mount.path / "other.bin").read_bytes() == data, "one file's trouble holds up no other"
    proxy.faults.clear()
    wait_until(lambda: _reads_as(mount.path / "file.bin", data), "it reads again once the cause is gone")
    wait_until(lambda: mount.xattr("error", "file.bin") == "NO_ERROR", "the error is over")


def _reads_as(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def test_a_body_that_is_too_long_is_no_content(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    data = content(300_000)
    (apache.root / "file.bin").write_bytes(data)
    mount = mounts(proxy.url, cloud={"timeout": "2s"})
    list(mount.path.iterdir())
    proxy.faults.add(AppendBody(b"more"), method="GET", target="file.bin")
    with pytest.raises(OSError) as refused:
        (mount.path / "file.bin").read_bytes()
    assert refused.value.errno == errno.EIO


def test_a_file_replaced_under_the_download_is_never_a_mixture(apache: Apache, mounts: Mounts) -> None:
    old, new = content(6 * MIB, seed=1), content(6 * MIB, seed=2)
    (apache.root / "file.bin").write_bytes(old)
    time.sleep(1.1)
    with FaultProxy(apache.url, bandwidth=2 * MIB) as proxy:
        mount = mounts(proxy.url, cloud={"max_connections": 3}, hydration={"on_open": "ranges"})
        with (mount.path / "file.bin").open("rb", buffering=0) as file:
            got = file.read(MIB)
            (apache.root / "file.bin.new").write_bytes(new)
            (apache.root / "file.bin.new").rename(apache.root / "file.bin")
            try:
                while chunk := file.read(MIB):
                    got += chunk
            except OSError as error:
                assert error.errno == errno.EIO
        assert got == old[: len(got)], "an open handle never sees a byte of another version"
        wait_until(lambda: _reads_as(mount.path / "file.bin", new), "the next open gets the new version")


def test_eviction_keeps_the_cache_bounded(apache: Apache, mounts: Mounts) -> None:
    for i in range(8):
        (apache.root / f"{i}.bin").write_bytes(content(2 * MIB, seed=i))
    mount = mounts(apache.url, cache={"size": "8MiB"})
    for i in range(8):
        assert (mount.path / f"{i}.bin").read_bytes() == content(2 * MIB, seed=i)
    wait_until(lambda: mount.status()["cache"]["used"] <= 8 * MIB, "the cache is within its size")
    assert mount.xattr("location", "7.bin") == "both", "the last one read stays"
    assert mount.xattr("location", "0.bin") == "cloud", "the least recently used went first"


def test_a_file_larger_than_the_cache_is_read_through(apache: Apache, mounts: Mounts) -> None:
    data = content(24 * MIB)
    (apache.root / "huge.bin").write_bytes(data)
    mount = mounts(apache.url, cache={"size": "8MiB"})
    assert (mount.path / "huge.bin").read_bytes() == data
    wait_until(lambda: mount.status()["cache"]["used"] <= 8 * MIB, "its own oldest ranges were dropped")


def test_two_hundred_blocked_reads_leave_lookups_and_cached_reads_alone(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    for i in range(200):
        (apache.root / f"{i:03}.bin").write_bytes(content(4096, seed=i))
    (apache.root / "cached.txt").write_text("cached")
    mount = mounts(proxy.url, cloud={"timeout": "8s"})
    assert (mount.path / "cached.txt").read_text() == "cached"
    wait_until(lambda: mount.status()["sync"]["files"]["last_sync_time"], "the walk is over")
    proxy.hang()
    errors: list[int | None] = []

    def read(name: str) -> None:
        try:
            (mount.path / name).read_bytes()
        except OSError as error:
            errors.append(error.errno)

    readers = [threading.Thread(target=read, args=(f"{i:03}.bin",)) for i in range(200)]
    for reader in readers:
        reader.start()
    time.sleep(0.5)
    begin = time.monotonic()
    assert len(list(mount.path.iterdir())) == 201
    assert (mount.path / "cached.txt").read_text() == "cached"
    assert time.monotonic() - begin < 4, "it waited for the network"
    for reader in readers:
        reader.join(20)
    assert not any(reader.is_alive() for reader in readers), "a read outlived its deadline"
    assert len(errors) == 200
    assert set(errors) <= {errno.ETIMEDOUT, errno.ENETUNREACH}
