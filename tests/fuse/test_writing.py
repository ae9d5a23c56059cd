"""Content that programs write: bytes, sizes, times, and what of it survives."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pyfuse3
import pytest
import trio

from cloudfs.config.settings import OnOpen
from cloudfs.model.errors import LocalStorageFull, NetworkUnavailable
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

BIG = random.Random(5).randbytes(3_000_001)
SECOND = 1_000_000_000


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"big", BIG)
    cloud.put(b"small", b"0123456789")
    cloud.put(b"empty", b"")
    return cloud


@contextmanager
def _open(path: Path, flags: int, mode: int = 0o666) -> Iterator[int]:
    descriptor = os.open(path, flags, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _pwrite(path: Path, data: bytes, offset: int) -> int:
    with _open(path, os.O_WRONLY) as descriptor:
        return os.pwrite(descriptor, data, offset)


def _pread(path: Path, size: int, offset: int) -> bytes:
    with _open(path, os.O_RDONLY) as descriptor:
        return os.pread(descriptor, size, offset)


def _reads(cloud: MemoryCloud) -> int:
    return sum(call.method == "read" for call in cloud.calls)


# --- new files ---


async def test_a_new_file_holds_what_was_written_and_survives_a_remount(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do((mount.path / "new").write_bytes, BIG)
        assert await mount.read("new") == BIG
        assert (await mount.stat("new")).st_size == len(BIG)
        node = mount.node(b"new")
        assert node.is_unsent
        assert node.is_modified
        before = await mount.stat("new")
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("new") == BIG
        after = await mount.stat("new")
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_an_empty_file_is_a_file(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do((mount.path / "touched").touch)
        await mount.do(os.mknod, mount.path / "made", 0o640 | stat.S_IFREG)
    async with mounted(tmp_path, cloud) as mount:
        for name in ("touched", "made"):
            assert await mount.read(name) == b""
            assert (await mount.stat(name)).st_blocks == 0
            await mount.do((mount.path / name).write_bytes, b"now some")
            assert await mount.read(name) == b"now some"


async def test_a_file_made_in_place_of_a_removed_one_has_nothing_of_it(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    """To the cloud it is the same file, to be replaced; that must not bring the old bytes back."""

    def replace(path: Path) -> None:
        path.unlink()
        path.touch()

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(replace, mount.path / "small")
        await mount.unused(b"small")
        assert mount.node(b"small").version is not None
        assert await mount.read("small") == b""
        await mount.unused(b"small")
        await mount.do(os.truncate, mount.path / "small", 17)
        assert await mount.read("small") == bytes(17)
        assert _reads(cloud) == 0
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == bytes(17)


async def test_modes_and_owners_of_new_files(tmp_path: Path, cloud: MemoryCloud) -> None:
    """umask(2) applies, and a folder's S_ISGID hands its group on."""

    def make(folder: Path) -> None:
        former = os.umask(0o027)
        try:
            with _open(folder / "file", os.O_CREAT | os.O_WRONLY, 0o777):
                os.mkdir(folder / "folder", 0o777)
        finally:
            os.umask(former)

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(make, mount.path)
        assert stat.filemode((await mount.stat("file")).st_mode) == "-rwxr-x---"
        assert stat.filemode((await mount.stat("folder")).st_mode) == "drwxr-x---"
        await mount.do(os.chown, mount.path / "folder", -1, 4321)
        await mount.do(os.chmod, mount.path / "folder", 0o2770)
        await mount.do(make, mount.path / "folder")
        assert (await mount.stat("folder/file")).st_gid == 4321
        inner = await mount.stat("folder/folder")
        assert (inner.st_gid, stat.S_IMODE(inner.st_mode)) == (4321, 0o2750)


