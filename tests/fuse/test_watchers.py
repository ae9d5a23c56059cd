"""Programs that watch files hear of what the cloud changed, and see no time of it but the cloud's."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

IN_ATTRIB, IN_NONBLOCK = 0x4, 0o4000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def _watching(folder: Path) -> Iterator[int]:
    """An inotify(7) descriptor for IN_ATTRIB; to be entered in a worker thread."""
    descriptor = _LIBC.inotify_init1(IN_NONBLOCK)
    try:
        assert _LIBC.inotify_add_watch(descriptor, os.fsencode(folder), IN_ATTRIB) > 0
        yield descriptor
    finally:
        os.close(descriptor)


def _names(descriptor: int) -> set[bytes]:
    """The names in the events that are there; b"" for the folder itself."""
    try:
        events = os.read(descriptor, 65536)
    except BlockingIOError:
        return set()
    names = set()
    while events:
        _, _, _, length = struct.unpack_from("iIII", events)
        names.add(events[16 : 16 + length].rstrip(b"\0"))
        events = events[16 + length :]
    return names


async def _heard(descriptor: int, name: bytes) -> None:
    with trio.fail_after(5):
        while name not in _names(descriptor):
            await trio.sleep(0.01)


async def _docs(mount: Mount) -> int:
    return (await mount.stat("docs")).st_ino


async def test_watchers_hear_of_changed_new_and_vanished_files(tmp_path: Path) -> None:
    cloud = MemoryCloud()
    cloud.put(b"docs/plan.txt", b"old")
    async with mounted(tmp_path, cloud) as mount:
        await mount.stat("docs/plan.txt")
        watching = _watching(mount.path / "docs")
        descriptor = await mount.do(watching.__enter__)
        changed = cloud.put(b"docs/plan.txt", b"new content")
        await mount.listings.list_folder(await _docs(mount))
        await _heard(descriptor, b"plan.txt")
        cloud.put(b"docs/late.txt", b"")
        await mount.listings.list_folder(await _docs(mount))
        await _heard(descriptor, b"late.txt")
        await mount.tree.remove([mount.node(b"docs/late.txt").inode], mount.store.is_in_use)
        await _heard(descriptor, b"")
        await mount.do(watching.__exit__, None, None, None)
        assert (await mount.stat("docs/plan.txt")).st_mtime_ns == changed.version.mtime_ns
