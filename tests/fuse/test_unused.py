"""What is left of removed files: nothing, once no program has them open."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from cloudfs.model.errors import NotFound
from tests.fuse.mounts import Mount, mounted
from tests.servers.memory_cloud import MemoryCloud

_COUNT = 40


def _make(folder: Path) -> None:
    for number in range(_COUNT):
        (folder / f"file-{number}").write_bytes(b"some bytes")


def _is_gone(mount: Mount, inode: int) -> bool:
    try:
        mount.tree.node(inode)
    except NotFound:
        return True
    return False


async def test_many_removed_files_go_and_one_that_is_still_open_stays(tmp_path: Path) -> None:
    async with mounted(tmp_path, MemoryCloud()) as mount:
        await mount.do(_make, mount.path)
        inodes = {number: mount.node(b"file-%d" % number).inode for number in range(_COUNT)}
        reader = await mount.do(os.open, mount.path / "file-7", os.O_RDONLY)
        for number in range(_COUNT):
            await mount.do(os.unlink, mount.path / f"file-{number}")
        open_inode = inodes.pop(7)
        with trio.fail_after(5):
            while not all(_is_gone(mount, inode) for inode in inodes.values()) or mount.store.usage.files > 1:
                await trio.sleep(0.01)
        assert await mount.do(os.pread, reader, 100, 0) == b"some bytes"
        await mount.do(os.close, reader)
        with trio.fail_after(5):
            while not _is_gone(mount, open_inode) or mount.store.usage.files:
                await trio.sleep(0.01)


async def test_what_is_used_a_moment_longer_goes_too(tmp_path: Path) -> None:
    """A transfer may have the content still when the kernel forgets the file."""
    async with mounted(tmp_path, MemoryCloud()) as mount:
        await mount.do((mount.path / "file").write_bytes, b"some bytes")
        inode = mount.node(b"file").inode
        content = await mount.store.open(inode, None)
        await mount.do(os.unlink, mount.path / "file")
        await trio.sleep(0.3)
        assert mount.tree.node(inode).parent is None
        assert mount.store.read_at(content, 0, 100) == b"some bytes"
        await mount.store.close(content)
        with trio.fail_after(5):
            while not _is_gone(mount, inode) or mount.store.usage.files:
                await trio.sleep(0.01)
