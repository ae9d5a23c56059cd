"""Downloads of files that the cloud removes or replaces while they come, or that change their names here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio

from cloudfs.events import Topic
from cloudfs.model.enums import DownloadErrorType, EventClass, Priority, State
from cloudfs.model.errors import CloudfsError, NetworkUnavailable, NotFound
from cloudfs.model.node import ROOT
from cloudfs.transfers.transfer import Transfer
from cloudfs.transfers.underway import Underway
from cloudfs.tree.changes import EntryChanged, TreeChange
from tests.servers.memory_cloud import MemoryCloud
from tests.transfers.conftest import MIB, OpenWorld, World, body

SIZE = 4 * MIB


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


async def begun(world: World, cloud: MemoryCloud) -> int:
    """A download of which something has come, and the rest takes its time. Its inode."""
    cloud.put(b"a", body(SIZE))
    cloud.chunk_latency_s = 0.02
    inode = (await world.node(b"a")).inode
    world.transfers.start(inode, Priority.ASKED)
    await until(lambda: world.store.held_bytes(inode) > 0)
    return inode


def end(world: World, inode: int) -> tuple[State, DownloadErrorType]:
    """The last that was said of it, which was its one end."""
    assert len(world.events.ends(inode)) == 1
    last = world.events.of(inode)[-1]
    return last.state, last.error


async def test_a_file_that_the_cloud_lost(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    async with open_world() as world:
        inode = await begun(world, cloud)
        cloud.remove(b"a")
        observation = await world.listings.list_folder(ROOT)
        await world.listings.remove([node.inode for node in observation.vanished])
        await until(lambda: world.events.ends(inode))
        assert end(world, inode) == (State.FAILED, DownloadErrorType.CONTENT_NOT_FOUND)
        await until(lambda: not len(world.transfers._downloads))
        assert not world.transfers.running()


async def test_a_file_that_the_cloud_has_in_another_version(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    async with open_world() as world:
        inode = await begun(world, cloud)
        cloud.put(b"a", body(SIZE, 2))
        await world.listings.list_folder(ROOT)
        await until(lambda: world.events.ends(inode))
        assert end(world, inode) == (State.FAILED, DownloadErrorType.UNKNOWN_ERROR)
        await until(lambda: world.store.usage.used == 0)
        with pytest.raises(NotFound):
            world.tree.node(inode)  # nobody had it open
        cloud.chunk_latency_s = 0
        content = await world.open(b"a")
        assert content.inode != inode
        await world.transfers.hydrate(content.inode, Priority.ASKED)
        assert world.store.read_at(content, 0, SIZE) == body(SIZE, 2)
        await world.leave(content)


async def test_a_file_that_is_removed_before_its_turn(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(SIZE))
    async with open_world() as world:
        inode = (await world.node(b"a")).inode
        cloud.remove(b"a")
        observation = await world.listings.list_folder(ROOT)
        world.transfers.start(inode, Priority.PINNED)
        await world.listings.remove([node.inode for node in observation.vanished])
        await until(lambda: world.events.ends(inode))
        assert end(world, inode)[0] is State.FAILED
        with pytest.raises(NotFound):
            world.transfers.start(inode, Priority.ASKED)


async def test_a_file_that_is_unlinked_here_comes_on(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    """Who has it open may need all of it."""
    async with open_world() as world:
        inode = await begun(world, cloud)
        content = await world.open(b"a")
        await world.tree.unlink(ROOT, b"a")
        assert await world.end_of(inode) is State.COMPLETED
        assert await world.read(content, 0, SIZE) == body(SIZE)
        await world.leave(content)


async def test_a_renamed_file_comes_on(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    async with open_world() as world:
        inode = await begun(world, cloud)
        await world.tree.rename(ROOT, b"a", ROOT, b"b")
        await trio.testing.wait_all_tasks_blocked()
        cloud.chunk_latency_s = 0
        assert await world.end_of(inode) is State.COMPLETED
        await world.tree.unlink(ROOT, b"b")
        await trio.testing.wait_all_tasks_blocked()
        assert len(world.events.ends(inode)) == 1


async def test_a_failed_download_of_an_unlinked_file_is_no_error_of_its_reader(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(SIZE))
    async with open_world(timeout_s=0.3) as world:
        content = await world.open(b"a")
        cloud.fail("read", NetworkUnavailable("cut"), times=None)
        world.transfers.start(content.inode, Priority.OPENED)
        assert await world.end_of(content.inode) is State.FAILED
        cloud.heal()
        await world.tree.unlink(ROOT, b"a")
        await trio.sleep(1.1)  # the failure stands for a moment
        assert await world.read(content, 0, 100) == body(SIZE)[:100]
        await world.leave(content)


async def test_a_bug_in_one_end_leaves_the_others_theirs(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[int] = []

    async def fail(transfer: Transfer, error: CloudfsError) -> None:
        await trio.lowlevel.checkpoint()
        if transfer.inode == 1:
            raise RuntimeError("a bug")
        ended.append(transfer.inode)

    news = Topic[TreeChange]()
    underway = Underway(news, fail)
    for inode in (1, 2):
        source = EventClass.CLOUD_FILE_CACHE
        underway.add(Transfer(inode, size=1, source=source, uri=None, priority=Priority.ASKED, order=inode))
    await nursery.start(underway.run)
    for inode in (1, 2):
        news.publish(EntryChanged(ROOT, b"name", deleted=inode))
    await until(lambda: ended)
    assert ended == [2]
    assert "the download of inode 1 could not be ended, by a bug" in caplog.text
