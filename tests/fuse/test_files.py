"""Opening and reading, as programs do."""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
from pathlib import Path

import pytest
import trio

from cloudfs.config.settings import OnOpen
from cloudfs.model.errors import (
    CloudfsError,
    ContentNotFound,
    NetworkUnavailable,
    ServerError,
    Unauthorized,
)
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

BIG = random.Random(3).randbytes(3_000_001)


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"big", BIG)
    cloud.put(b"small", b"0123456789")
    cloud.put(b"empty", b"")
    return cloud


def _pread(path: Path, offset: int, size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.pread(descriptor, size, offset)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("on_open", list(OnOpen))
async def test_the_bytes_are_the_clouds(tmp_path: Path, cloud: MemoryCloud, on_open: OnOpen) -> None:
    async with mounted(tmp_path, cloud, on_open=on_open) as mount:
        assert await mount.read("big") == BIG
        assert await mount.read("small") == b"0123456789"
        assert await mount.read("empty") == b""
        assert await mount.do(_pread, mount.path / "big", 2_999_990, 100) == BIG[2_999_990:]
        assert await mount.do(_pread, mount.path / "small", 10, 5) == b""
        assert await mount.do(_pread, mount.path / "small", 1 << 40, 5) == b""


async def test_what_was_read_once_needs_no_cloud(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("big") == BIG
        served = cloud.bytes_served
        cloud.fail("read", NetworkUnavailable("gone"), times=None)
        assert await mount.read("big") == BIG
        assert cloud.bytes_served == served
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("big") == BIG
        assert cloud.bytes_served == served


async def test_many_readers_of_one_file_fetch_it_once(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount, trio.open_nursery() as nursery:

        async def check() -> None:
            assert await mount.read("big") == BIG

        for _ in range(12):
            nursery.start_soon(check)
    assert cloud.bytes_served == len(BIG)


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (ContentNotFound("404"), errno.EIO),
        (ServerError("500"), errno.EIO),
        (Unauthorized("401"), errno.EACCES),
        (NetworkUnavailable("refused"), errno.ENETUNREACH),
    ],
)
async def test_a_read_fails_with_its_cause_and_works_again(
    tmp_path: Path, cloud: MemoryCloud, failure: CloudfsError, number: int
) -> None:
    async with mounted(tmp_path, cloud, timeout_s=1.0, on_open=OnOpen.RANGES) as mount:
        cloud.fail("read", failure, times=None)
        assert await mount.errno(_pread, mount.path / "small", 0, 4) == number
        cloud.heal()
        with trio.fail_after(10):
            while await mount.errno(_pread, mount.path / "small", 0, 4):
                await trio.sleep(0.1)
        assert await mount.read("small") == b"0123456789"


async def test_a_failing_read_waits_for_one_deadline_only(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, timeout_s=1.0) as mount:
        await mount.stat("big")
        cloud.gate = trio.Event()
        start = trio.current_time()
        assert await mount.errno(_pread, mount.path / "big", 0, 4096) == errno.ETIMEDOUT
        # The kernel asks for the read-ahead and, that failing, for the page: two deadlines would be 2 s.
        assert trio.current_time() - start < 1.9
        cloud.gate.set()
        assert await mount.read("big") == BIG


async def test_lookups_and_cached_reads_stay_answered_while_many_reads_wait(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    for number in range(200):
        cloud.put(b"%03d" % number, b"waiting")
    cloud.put(b"cached", b"at hand")
    cloud.put(b"other/name", b"")
    async with mounted(tmp_path, cloud, timeout_s=60, on_open=OnOpen.RANGES) as mount:
        assert await mount.read("cached") == b"at hand"
        await mount.do(os.listdir, mount.path / "other")
        gate = cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(200)
            found: list[bytes] = []

            async def wait_for(number: int) -> None:
                path = mount.path / f"{number:03}"
                found.append(await trio.to_thread.run_sync(path.read_bytes, limiter=limiter))

            for number in range(200):
                nursery.start_soon(wait_for, number)
            with trio.fail_after(20):
                while mount.session.waiting < 200:
                    await trio.sleep(0.01)
                assert await mount.read("cached") == b"at hand"
                assert (await mount.stat("other/name")).st_size == 0
                assert await mount.errno(os.stat, mount.path / "nothing") == errno.ENOENT
                assert len(await mount.do(os.listdir, mount.path)) == 202
            gate.set()
        assert found == [b"waiting"] * 200


async def test_killed_readers_leave_nothing_behind(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, timeout_s=2.0) as mount:
        await mount.stat("big")
        cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            readers = []
            for _ in range(5):
                command = ["cat", str(mount.path / "big")]
                readers.append(await nursery.start(_run, command))
            with trio.fail_after(5):
                while mount.session.waiting < 1:
                    await trio.sleep(0.01)
                for reader in readers:
                    reader.kill()
                    await reader.wait()
        cloud.gate.set()
        with trio.fail_after(10):
            while mount.session.waiting or mount.session.open_handles:
                await trio.sleep(0.01)
        assert await mount.read("big") == BIG


async def _run(command: list[str], *, task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(command, check=False, capture_stdout=True, task_status=task_status)


async def test_a_denied_program_reads_only_what_is_local(tmp_path: Path, cloud: MemoryCloud) -> None:
    program = tmp_path / "thumbnailer"
    shutil.copy("/bin/cat", program)
    async with mounted(tmp_path, cloud, deny=("thumbnailer",)) as mount:
        refused = await mount.program(program, mount.path / "small")
        assert refused.returncode == 1
        assert b"Operation not permitted" in refused.stderr
        assert not any(call.method == "read" for call in cloud.calls)
        assert mount.begun == []
        assert await mount.read("small") == b"0123456789"
        allowed = await mount.program(program, mount.path / "small")
        assert allowed.stdout == b"0123456789"


@pytest.mark.parametrize("on_open", list(OnOpen))
async def test_who_hydrates_is_told_once(tmp_path: Path, cloud: MemoryCloud, on_open: OnOpen) -> None:
    async with mounted(tmp_path, cloud, on_open=on_open) as mount:
        await mount.program("cat", mount.path / "big")
        await mount.program("cat", mount.path / "big")
        ((inode, caller),) = mount.begun
        assert inode == mount.node(b"big").inode
        assert caller.exe == os.fsencode(shutil.which("cat") or "")


async def test_content_that_the_cloud_lost_is_enoent_at_open(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        inode = (await mount.stat("small")).st_ino
        cloud.fail("read", ContentNotFound("404"), times=None)
        await mount.tree.set_error(inode, "CONTENT_NOT_FOUND", "404")
        assert await mount.errno(os.open, mount.path / "small", os.O_RDONLY) == errno.ENOENT
        cloud.heal()
        await mount.tree.set_error(inode, None, None)
        assert await mount.read("small") == b"0123456789"


async def test_a_bug_is_eio_and_the_mount_lives_on(
    tmp_path: Path, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.stat("small")

        def broken(*_: object) -> bytes:
            raise ZeroDivisionError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(mount.store, "read_at", broken)
            assert await mount.errno(_pread, mount.path / "small", 0, 4) == errno.EIO
        assert "read 'small' failed by a bug" in caplog.text
        assert await mount.read("small") == b"0123456789"


def _read_in_turns(mount: Mount, go_on: threading.Event, opened: threading.Event) -> bytes:
    with open(mount.path / "small", "rb", buffering=0) as file:
        head = file.read(4)
        opened.set()
        go_on.wait(10)
        return head + file.read()


async def test_a_file_replaced_in_the_cloud(tmp_path: Path, cloud: MemoryCloud) -> None:
    """Who has it open reads the old content to its end, who opens it then the new one."""
    async with mounted(tmp_path, cloud) as mount, trio.open_nursery() as nursery:
        assert await mount.read("small") == b"0123456789"
        old = await mount.stat("small")
        go_on, opened, found = threading.Event(), threading.Event(), []

        async def reader() -> None:
            found.append(await mount.do(_read_in_turns, mount, go_on, opened))

        nursery.start_soon(reader)
        await mount.do(opened.wait, 10)
        cloud.put(b"small", b"a new letter")
        await mount.listings.list_folder(1)
        with trio.fail_after(5):
            while (await mount.stat("small")).st_ino == old.st_ino:
                await trio.sleep(0.01)
        assert (await mount.stat("small")).st_size == 12
        assert await mount.read("small") == b"a new letter"
        go_on.set()
        with trio.fail_after(5):
            while not found:
                await trio.sleep(0.01)
        assert found == [b"0123456789"]


async def test_a_file_that_nobody_has_open_is_replaced_under_its_inode(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"0123456789"
        old = await mount.stat("small")
        await mount.unused(b"small")
        cloud.put(b"small", b"abcdefghij")
        observed = await mount.listings.list_folder(1)
        await mount.store.discard(*observed.changed)
        assert await mount.read("small") == b"abcdefghij"
        with trio.fail_after(5):
            while (await mount.stat("small")).st_mtime_ns == old.st_mtime_ns:
                await trio.sleep(0.01)
        assert (await mount.stat("small")).st_ino == old.st_ino


async def test_names_that_come_and_go_in_the_cloud(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.errno(os.stat, mount.path / "late") == errno.ENOENT
        cloud.put(b"late", b"here now")
        await mount.listings.list_folder(1)
        with trio.fail_after(5):
            while await mount.errno(os.stat, mount.path / "late"):
                await trio.sleep(0.01)
        assert await mount.read("late") == b"here now"
        await mount.tree.remove([mount.node(b"late").inode], mount.store.is_in_use)
        with trio.fail_after(5):
            while not await mount.errno(os.stat, mount.path / "late"):
                await trio.sleep(0.01)
        assert await mount.errno(os.stat, mount.path / "late") == errno.ENOENT


async def test_an_unlinked_file_lives_until_its_last_close(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"0123456789"
        inode = mount.node(b"small").inode
        descriptor = await mount.do(os.open, mount.path / "small", os.O_RDONLY)
        await mount.tree.remove([inode], mount.store.is_in_use)
        assert await mount.do(os.pread, descriptor, 4, 2) == b"2345"
        assert mount.tree.node(inode).parent is None
        await mount.do(os.close, descriptor)
        with trio.fail_after(5):
            while _exists(mount, inode):
                await trio.sleep(0.01)
        assert mount.store.held_bytes(inode) == 0


def _exists(mount: Mount, inode: int) -> bool:
    try:
        mount.tree.node(inode)
    except CloudfsError:
        return False
    return True
