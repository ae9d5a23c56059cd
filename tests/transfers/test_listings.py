"""One listing for all who ask, and errors that take nothing away."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from cloudfs.model.entry import FolderListing
from cloudfs.model.enums import Listing, Priority
from cloudfs.model.errors import AccessRefused, CloudfsError, NotFound, ServerError
from cloudfs.model.node import ROOT, Place
from tests.servers.memory_cloud import MemoryCloud

from .conftest import OpenWorld, World, body


def lists(cloud: MemoryCloud, path: bytes = b"") -> int:
    return sum(call.method == "list_folder" and call.path == path for call in cloud.calls)


async def test_many_who_ask_make_one_request(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(10))
    cloud.latency_s = 0.05
    async with open_world() as world:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(world.listings.ensure, ROOT)
        assert lists(cloud) == 1
        await world.listings.ensure(ROOT)
        assert lists(cloud) == 1
        assert world.tree.child(ROOT, b"a") is not None


async def test_a_listing_survives_its_caller(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    async with open_world() as world:
        with trio.move_on_after(0.05) as scope:
            await world.listings.ensure(ROOT)
        assert scope.cancelled_caught
        cloud.gate.set()
        await world.listings.ensure(ROOT)
        assert lists(cloud) == 1


async def test_a_listing_under_way_is_not_taken_for_one_from_now_on(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    """Its answer was made before the file was: a sync that joined it would end without having heard of it."""
    list_folder, is_answered, may_arrive = cloud.list_folder, trio.Event(), trio.Event()

    async def slowly(path: bytes) -> FolderListing:
        listing = await list_folder(path)
        is_answered.set()
        await may_arrive.wait()
        return listing

    cloud.list_folder = slowly  # type: ignore[method-assign]
    async with open_world() as world, trio.open_nursery() as nursery:
        nursery.start_soon(world.listings.ensure, ROOT)
        await is_answered.wait()
        cloud.put(b"a", body(10))
        for _ in range(3):
            nursery.start_soon(world.listings.list_folder, ROOT)
        await trio.testing.wait_all_tasks_blocked()
        may_arrive.set()
        with trio.fail_after(5):
            while world.tree.child(ROOT, b"a") is None:
                await trio.sleep(0.01)
        assert lists(cloud) == 2


async def test_everybody_hears_of_the_failure(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    cloud.fail("list_folder", AccessRefused("403", status=403))
    heard: list[CloudfsError] = []
    async with open_world() as world:

        async def ask() -> None:
            try:
                await world.listings.ensure(ROOT)
            except AccessRefused as error:
                heard.append(error)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(ask)
            await trio.sleep(0.05)
            cloud.gate.set()
        assert len(heard) == 3
        assert len(set(map(id, heard))) == 3, "each raises its own"
        assert world.tree.node(ROOT).listing is Listing.NEVER
        await world.listings.ensure(ROOT)


async def test_a_hiccup_is_tried_again(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.fail("list_folder", ServerError("502", status=502))
    async with open_world() as world:
        await world.listings.ensure(ROOT)
    assert lists(cloud) == 2


async def test_a_folder_gone_asks_for_its_parent_and_removes_nothing(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"folder/file", body(10))
    async with open_world() as world:
        folder = (await world.node(b"folder")).inode
        await world.listings.ensure(folder)
        cloud.remove(b"folder")
        with pytest.raises(NotFound):
            await world.listings.list_folder(folder)
        with trio.fail_after(5):
            while lists(cloud) < 2:
                await trio.sleep(0.01)
        assert world.tree.child(ROOT, b"folder") is not None
        assert world.tree.child(folder, b"file") is not None


async def test_stale_content_that_nobody_uses_is_dropped(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await world.open(b"a")
        await world.read(content, 0, 100)
        await world.leave(content)
        cloud.put(b"a", body(100, 2))
        observation = await world.listings.list_folder(ROOT)
        assert observation.changed == [content.inode]
        assert world.store.held_bytes(content.inode) == 0


async def test_a_file_in_use_goes_on_under_a_new_inode(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await world.open(b"a")
        assert await world.read(content, 0, 100) == body(100)
        cloud.put(b"a", body(50, 2))
        node = await world.listings.refresh(content.inode)
        assert node.inode != content.inode
        assert node.size == 50
        assert world.store.read_at(content, 0, 100) == body(100)
        await world.leave(content)


async def test_refresh_of_a_file_nobody_uses_keeps_its_inode(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await world.open(b"a")
        await world.read(content, 0, 100)
        await world.leave(content)
        cloud.put(b"a", body(50, 2))
        node = await world.listings.refresh(content.inode)
        assert (node.inode, node.size) == (content.inode, 50)
        assert world.store.held_bytes(node.inode) == 0


async def test_removed_files_lose_their_content(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await world.open(b"a")
        await world.read(content, 0, 100)
        await world.leave(content)
        await world.listings.remove([content.inode])
        assert world.store.usage.files == 0
        assert world.tree.child(ROOT, b"a") is None


async def test_a_folder_made_here_is_known_and_nobody_is_asked(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    async with open_world() as world:
        folder = await world.tree.make_folder(ROOT, b"mine", 0o755, 1000, 1000)
        await world.listings.ensure(folder.inode)
        assert cloud.calls == []


async def test_a_moved_folder_is_asked_for_where_the_cloud_has_it(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"old/file", body(10))
    async with open_world() as world:
        folder = (await world.node(b"old")).inode
        await world.tree.rename(ROOT, b"old", ROOT, b"new")
        await world.listings.ensure(folder)
        assert world.tree.child(folder, b"file") is not None
        assert lists(cloud, b"old") == 1


async def test_what_is_not_found_while_its_folder_moves_is_asked_for_again(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"old/inner/file", body(10))
    async with open_world() as world:
        folder = (await world.node(b"old")).inode
        await world.listings.ensure(folder)
        inner = world.tree.child(folder, b"inner")
        assert inner is not None
        await world.tree.rename(ROOT, b"old", ROOT, b"new")
        async with trio.open_nursery() as nursery:
            with world.listings.moving(folder):
                cloud.rename(b"old", b"new")
                nursery.start_soon(world.listings.ensure, inner.inode)
                with trio.fail_after(5):
                    while not lists(cloud, b"old/inner"):
                        await trio.sleep(0.001)
                await trio.sleep(0.01)
                assert lists(cloud, b"new/inner") == 0, "it waits until it is known where the folder is"
                await world.tree.record_moved(folder, Place(ROOT, b"new"))
        assert world.tree.child(inner.inode, b"file") is not None


async def test_folders_that_need_another_look_are_due(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    for path in (b"a/one", b"b/two"):
        cloud.put(path, body(10))
    async with open_world() as world:
        await world.listings.list_folder(ROOT)
        one, two = (await world.node(b"a")).inode, (await world.node(b"b")).inode
        assert {one, two} <= world.listings.due()
        await world.listings.list_folder(one)
        await world.listings.list_folder(two)
        assert not {one, two} & world.listings.due()
        file = world.tree.child(two, b"two")
        assert file is not None
        with world.tree.sending(file.inode):
            await world.listings.list_folder(two)
        assert two in world.listings.due(), "its tag is known, and what it says of the file is not"
        await world.listings.list_folder(two)
        assert two not in world.listings.due()
        content = await world.store.open(file.inode, file.version)
        world.store.begin_writing(content)
        cloud.put(b"b/two", body(20))
        await world.listings.list_folder(two)
        assert two in world.listings.due(), "a program has it open for writing"
        world.store.end_writing(content)
        await world.store.close(content)
        cloud.remove(b"a/one")
        await world.listings.list_folder(one)
        assert one in world.listings.due()
        cloud.put(b"a/one", body(10))
        await world.listings.list_folder(one)
        assert one not in world.listings.due()


async def test_content_of_before_counts_no_more_once_the_new_version_shows(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    """Whichever of many files somebody asks for at that moment: it would be told that it is here."""
    names = [b"%d" % number for number in range(20)]
    for name in names:
        cloud.put(name, b"old content")
    async with open_world() as world:
        inodes = [(await world.node(name)).inode for name in names]
        for inode in inodes:
            await world.transfers.hydrate(inode, Priority.ASKED)
        await until_unused(world, inodes)
        for name in names:
            cloud.put(name, b"new content")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.listings.list_folder, ROOT)
            versions = {inode: world.tree.node(inode).version for inode in inodes}
            while any(world.tree.node(inode).version == versions[inode] for inode in inodes):
                await trio.sleep(0)
                for inode in inodes:
                    node = world.tree.node(inode)
                    is_old = node.version == versions[inode]
                    assert world.store.is_whole(inode, node.size) == is_old, inode


async def until_unused(world: World, inodes: list[int]) -> None:
    """Return once no download holds them in memory."""
    with trio.fail_after(10):
        while any(world.store.is_in_use(inode) for inode in inodes):
            await trio.sleep(0.001)