async def test_o_excl_and_o_creat_of_what_is_there(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        assert await mount.errno(os.open, mount.path / "small", exclusive) == errno.EEXIST
        assert await mount.do(_pread_creating, mount.path / "small") == b"0123456789"


async def test_of_racing_exclusive_creates_one_wins(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        results: list[int] = []

        async def create() -> None:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
            results.append(await mount.errno(os.open, mount.path / "lock", flags))

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(create)
        assert sorted(results) == [0] + [errno.EEXIST] * 7


async def test_a_create_finds_what_came_behind_the_kernels_back(tmp_path: Path, cloud: MemoryCloud) -> None:
    """The kernel remembers that the name is free, and hears only later that the cloud has one now."""
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.errno(os.stat, mount.path / "late") == errno.ENOENT
        cloud.put(b"late", b"from the cloud")
        async with _news_held_back(mount):
            assert await mount.do(_pread_creating, mount.path / "late") == b"from the cloud"
        exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY
        assert await mount.errno(os.open, mount.path / "late", exclusive) == errno.EEXIST


def _pread_creating(path: Path) -> bytes:
    with _open(path, os.O_CREAT | os.O_RDWR) as descriptor:
        return os.pread(descriptor, 100, 0)


@asynccontextmanager
async def _news_held_back(mount: Mount) -> AsyncIterator[None]:
    """The root is listed anew, and the kernel is not told what changed until the block is left."""
    gate = threading.Event()

    def held_back(notify: Callable[..., None]) -> Callable[..., None]:
        def wait(*args: object, **kwargs: object) -> None:
            gate.wait(10)
            notify(*args, **kwargs)

        return wait

    with pytest.MonkeyPatch.context() as patch:
        for name in ("invalidate_inode", "invalidate_entry"):
            patch.setattr(pyfuse3, name, held_back(getattr(pyfuse3, name)))
        await mount.listings.list_folder(1)
        try:
            yield
        finally:
            gate.set()


async def test_an_append_goes_to_the_end_that_the_kernel_has_not_heard_of(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert (await mount.stat("small")).st_size == 10
        cloud.put(b"small", b"0123456789 and more")
        async with _news_held_back(mount):
            await mount.do(_append, mount.path / "small", b"!")
            assert await mount.read("small") == b"0123456789 and more!"
        assert await mount.read("small") == b"0123456789 and more!"


async def test_several_at_once_append_to_what_the_kernel_has_not_heard_of(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    """Each is sent back to look once, and none is told so."""
    async with mounted(tmp_path, cloud) as mount:
        cloud.put(b"one", b"0")
        cloud.put(b"two", b"0")
        await mount.listings.list_folder(1)
        for name in ("one", "two"):
            assert (await mount.stat(name)).st_size == 1
        cloud.put(b"one", b"from the cloud")
        async with _news_held_back(mount), trio.open_nursery() as nursery:
            for _ in range(10):
                for name in ("one", "two"):
                    nursery.start_soon(mount.do, _append, mount.path / name, b"!")
        assert await mount.read("one") == b"from the cloud" + b"!" * 10
        assert await mount.read("two") == b"0" + b"!" * 10


def _append(path: Path, data: bytes) -> None:
    with _open(path, os.O_WRONLY | os.O_APPEND) as descriptor:
        os.write(descriptor, data)


# --- writing to placeholders ---


@pytest.mark.parametrize("on_open", list(OnOpen))
async def test_a_write_in_the_middle_keeps_the_rest(
    tmp_path: Path, cloud: MemoryCloud, on_open: OnOpen
) -> None:
    expected = BIG[:1_000_000] + b"changed" + BIG[1_000_007:]
    async with mounted(tmp_path, cloud, on_open=on_open) as mount:
        assert await mount.do(_pwrite, mount.path / "big", b"changed", 1_000_000) == 7
        assert await mount.read("big") == expected
    async with mounted(tmp_path, cloud, on_open=on_open) as mount:
        assert await mount.read("big") == expected
        assert mount.node(b"big").is_modified


async def test_o_trunc_fetches_nothing(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do((mount.path / "big").write_bytes, b"anew")
        assert await mount.read("big") == b"anew"
        assert (await mount.stat("big")).st_size == 4
        assert _reads(cloud) == 0


async def test_o_trunc_ends_the_download_under_way(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.stat("big")
        cloud.gate = trio.Event()
        reader = await mount.do(os.open, mount.path / "big", os.O_RDONLY)
        inode = mount.node(b"big").inode
        with trio.fail_after(5):
            while not _reads(cloud):
                await trio.sleep(0.01)
            await mount.do((mount.path / "big").write_bytes, b"anew")
            while mount.transfers.progress(inode) is not None:
                await trio.sleep(0.01)
        cloud.gate.set()
        assert await mount.do(os.pread, reader, 100, 0) == b"anew"
        await mount.do(os.close, reader)
        assert await mount.read("big") == b"anew"


async def test_a_cut_placeholder_fetches_only_what_is_left(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES) as mount:
        await mount.do(os.truncate, mount.path / "big", 5000)
        assert (await mount.stat("big")).st_size == 5000
        assert await mount.read("big") == BIG[:5000]
        await mount.do(os.truncate, mount.path / "big", 6000)
        assert await mount.read("big") == BIG[:5000] + bytes(1000)
        assert cloud.bytes_served <= 5000


async def test_what_the_gaps_need_is_fetched_when_it_is_read(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES) as mount:
        descriptor = await mount.do(os.open, mount.path / "big", os.O_RDWR)
        await mount.do(os.pwrite, descriptor, b"head", 0)
        assert await mount.do(os.pread, descriptor, 10, 0) == b"head" + BIG[4:10]
        await mount.do(os.pwrite, descriptor, b"tail", 3_100_000)
        assert await mount.do(os.pread, descriptor, 10, 3_000_000) == BIG[3_000_000:] + bytes(9)
        assert await mount.do(os.pread, descriptor, 10, 3_099_998) == b"\0\0tail"
        await mount.do(os.close, descriptor)


async def test_a_read_of_a_gap_fails_with_its_cause_and_writes_go_on(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud, on_open=OnOpen.RANGES, timeout_s=1.0) as mount:
        await mount.stat("big")
        cloud.fail("read", NetworkUnavailable("gone"), times=None)
        page = b"x" * 4096  # what the kernel asks for, at least
        assert await mount.do(_pwrite, mount.path / "big", page, 0) == 4096
        assert await mount.do(_pread, mount.path / "big", 100, 0) == page[:100]
        assert await mount.errno(_pread, mount.path / "big", 100, 2_000_000) == errno.ENETUNREACH
        cloud.heal()
        with trio.fail_after(10):
            while await mount.errno(_pread, mount.path / "big", 100, 2_000_000):
                await trio.sleep(0.1)
        assert await mount.read("big") == page + BIG[4096:]


async def test_a_denied_program_writes_over_what_it_may_not_fetch(tmp_path: Path, cloud: MemoryCloud) -> None:
    program = tmp_path / "scribbler"
    shutil.copy(os.path.realpath(sys.executable), program)
    code = (
        "import os, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "os.pwrite(fd, b'mine' * 1024, 0)\n"
        "print(os.pread(fd, 4, 0))\n"
        "try: os.pread(fd, 4, 2000000)\n"
        "except OSError as error: print(error.errno)\n"
        "print(os.write(os.open(sys.argv[2], os.O_WRONLY | os.O_TRUNC), b'over'))\n"
    )
    async with mounted(tmp_path, cloud, deny=("scribbler",)) as mount:
        run = await mount.program(program, "-I", "-S", "-c", code, mount.path / "big", mount.path / "small")
        assert run.stdout.split(b"\n") == [b"b'mine'", b"%d" % errno.EPERM, b"4", b""], run.stderr
        assert await mount.read("small") == b"over"
        assert await mount.read("big") == b"mine" * 1024 + BIG[4096:]


# --- seeing what was written ---


async def test_who_opened_before_the_write_sees_it(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"0123456789"
        reader = await mount.do(os.open, mount.path / "small", os.O_RDONLY)
        writer = await mount.do(os.open, mount.path / "small", os.O_RDWR)
        await mount.do(os.pwrite, writer, b"AB", 3)
        assert await mount.do(os.pread, reader, 100, 0) == b"012AB56789"
        await mount.do(os.ftruncate, writer, 5)
        assert await mount.do(os.pread, reader, 100, 0) == b"012AB"
        await mount.do(os.pwrite, writer, b"Z", 20)
        assert await mount.do(os.pread, reader, 100, 0) == b"012AB" + bytes(15) + b"Z"
        for descriptor in (reader, writer):
            await mount.do(os.close, descriptor)


async def test_who_opened_before_the_cache_was_cleaned_sees_it_too(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    """A content that is put aside under an open file must not feed the inode's pages any more."""
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"0123456789"
        reader = await mount.do(os.open, mount.path / "small", os.O_RDONLY)
        await mount.store.discard(mount.node(b"small").inode)
        await mount.do(_pwrite, mount.path / "small", b"AB", 3)
        await mount.do(pyfuse3.invalidate_inode, mount.node(b"small").inode)
        assert await mount.do(os.pread, reader, 100, 0) == b"012AB56789"
        await mount.do(os.close, reader)


async def test_stat_follows_the_writes(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "new", os.O_CREAT | os.O_WRONLY)
        start = await mount.stat("new")
        assert (start.st_size, start.st_blocks) == (0, 0)
        await mount.do(os.write, writer, b"x" * 5000)
        written = await mount.stat("new")
        assert (written.st_size, written.st_blocks) == (5000, 10)
        assert written.st_mtime_ns > start.st_mtime_ns
        assert written.st_ctime_ns >= written.st_mtime_ns
        assert {entry.name: entry.stat().st_size for entry in await mount.do(_scan, mount.path)}[
            "new"
        ] == 5000
        await mount.do(os.ftruncate, writer, 100)
        assert (await mount.stat("new")).st_size == 100
        await mount.do(os.close, writer)
        assert (await mount.stat("new")).st_size == 100


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    entries = list(os.scandir(folder))
    for entry in entries:
        entry.stat()
    return entries


async def test_appends_of_several_programs_all_stay(tmp_path: Path, cloud: MemoryCloud) -> None:
    code = "import os, sys\nfor _ in range(50): os.write(1, sys.argv[1].encode() * 9 + b'\\n')"

    def run(path: Path) -> None:
        with _open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND) as log:
            programs = [subprocess.Popen([sys.executable, "-c", code, name], stdout=log) for name in "abcd"]
            assert [program.wait() for program in programs] == [0] * 4

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(run, mount.path / "log")
        lines = (await mount.read("log")).splitlines()
        assert sorted(lines) == sorted(name.encode() * 9 for name in "abcd" for _ in range(50))


_MAP = """
import mmap, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
mapping = mmap.mmap(descriptor, 0)
os.close(descriptor)
mapping[0:3] = b"ABC"
mapping.flush()
assert open(sys.argv[1], "rb").read(4) == b"ABC3"
mapping[5:7] = b"FG"
mapping.close()
"""


async def test_shared_mappings_write(tmp_path: Path, cloud: MemoryCloud) -> None:
    """What is written through a mapping is in the file after msync, and after munmap, which no close follows.

    A program of its own: a page fault here would keep the interpreter from answering it.
    """
    async with mounted(tmp_path, cloud) as mount:
        result = await mount.program(sys.executable, "-c", _MAP, mount.path / "small")
        assert result.returncode == 0, result.stderr
        await mount.unused(b"small")
        assert await mount.read("small") == b"ABC34FG789"
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"ABC34FG789"


# --- sizes ---


async def test_truncate_by_path_and_by_handle(tmp_path: Path, cloud: MemoryCloud) -> None:
    def cut(path: Path) -> None:
        with _open(path, os.O_RDWR) as descriptor:
            os.ftruncate(descriptor, 4)
            assert os.fstat(descriptor).st_size == 4
            os.ftruncate(descriptor, 8)
            assert os.pread(descriptor, 100, 0) == b"0123\0\0\0\0"

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(cut, mount.path / "small")
        assert await mount.read("small") == b"0123\0\0\0\0"
        await mount.do(os.truncate, mount.path / "small", 2)
        assert await mount.read("small") == b"01"
        assert await mount.errno(os.truncate, mount.path / "nothing", 0) == errno.ENOENT
        assert await mount.errno(os.truncate, mount.path, 0) == errno.EISDIR
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"01"


async def test_a_size_that_stays_is_no_change_of_the_content(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        before = await mount.stat("small")
        await mount.do(os.truncate, mount.path / "small", 10)
        await mount.do((mount.path / "empty").write_bytes, b"")
        assert (await mount.stat("small")).st_mtime_ns > before.st_mtime_ns
        assert not mount.node(b"small").is_modified
        assert not mount.node(b"empty").is_modified


async def test_writes_far_beyond_the_end_leave_zeros(tmp_path: Path, cloud: MemoryCloud) -> None:
    far = 1 << 28
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(_pwrite, mount.path / "small", b"end", far)
        assert (await mount.stat("small")).st_size == far + 3
        assert await mount.do(_pread, mount.path / "small", 6, far - 3) == b"\0\0\0end"
        assert await mount.do(_pread, mount.path / "small", 12, 0) == b"0123456789\0\0"


async def test_calls_that_the_kernel_makes_of_others(tmp_path: Path, cloud: MemoryCloud) -> None:
    """posix_fallocate(3) writes, SEEK_HOLE sees one piece, copy_file_range(2) and O_DIRECT copy."""

    def call(path: Path) -> None:
        with _open(path / "new", os.O_CREAT | os.O_RDWR) as new, _open(path / "small", os.O_RDONLY) as small:
            os.posix_fallocate(new, 0, 8192)
            assert os.fstat(new).st_size == 8192
            assert os.lseek(new, 0, os.SEEK_HOLE) == 8192
            assert os.lseek(new, 0, os.SEEK_DATA) == 0
            assert os.copy_file_range(small, new, 10, 0, 100) == 10
            assert os.sendfile(new, small, 0, 4) == 4
        with _open(path / "new", os.O_RDWR | os.O_DIRECT) as direct:
            assert os.write(direct, b"direct") == 6
        shutil.copyfile(path / "new", path / "copy")

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(call, mount.path)
        content = await mount.read("new")
        assert content[:6] == b"direct"
        assert content[100:110] == b"0123456789"
        assert await mount.read("copy") == content


# --- times and modes ---


def _write_and_set_time(path: Path, time_ns: int) -> None:
    """As `cp -p`, tar and rsync do."""
    with _open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) as descriptor:
        os.write(descriptor, b"restored")
        os.utime(descriptor, ns=(time_ns, time_ns))


def _write_close_and_set_time(path: Path, time_ns: int) -> None:
    with _open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) as descriptor:
        os.write(descriptor, b"restored")
        os.close(os.dup(descriptor))
        os.utime(descriptor, ns=(time_ns, time_ns))


def _set_time_by_path_while_open(path: Path, time_ns: int) -> None:
    with _open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC) as descriptor:
        os.write(descriptor, b"restored")
        os.utime(path, ns=(time_ns, time_ns))
        os.fsync(descriptor)


@pytest.mark.parametrize(
    "write", [_write_and_set_time, _write_close_and_set_time, _set_time_by_path_while_open]
)
@pytest.mark.parametrize("name", ["new", "small"])
async def test_a_time_that_is_set_after_the_write_stays(
    tmp_path: Path, cloud: MemoryCloud, write: Callable[[Path, int], None], name: str
) -> None:
    time_ns = 1_234_567_890_123_456_789
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(write, mount.path / name, time_ns)
        assert (await mount.stat(name)).st_mtime_ns == time_ns
        await mount.unused(name.encode())
        assert (await mount.stat(name)).st_mtime_ns == time_ns
    async with mounted(tmp_path, cloud) as mount:
        assert (await mount.stat(name)).st_mtime_ns == time_ns


async def test_a_write_after_the_time_was_set_brings_its_own(tmp_path: Path, cloud: MemoryCloud) -> None:
    def write(path: Path) -> None:
        with _open(path, os.O_WRONLY) as descriptor:
            os.utime(descriptor, ns=(SECOND, SECOND))
            os.write(descriptor, b"x")

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(write, mount.path / "small")
        assert (await mount.stat("small")).st_mtime_ns > SECOND


async def test_attributes_that_are_set_survive_a_remount(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        before = await mount.stat("small")
        await mount.do(os.chmod, mount.path / "small", 0o751)
        await mount.do(os.chown, mount.path / "small", 1234, 4321)
        await mount.do(os.utime, mount.path / "small", ns=(5, 7 * SECOND))
        await mount.do(os.utime, mount.path, ns=(5, 9 * SECOND))
    async with mounted(tmp_path, cloud) as mount:
        after = await mount.stat("small")
        assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o751, 1234, 4321)
        assert after.st_mtime_ns == 7 * SECOND
        assert after.st_ctime_ns > before.st_ctime_ns
        assert (await mount.stat("")).st_mtime_ns == 9 * SECOND
        assert not mount.node(b"small").is_changed


async def test_the_execute_bit_works(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        script = mount.path / "script"
        await mount.do(script.write_bytes, b"#!/bin/sh\necho it runs\n")
        assert await mount.errno(subprocess.run, [str(script)], check=True) == errno.EACCES
        await mount.do(script.chmod, 0o755)
        await mount.unused(b"script")
        assert (await mount.program(script)).stdout == b"it runs\n"


_AS_NOBODY = """
import os
os.setgroups([]); os.setgid(65534); os.setuid(65534)
descriptor = os.open("small", os.O_RDWR)
for change in (lambda: os.write(descriptor, b"x"), lambda: os.ftruncate(descriptor, 5)):
    change()
    print(oct(os.fstat(descriptor).st_mode & 0o7777))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else, and let others in")
async def test_a_write_by_somebody_else_takes_privileges_away(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud, allow_other=True) as mount:
        await mount.do(os.chmod, mount.path / "small", 0o6777)
        result = await mount.program(sys.executable, "-I", "-c", _AS_NOBODY, cwd=mount.path)
        assert result.stdout == b"0o777\n0o777\n", result.stderr
        await mount.do(os.chmod, mount.path / "small", 0o4777)
        await mount.do(os.truncate, mount.path / "small", 3)
        assert stat.S_IMODE((await mount.stat("small")).st_mode) == 0o4777


@pytest.mark.skipif(os.getuid() != 0, reason="changes of owner need root")
@pytest.mark.parametrize(
    ("mode", "left"), [(0o6777, 0o777), (0o4766, 0o766), (0o2767, 0o2767), (0o2777, 0o777)]
)
async def test_a_change_of_owner_takes_privileges_away(
    tmp_path: Path, cloud: MemoryCloud, mode: int, left: int
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do(os.chmod, mount.path / "small", mode)
        assert stat.S_IMODE((await mount.stat("small")).st_mode) == mode
        await mount.do(_pwrite, mount.path / "small", b"root may", 0)
        assert stat.S_IMODE((await mount.stat("small")).st_mode) == mode
        await mount.do(os.chown, mount.path / "small", 1, 1)
        assert stat.S_IMODE((await mount.stat("small")).st_mode) == left
        await mount.do(os.chown, mount.path, 1, 1)
        assert stat.S_ISDIR((await mount.stat("")).st_mode)


# --- what is promised ---


async def test_a_close_commits(tmp_path: Path, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each descriptor's close does, and what fails there is the program's to know."""
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "small", os.O_WRONLY)
        await mount.do(os.write, writer, b"AB")
        inode = mount.node(b"small").inode
        assert mount.store.is_unflushed(inode)
        await mount.do(os.close, await mount.do(os.dup, writer))
        assert not mount.store.is_unflushed(inode)
        await mount.do(os.write, writer, b"CD" * 10)

        async def full(*_: object, **__: object) -> None:
            raise LocalStorageFull("the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(mount.tree, "record_content", full)
            assert await mount.errno(os.close, await mount.do(os.dup, writer)) == errno.ENOSPC
        assert await mount.errno(os.close, writer) == 0
        await mount.unused(b"small")
        assert mount.node(b"small").size == 22


async def test_a_release_commits_what_no_close_did(
    tmp_path: Path, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "small", os.O_WRONLY)
        await mount.do(os.write, writer, b"x" * 30)

        async def full(*_: object, **__: object) -> None:
            raise LocalStorageFull("the disk is full")

        inode = mount.node(b"small").inode
        with monkeypatch.context() as patch:
            patch.setattr(mount.tree, "record_content", full)
            assert await mount.errno(os.close, writer) == errno.ENOSPC
            await mount.unused(b"small")
        assert await mount.read("small") == b"x" * 30
        assert mount.tree.node(inode).is_modified
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("small") == b"x" * 30
        assert (await mount.stat("small")).st_size == 30


async def test_a_mount_that_ends_under_a_writer_keeps_what_was_written(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "new", os.O_CREAT | os.O_WRONLY)
        await mount.do(os.write, writer, b"half a letter")
    with pytest.raises(OSError, match="not connected"):
        os.close(writer)
    async with mounted(tmp_path, cloud) as mount:
        assert await mount.read("new") == b"half a letter"


async def test_fsync_of_files_and_folders(tmp_path: Path, cloud: MemoryCloud) -> None:
    def write(path: Path) -> None:
        with _open(path / "new", os.O_CREAT | os.O_RDWR) as descriptor:
            os.write(descriptor, b"safe")
            os.fsync(descriptor)
            os.fdatasync(descriptor)
        with _open(path, os.O_RDONLY | os.O_DIRECTORY) as folder:
            os.fsync(folder)
        with _open(path / "small", os.O_RDONLY) as reader:
            os.fsync(reader)

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(write, mount.path)
        assert not mount.store.is_unflushed(mount.node(b"new").inode)
        assert _reads(cloud) <= 1


async def test_a_full_disk_is_the_writers_error_and_nothing_else(
    tmp_path: Path, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path) -> int:
        with _open(path, os.O_CREAT | os.O_WRONLY) as descriptor:
            os.write(descriptor, b"x" * 1000)
            os.fsync(descriptor)
            monkeypatch.setattr(os, "pwrite", _full)
            try:
                os.write(descriptor, b"y" * 1000)
            except OSError as error:
                return error.errno or 0
            finally:
                monkeypatch.undo()
        return 0

    async with mounted(tmp_path, cloud) as mount:
        assert await mount.do(fill, mount.path / "new") == errno.ENOSPC
        assert await mount.read("new") == b"x" * 1000
        await mount.do(_pwrite, mount.path / "new", b"z" * 1000, 1000)
        assert await mount.read("new") == b"x" * 1000 + b"z" * 1000


def _full(*_: object) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_bug_in_a_handler_is_eio_and_the_mount_lives_on(
    tmp_path: Path, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object, **__: object) -> int:
        raise ZeroDivisionError("a bug")

    async with mounted(tmp_path, cloud) as mount:
        with monkeypatch.context() as patch:
            patch.setattr(mount.editor, "write", broken)
            patch.setattr(mount.tree, "make_folder", broken)
            assert await mount.errno(_pwrite, mount.path / "small", b"x", 0) == errno.EIO
            assert await mount.errno(os.mkdir, mount.path / "folder") == errno.EIO
        assert "write 'small' failed by a bug" in caplog.text
        assert "mkdir 'folder' failed by a bug" in caplog.text
        await mount.do(_pwrite, mount.path / "small", b"x", 0)
        assert await mount.read("small") == b"x123456789"


async def test_an_unlinked_file_is_written_and_read_until_its_last_close(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    def use(path: Path) -> None:
        with _open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL) as descriptor:
            os.write(descriptor, b"first")
            os.unlink(path)
            assert os.fstat(descriptor).st_nlink == 0
            os.pwrite(descriptor, b"second", 5)
            assert os.pread(descriptor, 100, 0) == b"firstsecond"
            os.ftruncate(descriptor, 3)
            os.fsync(descriptor)
            assert os.fstat(descriptor).st_size == 3
            assert os.pread(descriptor, 100, 0) == b"fir"

    async with mounted(tmp_path, cloud) as mount:
        await mount.do(use, mount.path / "scratch")
        assert await mount.errno(os.stat, mount.path / "scratch") == errno.ENOENT
        await mount.do(use, mount.path / "scratch")
        with trio.fail_after(5):
            while mount.store.usage.files or mount.store.usage.used:
                await trio.sleep(0.01)


async def test_a_file_that_the_sync_has_deleted_too_is_written_until_its_last_close(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "small", os.O_RDWR)
        assert await mount.do(os.pread, writer, 100, 0) == b"0123456789"
        inode = mount.node(b"small").inode
        await mount.do(os.unlink, mount.path / "small")
        assert mount.tree.node(inode).is_removed
        cloud.remove(b"small")
        await mount.tree.record_deleted(inode)
        await mount.do(os.pwrite, writer, b"AB", 3)
        assert await mount.do(os.pread, writer, 100, 0) == b"012AB56789"
        assert (await mount.do(os.fstat, writer)).st_nlink == 0
        assert await mount.errno(os.close, writer) == 0
        with trio.fail_after(5):
            while mount.store.is_in_use(inode) or mount.store.usage.used:
                await trio.sleep(0.01)


async def test_a_file_that_went_in_the_cloud_is_written_on_by_who_has_it_open(
    tmp_path: Path, cloud: MemoryCloud
) -> None:
    """What the sync takes away of it must not fail who has it open."""
    async with mounted(tmp_path, cloud) as mount:
        writer = await mount.do(os.open, mount.path / "small", os.O_RDWR)
        await mount.tree.remove([mount.node(b"small").inode], mount.store.is_in_use, mount.store.is_written)
        await mount.do(os.pwrite, writer, b"AB", 0)
        assert await mount.do(os.pread, writer, 100, 0) == b"AB23456789"
        assert await mount.errno(os.close, writer) == 0


@pytest.mark.parametrize("change", ["write", "truncate", "O_TRUNC"])
async def test_who_changes_what_the_cloud_has_is_told_once(
    tmp_path: Path, cloud: MemoryCloud, change: str
) -> None:
    commands = {
        "write": "printf 1 1<> {}; printf 2 >> {}",
        "truncate": "truncate -s 3 {}; truncate -s 2 {}",
        "O_TRUNC": ": > {}; printf 1 > {}",
    }
    async with mounted(tmp_path, cloud) as mount:
        script = commands[change].replace("{}", str(mount.path / "small"))
        done = await mount.program("sh", "-c", script)
        assert done.returncode == 0, done.stderr
        ((inode, caller),) = mount.changed
        assert inode == mount.node(b"small").inode
        program = "truncate" if change == "truncate" else "sh"
        assert caller.exe == os.fsencode(os.path.realpath(shutil.which(program) or ""))


async def test_files_made_here_have_nobody_who_changed_them(tmp_path: Path, cloud: MemoryCloud) -> None:
    async with mounted(tmp_path, cloud) as mount:
        await mount.do((mount.path / "new").write_bytes, b"1")
        await mount.do((mount.path / "new").write_bytes, b"2")
        assert mount.changed == []
