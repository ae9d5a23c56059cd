"""Whether a move came through is told by what is in both places, whoever used the old one since."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cloudfs.database.intents import Intent
from cloudfs.model.entry import RemoteEntry, RemotePath
from cloudfs.model.node import ROOT, Place
from cloudfs.transfers.settling import MOVE, Settling
from tests.servers.memory_cloud import MemoryCloud

from .conftest import World, running_world


class NoIds(MemoryCloud):
    """Plain WebDAV, where a file has no identity of its own."""

    async def stat(self, path: RemotePath) -> RemoteEntry:
        return replace(await super().stat(path), file_id=None)


async def _asked(world: World, target: bytes) -> tuple[Settling, int]:
    """Somebody renamed `a` to `b` here; the cloud was asked to move it to `target`, and did not answer."""
    await world.listings.ensure(ROOT)
    node = world.tree.child(ROOT, b"a")
    assert node is not None
    await world.tree.rename(ROOT, b"a", ROOT, b"b")
    settling = Settling(world.tree, world.store, world.cloud, timeout_s=1)
    await settling.begin(Intent(node.inode, MOVE, Place(ROOT, target), 0, 0, b"", None))
    return settling, node.inode


@pytest.mark.parametrize("cloud", [MemoryCloud, NoIds])
@pytest.mark.parametrize("target", [b"b", b"a (moving 1a-2)"])
@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_move_that_came_through_is_found(
    tmp_path: Path, cloud: type[MemoryCloud], target: bytes, is_taken: bool
) -> None:
    async with running_world(tmp_path, cloud(), timeout_s=1) as world:
        world.cloud.put(b"a", b"content")
        settling, inode = await _asked(world, target)
        world.cloud.rename(b"a", target)
        if is_taken:
            world.cloud.put(b"a", b"somebody else's")
        async with settling.asking(inode):
            assert await settling.settle(inode)
        assert world.tree.node(inode).cloud_place == Place(ROOT, target)
        assert world.tree.intents() == []


@pytest.mark.parametrize("cloud", [MemoryCloud, NoIds])
async def test_a_stranger_in_the_new_place_is_not_taken_for_it(
    tmp_path: Path, cloud: type[MemoryCloud]
) -> None:
    async with running_world(tmp_path, cloud(), timeout_s=1) as world:
        world.cloud.put(b"a", b"content")
        settling, inode = await _asked(world, b"b")
        world.cloud.put(b"b", b"CONTENT")
        async with settling.asking(inode):
            assert not await settling.settle(inode)
        assert world.tree.node(inode).home == Place(ROOT, b"a")
        assert world.tree.intents() == []
