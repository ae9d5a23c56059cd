"""Names that programs make, move and remove."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.model.errors import NetworkUnavailable
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"letter.txt", b"Dear all,\n")
    cloud.put(b"other.txt", b"other")
    cloud.put(b"docs/plan.txt", b"a plan")
    cloud.put(b"docs/old/kept", b"kept")
    cloud.mkdir(b"hollow")
    cloud.put(b"Photos/sea.jpg", b"blue")
    return cloud


def _renameat2(source: Path, target: Path, flags: int) -> None:
    """renameat2(2), which Python does not have."""
    result = _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def _open(path: Path, flags: int = os.O_RDWR) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))


async def _names(mount: Mount, folder: str = "") -> list[str]:
    return sorted(await mount.do(os.listdir, mount.path / folder))


# --- making ---


async def test_a_new_folder_is_known_and_survives_a_remount(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(os.makedirs, mount.path / "a" / "b")
        await mount.do((mount.path / "a" / "b" / "file").write_bytes, b"deep")
        await _names(mount, "docs")
        asked = len(cloud.calls)
        assert await _names(mount, "a") == ["b"]
        assert await mount.errno(os.stat, mount.path / "a" / "nothing") == errno.ENOENT
        assert len(cloud.calls) == asked
        assert await mount.errno(os.mkdir, mount.path / "docs") == errno.EEXIST
        assert await mount.errno(os.mkdir, mount.path / "letter.txt") == errno.EEXIST
        assert await mount.errno(os.mkdir, mount.path / "nothing" / "below") == errno.ENOENT
        assert await mount.errno(os.mkdir, mount.path / "letter.txt" / "below") == errno.ENOTDIR
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("a/b/file") == b"deep"


async def test_folders_show_that_they_changed(tmp_path: Path, cloud: MemoryCloud) -> None:
    """A folder's times move with its names, at once in spite of what the kernel remembers (stat(2))."""
    async with mounted(tmp_path, cloud) as mount:
        for change in (
            lambda: (mount.path / "docs" / "new").touch(),
            lambda: (mount.path / "docs" / "new").rename(mount.path / "docs" / "newer"),
            lambda: (mount.path / "docs" / "newer").unlink(),
            lambda: (mount.path / "docs" / "folder").mkdir(),
            lambda: (mount.path / "docs" / "folder").rmdir(),
        ):
            before = await mount.stat("docs")
            await mount.do(change)
            after = await mount.stat("docs")
            assert after.st_mtime_ns > before.st_mtime_ns
            assert after.st_ctime_ns > before.st_ctime_ns


