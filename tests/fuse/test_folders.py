"""Names, folders and attributes, as programs see them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
import trio

from cloudfs.clouds.base import Quota
from cloudfs.model.errors import AccessRefused, NetworkUnavailable, TooManyRequests
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"letter.txt", b"Dear all,\n")
    cloud.put(b"docs/plan.txt", b"x" * 1300)
    cloud.put(b"docs/empty", b"")
    return cloud


async def test_a_folder_never_seen_is_listed_at_first_access(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert cloud.calls == []
        assert sorted(await mount.do(os.listdir, mount.path)) == ["docs", "letter.txt"]
        assert (await mount.stat("docs/plan.txt")).st_size == 1300
        await mount.do(os.listdir, mount.path / "docs")
        assert [call.path for call in cloud.calls] == [b"", b"docs"]


async def test_files_and_folders_look_as_promised(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter, docs = await mount.stat("letter.txt"), await mount.stat("docs")
        assert stat.filemode(letter.st_mode) == "-rw-r--r--"
        assert stat.filemode(docs.st_mode) == "drwxr-xr-x"
        assert (letter.st_nlink, docs.st_nlink) == (1, 1)
        assert (letter.st_uid, letter.st_gid) == (os.getuid(), os.getgid())
        assert letter.st_mtime_ns == mount.node(b"letter.txt").mtime_ns
        assert letter.st_ino == mount.node(b"letter.txt").inode


async def test_blocks_count_what_is_held_but_never_show_a_hole(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert (await mount.stat("docs/plan.txt")).st_blocks == 1
        assert (await mount.stat("docs/empty")).st_blocks == 0
        assert await mount.read("docs/plan.txt") == b"x" * 1300
        with trio.fail_after(5):
            while (await mount.stat("docs/plan.txt")).st_blocks != 3:
                await trio.sleep(0.01)


async def test_names_that_are_not_there(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.errno(os.stat, mount.path / "nothing") == errno.ENOENT
        assert await mount.errno(os.stat, mount.path / "docs" / "nothing") == errno.ENOENT
        assert await mount.errno(os.stat, mount.path / "letter.txt" / "below") == errno.ENOTDIR
        assert await mount.errno(os.stat, mount.path / ("n" * 256)) == errno.ENAMETOOLONG
        asked = len(cloud.calls)
        assert await mount.errno(os.stat, mount.path / "nothing") == errno.ENOENT
        assert len(cloud.calls) == asked


@pytest.mark.parametrize(
    ("failure", "number"),
    [
        (NetworkUnavailable("refused"), errno.ENETUNREACH),
        (AccessRefused("403"), errno.EACCES),
        (TooManyRequests("429"), errno.EAGAIN),
    ],
)
async def test_a_folder_never_seen_is_an_error_and_never_empty(
    tmp_path: Path, cloud: MemoryCloud, failure: Exception, number: int
) -> None:
    cloud.fail("list_folder", failure, times=None)  # type: ignore[arg-type]
    async with mounted(tmp_path, cloud, timeout_s=1.0) as mount:
        assert await mount.errno(os.listdir, mount.path) == number
        assert await mount.errno(os.stat, mount.path / "letter.txt") == number
        cloud.heal()
        assert sorted(await mount.do(os.listdir, mount.path)) == ["docs", "letter.txt"]


async def test_a_cloud_that_does_not_answer_is_waited_for_until_the_timeout(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    cloud.gate = trio.Event()
    async with mounted(tmp_path, cloud, timeout_s=0.6) as mount:
        assert await mount.errno(os.listdir, mount.path) == errno.ETIMEDOUT
        cloud.gate.set()
        with trio.fail_after(5):
            assert sorted(await mount.do(os.listdir, mount.path)) == ["docs", "letter.txt"]


async def test_a_program_killed_in_a_first_listing_goes_at_once(tmp_path: Path, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    async with mounted(tmp_path, cloud, timeout_s=60) as mount, trio.open_nursery() as nursery:
        command = ["ls", str(mount.path)]
        process = await nursery.start(lambda task_status: _run(command, task_status))
        with trio.fail_after(5):
            while not cloud.calls:
                await trio.sleep(0.01)
            process.kill()
            await process.wait()
        cloud.gate.set()


async def _run(command: list[str], task_status: trio.TaskStatus[trio.Process]) -> None:
    await trio.run_process(command, check=False, capture_stdout=True, task_status=task_status)


def _inodes(folder: Path) -> dict[str, int]:
    with os.scandir(folder) as entries:
        return {entry.name: entry.inode() for entry in entries}


async def test_three_thousand_entries(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    names = {f"file {number:04}.txt" for number in range(3000)}
    for name in names:
        cloud.put(name.encode(), name.encode())
    async with mounted(tmp_path, cloud) as mount:
        for _ in range(2):
            found = await mount.do(_inodes, mount.path)
            assert found.keys() == names
        shown = await mount.program("ls", "-la", mount.path)
        assert shown.returncode == 0, shown.stderr
        assert len(shown.stdout.splitlines()) == 3000 + 3
        stats = await mount.do(lambda: {name: os.stat(mount.path / name) for name in names})
        assert {name: stat.st_ino for name, stat in stats.items()} == found
        assert {stat.st_size for stat in stats.values()} == {13}
        assert len(cloud.calls) == 1


async def test_a_folder_that_changes_while_it_is_read_shows_what_stayed_once(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    for number in range(1000):
        cloud.put(b"%04d" % number, b"")
    async with mounted(tmp_path, cloud) as mount:
        entries = await mount.do(os.scandir, mount.path)
        with entries:
            seen = await mount.do(lambda: [next(entries).name for _ in range(100)])
            gone = [b"%04d" % number for number in range(0, 1000, 7)]
            await mount.tree.remove([mount.node(name).inode for name in gone], mount.store.is_in_use)
            for name in gone:
                cloud.remove(name)
            for number in range(1000, 1100):
                cloud.put(b"%04d" % number, b"")
            await mount.listings.list_folder(1)
            seen += await mount.do(lambda: [entry.name for entry in entries])
    stayed = {f"{number:04}" for number in range(1000) if number % 7}
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


async def test_statfs_shows_the_quota_where_it_is_known(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, quota=Quota(used=3 << 30, available=1 << 30)) as mount:
        shown = await mount.do(os.statvfs, mount.path)
        assert shown.f_blocks * shown.f_frsize == 4 << 30
        assert shown.f_bavail * shown.f_frsize == 1 << 30
        assert shown.f_namemax == 255


@pytest.mark.parametrize("quota", [None, Quota(used=None, available=None), Quota(used=5, available=None)])
async def test_an_unknown_quota_never_looks_full(
    tmp_path: Path, cloud: MemoryCloud, quota: Quota | None
) -> None:
    async with mounted(tmp_path, cloud, quota=quota) as mount:
        shown = await mount.do(os.statvfs, mount.path)
        assert shown.f_bavail * shown.f_frsize >= 1 << 50
        assert shown.f_favail > 0


def _changes(mount: Mount) -> list[tuple[str, int, list[object]]]:
    path = mount.path
    letter, docs = path / "letter.txt", path / "docs"
    return [
        ("creat", errno.EROFS, [os.open, path / "new", os.O_CREAT | os.O_WRONLY]),
        ("open for writing", errno.EROFS, [os.open, letter, os.O_WRONLY]),
        ("open for both", errno.EROFS, [os.open, letter, os.O_RDWR]),
        ("open and cut", errno.EROFS, [os.open, letter, os.O_RDONLY | os.O_TRUNC]),
        ("truncate", errno.EROFS, [os.truncate, letter, 0]),
        ("chmod", errno.EROFS, [os.chmod, letter, 0o600]),
        ("utime", errno.EROFS, [os.utime, letter]),
        ("mkdir", errno.EROFS, [os.mkdir, path / "new"]),
        ("rmdir", errno.EROFS, [os.rmdir, docs]),
        ("unlink", errno.EROFS, [os.unlink, letter]),
        ("rename", errno.EROFS, [os.rename, letter, path / "new"]),
        ("mknod of a file", errno.EROFS, [os.mknod, path / "new", 0o600 | stat.S_IFREG]),
        ("symlink", errno.EPERM, [os.symlink, "letter.txt", path / "new"]),
        ("link", errno.EPERM, [os.link, letter, path / "new"]),
        ("fifo", errno.EPERM, [os.mkfifo, path / "new"]),
        ("mkdir of a name too long", errno.ENAMETOOLONG, [os.mkdir, path / ("n" * 256)]),
        ("mkdir of what is there", errno.EEXIST, [os.mkdir, docs]),
        ("readlink", errno.EINVAL, [os.readlink, letter]),
    ]


async def test_a_read_only_mount_takes_no_changes(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, read_only=True) as mount:
        for what, number, (call, *arguments) in _changes(mount):
            assert await mount.errno(call, *arguments) == number, what  # type: ignore[arg-type]
        assert sorted(await mount.do(os.listdir, mount.path)) == ["docs", "letter.txt"]
