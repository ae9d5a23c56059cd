"""Mounting and unmounting."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import trio

from cloudfs.config.settings import OnOpen
from cloudfs.fuse import mountpoint
from cloudfs.model.errors import MountFailed, TryAgain
from tests.fuse.mounts import mounted
from tests.servers.memory_cloud import MemoryCloud


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"letter.txt", b"Dear all,\n")
    return cloud


async def test_it_is_a_mount_of_type_fuse_cloudfs(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        states = [mount.session.is_mounted]
        (line,) = [line for line in Path("/proc/mounts").read_text().splitlines() if str(mount.path) in line]
        source, _, kind, options = line.split()[:4]
        assert (source, kind) == ("cloudfs", "fuse.cloudfs")
        assert {"rw", "default_permissions"} <= set(options.split(","))
    assert [*states, mount.session.is_mounted] == [True, False]
    assert not mountpoint.is_mounted(mount.path)
    assert os.listdir(mount.path) == []


async def test_a_cancelled_mount_goes_under_the_programs_that_use_it(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES) as mount:
        descriptor = await mount.do(os.open, mount.path / "letter.txt", os.O_RDONLY)
        inode = mount.node(b"letter.txt").inode
        assert mount.store.is_in_use(inode)
    assert not mountpoint.is_mounted(mount.path)
    assert mount.session.open_handles == 0
    assert not mount.store.is_in_use(inode)
    with pytest.raises(OSError, match=r"not connected|aborted"):
        os.pread(descriptor, 4, 0)
    with pytest.raises(OSError, match="not connected"):
        os.close(descriptor)


async def test_unmounting_waits_for_nobody_but_refuses_while_files_are_open(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        descriptor = await mount.do(os.open, mount.path / "letter.txt", os.O_RDONLY)
        with pytest.raises(TryAgain, match="open"):
            await mount.session.unmount()
        assert (await mount.stat("letter.txt")).st_size == 10
        await mount.do(os.close, descriptor)
        await mount.unused(b"letter.txt")
        await mount.session.unmount()
        await mount.ended()
        assert not mountpoint.is_mounted(mount.path)


async def test_a_mount_on_a_mount_is_refused(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        with pytest.raises(MountFailed, match="mounted already"):
            await mount.do(mountpoint.prepare, mount.path)
        assert await mount.read("letter.txt") == b"Dear all,\n"


def test_a_mountpoint_with_blanks_and_backslashes_is_found(tmp_path: Path, cloud: MemoryCloud) -> None:
    strange = tmp_path / "my \\folder\n"
    strange.mkdir()

    async def main() -> None:
        async with mounted(strange, cloud) as mount:
            assert mountpoint.is_mounted(mount.path)

    trio.run(main)


def test_the_mount_of_a_dead_daemon_is_taken_away(tmp_path: Path) -> None:
    code = """
        import os, pyfuse3, sys
        pyfuse3.init(pyfuse3.Operations(), sys.argv[1], {"fsname=cloudfs", "subtype=cloudfs"})
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True)
    with pytest.raises(OSError) as raised:
        os.stat(tmp_path)
    assert raised.value.errno == errno.ENOTCONN
    mountpoint.prepare(tmp_path)
    assert os.listdir(tmp_path) == []
    assert not mountpoint.is_mounted(tmp_path)