async def test_names_that_no_cloud_takes(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        path, letter, long = mount.path, mount.path / "letter.txt", "n" * 256
        create = os.O_CREAT | os.O_WRONLY
        for what, number, call in [
            ("a name too long", errno.ENAMETOOLONG, lambda: os.open(path / long, create)),
            ("a folder's name too long", errno.ENAMETOOLONG, lambda: os.mkdir(path / long)),
            ("a target too long", errno.ENAMETOOLONG, lambda: os.rename(letter, path / long)),
            ("a hidden name", errno.EPERM, lambda: os.open(path / ".cloudfs-1", create)),
            ("a hidden folder", errno.EPERM, lambda: os.mkdir(path / ".cloudfs-1")),
            ("a hidden target", errno.EPERM, lambda: os.rename(letter, path / ".cloudfs-1")),
            ("symlink", errno.EPERM, lambda: os.symlink("letter.txt", path / "new")),
            ("link", errno.EPERM, lambda: os.link(letter, path / "new")),
            ("fifo", errno.EPERM, lambda: os.mkfifo(path / "new")),
            ("device", errno.EPERM, lambda: os.mknod(path / "new", 0o600 | stat.S_IFCHR, os.makedev(1, 3))),
            ("socket", errno.EPERM, lambda: _bind(path / "new")),
            ("readlink", errno.EINVAL, lambda: os.readlink(letter)),
        ]:
            assert await mount.errno(call) == number, what
        await mount.do((path / ("ü" * 127)).touch)
        assert "ü" * 127 in await _names(mount)


# --- removing ---


async def test_unlink_and_rmdir(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(os.unlink, mount.path / "letter.txt")
        await mount.do(os.rmdir, mount.path / "hollow")
        assert await _names(mount) == ["Photos", "docs", "other.txt"]
        assert await mount.errno(os.stat, mount.path / "letter.txt") == errno.ENOENT
        assert await mount.errno(os.unlink, mount.path / "letter.txt") == errno.ENOENT
        assert await mount.errno(os.unlink, mount.path / "docs") == errno.EISDIR
        assert await mount.errno(os.rmdir, mount.path / "other.txt") == errno.ENOTDIR
        assert await mount.errno(os.rmdir, mount.path / "docs") == errno.ENOTEMPTY
        assert await mount.errno(os.rmdir, mount.path / "nothing") == errno.ENOENT
    async with mounted(tmp_path, cloud) as mount:
        assert await _names(mount) == ["Photos", "docs", "other.txt"]
        # The cloud still has them; a listing must not bring them back.
        await mount.listings.list_folder(1)
        assert await _names(mount) == ["Photos", "docs", "other.txt"]


async def test_a_folder_never_listed_is_not_taken_for_empty(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, timeout_s=1.0) as mount:
        await mount.stat("docs")
        cloud.fail("list_folder", NetworkUnavailable("gone"), times=None)
        assert await mount.errno(os.rmdir, mount.path / "docs") == errno.ENETUNREACH
        await mount.do(os.mkdir, mount.path / "new")
        assert await mount.errno(os.rename, mount.path / "new", mount.path / "docs") == errno.ENETUNREACH
        cloud.heal()
        assert await mount.errno(os.rmdir, mount.path / "docs") == errno.ENOTEMPTY
        assert await mount.errno(os.rename, mount.path / "new", mount.path / "docs") == errno.ENOTEMPTY
        await mount.do(os.rename, mount.path / "new", mount.path / "hollow")
        assert await _names(mount) == ["Photos", "docs", "hollow", "letter.txt", "other.txt"]


async def test_a_tree_goes_by_rm_and_does_not_come_back(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        result = await mount.program("rm", "-r", mount.path / "docs")
        assert result.returncode == 0, result.stderr
        assert await mount.errno(os.stat, mount.path / "docs") == errno.ENOENT
        await mount.do(os.mkdir, mount.path / "docs")
        assert await _names(mount, "docs") == []


async def test_a_file_that_is_removed_while_open_is_read_to_its_end(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    def use(path: Path) -> bytes:
        with _open(path / "letter.txt") as descriptor:
            os.unlink(path / "letter.txt")
            assert os.fstat(descriptor).st_nlink == 0
            (path / "letter.txt").write_bytes(b"another one")
            os.pwrite(descriptor, b"D", 0)
            return os.pread(descriptor, 100, 0)

    async with mounted(tmp_path, cloud) as mount:
        assert await mount.do(use, mount.path) == b"Dear all,\n"
        assert await mount.read("letter.txt") == b"another one"


async def test_what_was_removed_leaves_nothing_in_the_cache(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("letter.txt") == b"Dear all,\n"
        await mount.do((mount.path / "new").write_bytes, b"not for long")
        await mount.unused(b"letter.txt")
        await mount.unused(b"new")
        assert mount.store.usage.files == 2
        await mount.do(os.unlink, mount.path / "letter.txt")
        await mount.do(os.unlink, mount.path / "new")
        with trio.fail_after(5):
            while mount.store.usage.files or mount.store.usage.used:
                await trio.sleep(0.01)


# --- moving ---


async def test_a_rename_keeps_content_inode_and_open_files(tmp_path: Path, cloud: MemoryCloud) -> None:
    def move(path: Path) -> None:
        with _open(path / "letter.txt") as descriptor:
            before = os.fstat(descriptor)
            os.rename(path / "letter.txt", path / "docs" / "renamed")
            os.pwrite(descriptor, b"d", 0)
            assert os.pread(descriptor, 100, 0) == b"dear all,\n"
            after = os.stat(path / "docs" / "renamed")
            assert after.st_ino == before.st_ino
            assert after.st_ctime_ns > before.st_ctime_ns

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(move, mount.path)
        assert await mount.read("docs/renamed") == b"dear all,\n"
        assert await mount.errno(os.stat, mount.path / "letter.txt") == errno.ENOENT
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("docs/renamed") == b"dear all,\n"


async def test_a_rename_over_a_file_replaces_it(tmp_path: Path, cloud: MemoryCloud) -> None:
    def replace(path: Path) -> None:
        with _open(path / "other.txt") as descriptor:
            (path / "other.new").write_bytes(b"new content")
            os.rename(path / "other.new", path / "other.txt")
            assert os.pread(descriptor, 100, 0) == b"other"
            assert os.fstat(descriptor).st_nlink == 0

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(replace, mount.path)
        assert await mount.read("other.txt") == b"new content"
        assert "other.new" not in await _names(mount)


async def test_folders_are_moved_with_all_below_them(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.stat("docs/plan.txt")
        await mount.do(os.rename, mount.path / "docs", mount.path / "papers")
        assert await mount.read("papers/plan.txt") == b"a plan"
        assert await mount.read("papers/old/kept") == b"kept"
        await mount.do(os.rename, mount.path / "papers", mount.path / "hollow")
        assert await mount.read("hollow/old/kept") == b"kept"


async def test_renames_that_posix_refuses(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        path = mount.path
        for what, number, source, target in [
            ("a folder into itself", errno.EINVAL, "docs", "docs/old/docs"),
            ("a folder over a file", errno.ENOTDIR, "docs", "letter.txt"),
            ("a file over a folder", errno.EISDIR, "letter.txt", "hollow"),
            ("a folder over a full one", errno.ENOTEMPTY, "hollow", "docs"),
            ("a name that is not there", errno.ENOENT, "nothing", "new"),
            ("into a folder that is not there", errno.ENOENT, "letter.txt", "nothing/new"),
            ("into a file", errno.ENOTDIR, "letter.txt", "other.txt/new"),
        ]:
            assert await mount.errno(os.rename, path / source, path / target) == number, what
        await mount.do(os.rename, path / "letter.txt", path / "letter.txt")
        assert await _names(mount) == ["Photos", "docs", "hollow", "letter.txt", "other.txt"]


async def test_renameat2(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        letter, other, docs = (mount.path / name for name in ("letter.txt", "other.txt", "docs"))
        assert await mount.errno(_renameat2, letter, other, RENAME_NOREPLACE) == errno.EEXIST
        await mount.do(_renameat2, letter, mount.path / "free", RENAME_NOREPLACE)
        await mount.do(_renameat2, mount.path / "free", letter, RENAME_NOREPLACE)
        await mount.do(_renameat2, letter, other, RENAME_EXCHANGE)
        assert await mount.read("letter.txt") == b"other"
        assert await mount.read("other.txt") == b"Dear all,\n"
        await mount.do(_renameat2, letter, docs, RENAME_EXCHANGE)
        assert await mount.read("letter.txt/plan.txt") == b"a plan"
        assert await mount.read("docs") == b"other"
        assert await mount.errno(_renameat2, letter, mount.path / "free", RENAME_EXCHANGE) == errno.ENOENT
        assert await mount.errno(_renameat2, letter, mount.path / "free", RENAME_WHITEOUT) == errno.EINVAL


async def test_a_gallery_folder_stays_where_it_is(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        photos = mount.path / "Photos"
        await mount.do(os.unlink, photos / "sea.jpg")
        assert await mount.errno(os.rmdir, photos) == errno.EBUSY
        assert await mount.errno(os.rename, photos, mount.path / "Pictures") == errno.EBUSY
        assert await mount.errno(os.rename, mount.path / "hollow", photos) == errno.EBUSY
        assert await mount.errno(_renameat2, mount.path / "hollow", photos, RENAME_EXCHANGE) == errno.EBUSY
        await mount.do(os.rename, mount.path / "letter.txt", photos / "letter.txt")
        uri = await mount.do(os.getxattr, photos / "letter.txt", "user.cloudfs.media_uri")
        assert uri.startswith(b"file://media/Photo/")


# --- programs ---


async def test_what_editors_do_when_they_save(tmp_path: Path, cloud: MemoryCloud) -> None:
    """vim's backup and GNOME's replace leave one changed file of the same base, and nothing to delete."""
    script = (
        'set -e; cd "$0"; mv letter.txt letter.txt~; echo vim > letter.txt; rm letter.txt~; '
        "echo gedit > .goutputstream; mv .goutputstream other.txt"
    )
    async with mounted(tmp_path, cloud) as mount:
        await _names(mount)
        bases = {name: mount.node(name).version for name in (b"letter.txt", b"other.txt")}
        result = await mount.program("sh", "-c", script, mount.path)
        assert result.returncode == 0, result.stderr
        assert await mount.read("letter.txt") == b"vim\n"
        assert await mount.read("other.txt") == b"gedit\n"
        for name, base in bases.items():
            assert mount.node(name).is_modified
            assert mount.node(name).version == base
        assert mount.tree.count_changes() == 2


async def test_tools_that_people_use(tmp_path: Path, cloud: MemoryCloud) -> None:
    """cp -a, tar, git and sqlite on one mount, compared with a plain folder."""
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    for number in range(30):
        (source / "deep" / f"file {number}").write_bytes(b"%d\n" % number * number)
    os.utime(source / "deep" / "file 3", ns=(0, 1_000_000_000_123_456_789))
    script = (
        'set -e; cd "$0"; cp -a "$1" copy; tar cf all.tar copy; mkdir out; tar xf all.tar -C out; '
        'diff -r copy out/copy; diff -r "$1" copy; '
        "git init -q repo; cd repo; cp -r ../copy/deep .; git add .; "
        "git -c user.name=a -c user.email=a@b commit -qm all; git fsck --strict; git status --porcelain"
    )

    async with mounted(tmp_path, cloud) as mount:
        result = await mount.program("sh", "-c", script, mount.path, source)
        assert result.returncode == 0, result.stderr
        assert result.stdout == b""
        copied = await mount.stat("copy/deep/file 3")
        assert copied.st_mtime_ns == 1_000_000_000_123_456_789
        extracted = await mount.stat("out/copy/deep/file 3")
        assert extracted.st_mtime_ns // 10**9 == 1_000_000_000


async def test_sqlite_keeps_a_database(tmp_path: Path, cloud: MemoryCloud) -> None:
    """It locks, syncs, truncates, and in WAL mode maps a file that others have open."""
    code = """
import sqlite3, sys
for mode in ("delete", "wal"):
    connection = sqlite3.connect(sys.argv[1] + mode)
    assert connection.execute(f"PRAGMA journal_mode={mode}").fetchone() == (mode,)
    with connection: connection.execute("CREATE TABLE t (n)")
    for number in range(20):
        with connection: connection.execute("INSERT INTO t VALUES (?)", (number,))
    other = sqlite3.connect(sys.argv[1] + mode)
    assert other.execute("SELECT sum(n) FROM t").fetchone() == (190,)
    other.close()
    connection.close()
    assert sqlite3.connect(sys.argv[1] + mode).execute("PRAGMA integrity_check").fetchone() == ("ok",)
"""
    async with mounted(tmp_path, cloud) as mount:
        result = await mount.program(sys.executable, "-c", code, mount.path / "base.")
        assert result.returncode == 0, result.stderr
