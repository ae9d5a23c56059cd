"""INTERFACE section 5, attribute by attribute, through the kernel."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
import trio

from cloudfs.config.settings import OnOpen
from cloudfs.model.errors import NetworkUnavailable
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

ON_ALL = {
    "user.cloudfs.state",
    "user.cloudfs.progress",
    "user.cloudfs.location",
    "user.cloudfs.error",
    "user.cloudfs.uri",
    "user.cloudfs.pin",
}
ON_THE_ROOT = {
    "user.cloudfs.sync_state",
    "user.cloudfs.sync_error",
    "user.cloudfs.last_sync_time",
    "user.cloudfs.pending",
}
BY_NAME = {
    "user.clouddisk.filesyncstate",
    "user.cloud.location",
    "user.cloud.cloudid",
    "user.clouddisk.placeholder",
}


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"letter.txt", b"0123456789")
    cloud.put(b"empty", b"")
    cloud.put(b"docs/plan.txt", b"a plan")
    cloud.put(b"Photos/sea.jpg", b"blue")
    return cloud


async def _get(mount: Mount, path: str, name: str) -> str:
    return (await mount.do(os.getxattr, mount.path / path, name)).decode()


async def _missing(mount: Mount, path: str, name: str) -> int:
    return await mount.errno(os.getxattr, mount.path / path, name)


async def test_the_list(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        for path, names in {
            "letter.txt": ON_ALL,
            "docs": ON_ALL,
            "": ON_ALL | ON_THE_ROOT,
            "Photos/sea.jpg": ON_ALL | {"user.cloudfs.media_uri"},
        }.items():
            listed = await mount.do(os.listxattr, mount.path / path)
            assert sorted(listed) == sorted(names), path


async def test_a_placeholder_and_what_becomes_of_it(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES) as mount:
        expected = {
            "user.cloudfs.state": "COMPLETED",
            "user.cloudfs.progress": "0/10",
            "user.cloudfs.location": "cloud",
            "user.cloudfs.error": "NO_ERROR",
            "user.cloudfs.uri": "file://com.example.files/letter.txt",
            "user.cloudfs.pin": "auto",
            "user.clouddisk.filesyncstate": "2",
            "user.cloud.location": "2",
            "user.clouddisk.placeholder": "1",
        }
        for name, value in expected.items():
            assert await _get(mount, "letter.txt", name) == value, name
        assert await mount.read("letter.txt") == b"0123456789"
        assert await _get(mount, "letter.txt", "user.cloudfs.progress") == "10/10"
        assert await _get(mount, "letter.txt", "user.cloudfs.location") == "both"
        assert await _get(mount, "letter.txt", "user.cloud.location") == "3"
        assert await _missing(mount, "letter.txt", "user.clouddisk.placeholder") == errno.ENODATA


async def test_part_of_a_file(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES) as mount:
        node = mount.node(b"letter.txt") if await mount.stat("letter.txt") else None
        assert node is not None
        assert node.version is not None
        content = await mount.store.open(node.inode, node.version)
        await mount.store.write_at(content, 0, b"0123")
        assert await _get(mount, "letter.txt", "user.cloudfs.location") == "partial"
        assert await _get(mount, "letter.txt", "user.cloudfs.progress") == "4/10"
        assert await _get(mount, "letter.txt", "user.cloud.location") == "2"
        assert await _get(mount, "letter.txt", "user.clouddisk.placeholder") == "1"
        await mount.store.close(content)


async def test_nothing_to_fetch_is_both(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        for path in ("empty", "docs", ""):
            assert await _get(mount, path, "user.cloudfs.location") == "both", path
            assert await _get(mount, path, "user.cloudfs.progress") == "0/0", path


async def test_the_roots_own(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await _get(mount, "", "user.cloudfs.sync_state") == "COMPLETED"
        assert await _get(mount, "", "user.cloudfs.sync_error") == "NO_ERROR"
        assert await _get(mount, "", "user.cloudfs.last_sync_time") == "1700000000000"
        assert await _get(mount, "", "user.cloudfs.pending") == "0"
        for name in ON_THE_ROOT:
            assert await _missing(mount, "docs", name) == errno.ENODATA, name


async def test_gallery_files_have_a_media_uri(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        found = await _get(mount, "Photos/sea.jpg", "user.cloudfs.media_uri")
        assert found == f"file://media/Photo/{mount.node(b'Photos/sea.jpg').media_id}"
        assert await _missing(mount, "letter.txt", "user.cloudfs.media_uri") == errno.ENODATA


async def test_the_last_failure_by_its_name(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        inode = (await mount.stat("letter.txt")).st_ino
        await mount.tree.set_error(inode, "NETWORK_UNAVAILABLE", "no route")
        assert await _get(mount, "letter.txt", "user.cloudfs.error") == "NETWORK_UNAVAILABLE"
        await mount.tree.set_error(inode, None, None)
        assert await _get(mount, "letter.txt", "user.cloudfs.error") == "NO_ERROR"


async def test_a_cloud_id_names_the_file(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await _get(mount, "letter.txt", "user.cloud.cloudid") == (
            mount.node(b"letter.txt").file_id or str(mount.node(b"letter.txt").inode)
        )


async def test_a_pin_hydrates_and_holds_below(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter, docs = mount.path / "letter.txt", mount.path / "docs"
        await mount.do(os.setxattr, letter, "user.cloudfs.pin", b"always")
        assert await _get(mount, "letter.txt", "user.cloudfs.pin") == "always"
        with trio.fail_after(5):
            while await _get(mount, "letter.txt", "user.cloudfs.location") != "both":
                await trio.sleep(0.01)
        await mount.do(os.removexattr, letter, "user.cloudfs.pin")
        assert await _get(mount, "letter.txt", "user.cloudfs.pin") == "auto"
        await mount.do(os.setxattr, docs, "user.cloudfs.pin", b"always")
        await mount.do(os.setxattr, docs / "plan.txt", "user.cloudfs.pin", b"auto")
        assert await _get(mount, "docs/plan.txt", "user.cloudfs.pin") == "always"
        await mount.do(os.setxattr, docs, "user.cloudfs.pin", b"auto")
        assert await _get(mount, "docs/plan.txt", "user.cloudfs.pin") == "auto"


@pytest.mark.parametrize("value", [b"", b"never", b"ALWAYS", b"always\n"])
async def test_other_pins_are_invalid(tmp_path: Path, cloud: MemoryCloud, value: bytes) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter = mount.path / "letter.txt"
        assert await mount.errno(os.setxattr, letter, "user.cloudfs.pin", value) == errno.EINVAL
        assert await _get(mount, "letter.txt", "user.cloudfs.pin") == "auto"


async def test_read_only_ones_can_be_neither_set_nor_removed(tmp_path: Path, cloud: MemoryCloud) -> None:
    read_only = (ON_ALL | ON_THE_ROOT | BY_NAME | {"user.cloudfs.media_uri"}) - {"user.cloudfs.pin"}
    async with mounted(tmp_path, cloud) as mount:
        for path in (mount.path, mount.path / "letter.txt"):
            for name in sorted(read_only):
                assert await mount.errno(os.setxattr, path, name, b"x") == errno.EOPNOTSUPP, name
                assert await mount.errno(os.removexattr, path, name) == errno.EOPNOTSUPP, name


async def test_the_users_own_survive_a_remount(tmp_path: Path, cloud: MemoryCloud) -> None:
    values = {"user.note": b"\x00\xff\n", "user.big": bytes(range(256)) * 256, "user.none": b""}
    async with mounted(tmp_path, cloud) as mount:
        for name, value in values.items():
            await mount.do(os.setxattr, mount.path / "letter.txt", name, value)
        assert set(await mount.do(os.listxattr, mount.path / "letter.txt")) == ON_ALL | values.keys()
    async with mounted(tmp_path, cloud) as mount:
        for name, value in values.items():
            assert await mount.do(os.getxattr, mount.path / "letter.txt", name) == value, name
        await mount.do(os.removexattr, mount.path / "letter.txt", "user.note")
        assert await _missing(mount, "letter.txt", "user.note") == errno.ENODATA
        assert await mount.errno(os.removexattr, mount.path / "letter.txt", "user.note") == errno.ENODATA


async def test_flags_and_limits(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter = mount.path / "letter.txt"
        assert await mount.errno(os.setxattr, letter, "user.a", b"1", os.XATTR_REPLACE) == errno.ENODATA
        assert await mount.errno(os.setxattr, letter, "user.a", b"1", os.XATTR_CREATE) == 0
        assert await mount.errno(os.setxattr, letter, "user.a", b"2", os.XATTR_CREATE) == errno.EEXIST
        assert await mount.errno(os.setxattr, letter, "user.a", b"2", os.XATTR_REPLACE) == 0
        assert await _get(mount, "letter.txt", "user.a") == "2"
        assert await mount.errno(os.setxattr, letter, "user.b", bytes(65537)) == errno.E2BIG
        long_names = [f"user.{number:0250}" for number in range(257)]
        results = [await mount.errno(os.setxattr, letter, name, b"") for name in long_names]
        assert results[0] == 0
        assert results[-1] == errno.ENOSPC
        assert await mount.do(os.listxattr, letter)


async def test_a_short_buffer_is_erange(tmp_path: Path, cloud: MemoryCloud) -> None:
    code = (
        "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True); "
        "n = libc.getxattr(sys.argv[1].encode(), b'user.cloudfs.uri', ctypes.create_string_buffer(3), 3); "
        "print(n, ctypes.get_errno())"
    )
    async with mounted(tmp_path, cloud) as mount:
        shown = await mount.program(sys.executable, "-c", code, mount.path / "letter.txt")
        assert shown.stdout.decode().split() == ["-1", str(errno.ERANGE)]


async def test_other_namespaces(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter = mount.path / "letter.txt"
        for name in ("security.selinux", "system.posix_acl_access", "security.capability", "trusted.x"):
            assert await _missing(mount, "letter.txt", name) == errno.ENODATA, name
        for name in ("trusted.x", "security.x"):
            assert await mount.errno(os.setxattr, letter, name, b"x") == errno.EOPNOTSUPP, name
            assert await mount.errno(os.removexattr, letter, name) == errno.ENODATA, name


async def test_no_attribute_asks_the_cloud(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(os.listdir, mount.path / "Photos")
        cloud.fail("list_folder", NetworkUnavailable("gone"), times=None)
        asked = len(cloud.calls)
        for path in ("", "letter.txt", "Photos/sea.jpg"):
            for name in await mount.do(os.listxattr, mount.path / path):
                await mount.do(os.getxattr, mount.path / path, name)
        assert len(cloud.calls) == asked


async def test_copies_with_attributes_stay_quiet(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(os.setxattr, mount.path / "letter.txt", "user.note", b"mine")
        copied = await mount.program("cp", "-a", mount.path / "letter.txt", tmp_path / "copy")
        assert (copied.returncode, copied.stderr) == (0, b"")
        assert (tmp_path / "copy").read_bytes() == b"0123456789"
