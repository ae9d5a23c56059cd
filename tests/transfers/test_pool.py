"""Downloads as programs and callers see them."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import trio

from cloudfs.cache.content import Content
from cloudfs.clouds.base import Capabilities
from cloudfs.model.enums import DownloadErrorType, EventClass, Priority, State
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    ContentNotFound,
    LocalStorageFull,
    NetworkUnavailable,
    Stopped,
    TryAgain,
    VersionChanged,
    WrongContent,
)
from tests.servers.memory_cloud import MemoryCloud

from .conftest import KIB, MIB, OpenWorld, World, body


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


# --- whole files ---


async def test_a_whole_file_comes_once_and_is_said_to(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(10 * MIB + 123)
    cloud.put(b"a", data)
    async with open_world() as world:
        node = await world.node(b"a")
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        said = world.events.of(node.inode)
        assert said[0].state is State.RUNNING
        assert said[-1].state is State.COMPLETED
        assert said[-1].processed == said[-1].size == len(data)
        assert said[-1].uri == f"file://test/{node.inode}"
        processed = [progress.processed for progress in said]
        assert processed == sorted(processed)
        assert world.events.ends(node.inode) == [State.COMPLETED]
        assert cloud.bytes_served == len(data)
        content = await world.open(b"a")
        assert await world.read(content, 0, len(data)) == data
        await world.leave(content)
        assert world.transfers.progress(node.inode) is None


async def test_the_first_byte_has_a_connection_to_itself(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(16 * MIB))
    async with open_world() as world:
        node = await world.node(b"a")
        cloud.gate = trio.Event()
        world.transfers.start(node.inode, Priority.OPENED)
        await until(world.fetched)
        await trio.sleep(0.05)
        assert len(world.fetched()) == 1
        cloud.gate.set()
        assert await world.end_of(node.inode) is State.COMPLETED
        assert len(world.fetched()) > 4


async def test_several_ranges_fly_at_once_and_leave_connections_free(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(64 * MIB))
    cloud.latency_s = 0.01
    most = 0
    async with open_world() as world:
        node = await world.node(b"a")
        world.transfers.start(node.inode, Priority.ASKED)
        while not world.events.ends(node.inode):
            most = max(most, world.transfers._dispatcher.on_air)
            await trio.sleep(0.001)
        assert 8 <= most <= cloud.max_connections - 2
        assert cloud.bytes_served == 64 * MIB


async def test_everybody_joins_one_transfer(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(4 * MIB)
    cloud.put(b"a", data)
    cloud.latency_s = 0.01
    async with open_world() as world:
        content = await world.open(b"a")
        for priority in (Priority.PINNED, Priority.OPENED, Priority.ASKED, Priority.ASKED):
            world.transfers.start(content.inode, priority)
        got: list[bytes] = []

        async def reader(start: int) -> None:
            got.append(await world.read(content, start, start + 64 * KIB))

        async with trio.open_nursery() as nursery:
            for i in range(200):
                nursery.start_soon(reader, i * 20 * KIB)
            nursery.start_soon(world.transfers.hydrate, content.inode, Priority.PINNED)
        assert sorted(got) == sorted(data[i * 20 * KIB : i * 20 * KIB + 64 * KIB] for i in range(200))
        assert world.events.ends(content.inode) == [State.COMPLETED]
        # A range that a reader is carved out of ends early: what is on the wire by then is lost.
        assert cloud.bytes_served <= len(data) + 8 * 64 * KIB
        await world.leave(content)


async def test_a_start_on_whole_content_completes_without_a_transfer(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(100))
    cloud.put(b"empty", b"")
    async with open_world() as world:
        node = await world.node(b"a")
        await world.transfers.hydrate(node.inode, Priority.OPENED)
        world.events.said.clear()
        world.transfers.start(node.inode, Priority.OPENED)
        assert world.events.said == []
        world.transfers.start(node.inode, Priority.ASKED)
        empty = await world.node(b"empty")
        world.transfers.start(empty.inode, Priority.ASKED)
        assert world.events.ends(node.inode) == world.events.ends(empty.inode) == [State.COMPLETED]
        assert len(world.fetched()) == 1


async def test_gallery_files_are_downloads_of_the_other_class(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"Photos/p", body(100))
    cloud.put(b"f", body(100))
    async with open_world() as world:
        folder = await world.node(b"Photos")
        await world.listings.ensure(folder.inode)
        photo = world.tree.child(folder.inode, b"p")
        assert photo is not None
        await world.transfers.hydrate(photo.inode, Priority.ASKED)
        file = await world.node(b"f")
        await world.transfers.hydrate(file.inode, Priority.ASKED)
        sources = {inode: source for source, _, inode in world.events.said}
        assert sources == {photo.inode: EventClass.DOWNLOAD, file.inode: EventClass.CLOUD_FILE_CACHE}


async def test_many_files_share_the_connections(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    for i in range(60):
        cloud.put(b"%d" % i, body(10 * KIB, i))
    cloud.latency_s = 0.005
    async with open_world() as world:
        inodes = [(await world.node(b"%d" % i)).inode for i in range(60)]
        async with trio.open_nursery() as nursery:
            for inode in inodes:
                nursery.start_soon(world.transfers.hydrate, inode, Priority.PINNED)
        assert all(world.events.ends(inode) == [State.COMPLETED] for inode in inodes)
        assert world.store.usage.used == 60 * 10 * KIB


async def test_who_was_asked_for_goes_before_pins(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.max_connections = 3  # one background flight at a time
    for i in range(5):
        cloud.put(b"%d" % i, body(KIB, i))
    async with open_world() as world:
        nodes = [await world.node(b"%d" % i) for i in range(5)]
        for node in nodes[:4]:
            world.transfers.start(node.inode, Priority.PINNED)
        world.transfers.start(nodes[4].inode, Priority.ASKED)
        world.transfers.start(nodes[2].inode, Priority.OPENED)
        await until(lambda: sum(progress.state.is_end for _, progress, _ in world.events.said) == 5)
        order = [call.path for call in cloud.calls if call.method == "read"]
        assert order == [b"4", b"2", b"0", b"1", b"3"]


# --- reading ---


async def test_a_read_waits_for_its_own_range_only(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(32 * MIB)
    cloud.put(b"a", data)
    cloud.chunk_latency_s = 0.005
    async with open_world() as world:
        content = await world.open(b"a")
        world.transfers.start(content.inode, Priority.OPENED)
        assert await world.read(content, 0, 128 * KIB) == data[: 128 * KIB]
        assert content.held_bytes < 16 * MIB
        assert await world.read(content, 31 * MIB, 32 * MIB) == data[31 * MIB :]
        assert not content.is_whole, "a reader at the end does not wait for the beginning"
        await world.end_of(content.inode)
        assert cloud.bytes_served <= len(data) + 16 * 64 * KIB, "no range was asked for twice"
        await world.leave(content)


async def test_a_small_read_moves_little_under_ranges(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(64 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        content = await world.open(b"a")
        await world.read(content, 0, 128 * KIB)
        await world.read(content, 128 * KIB, 384 * KIB)
        await trio.sleep(0.05)
        assert cloud.bytes_served == 384 * KIB
        assert world.events.said == []
        assert world.transfers.progress(content.inode) is None
        await world.leave(content)


async def test_sequential_reading_is_read_ahead_and_stops_with_its_reader(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(32 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        content = await world.open(b"a")
        for start in range(0, 8 * MIB, 128 * KIB):
            world.transfers.note_read(content, start, start + 128 * KIB)
            assert await world.read(content, start, start + 128 * KIB) == data[start : start + 128 * KIB]
        assert len(world.fetched()) < 40
        ahead = cloud.bytes_served
        assert ahead > 8 * MIB
        cloud.gate = trio.Event()
        world.transfers.note_read(content, 8 * MIB, 20 * MIB)
        await world.store.close(content)
        cloud.gate.set()
        await until(lambda: not content.users)
        assert cloud.bytes_served < 28 * MIB, "nobody wants the rest of the window"


async def test_under_ranges_a_fetch_shows_as_progress(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    cloud.gate = trio.Event()
    async with open_world() as world:
        cloud.gate.set()
        content = await world.open(b"a")
        cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.transfers.need, content, 0, 4096)
            await until(world.fetched)
            assert world.transfers.progress(content.inode) == (0, MIB)
            assert world.transfers.running() == []
            cloud.gate.set()
        await world.leave(content)


async def test_a_cancelled_reader_leaves_nothing_behind(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        cloud.gate = trio.Event()
        with trio.move_on_after(0.05):
            await world.read(content, 0, 4096)
        assert content.wanted == []
        await world.leave(content)
        cloud.gate.set()
        await until(lambda: not len(world.transfers._downloads))
        assert not world.store.is_in_use(content.inode)


async def test_waiters_are_bounded(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(8 * MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for i in range(300):
                nursery.start_soon(world.transfers.need, content, i * 4096, i * 4096 + 10)
            await until(lambda: len(content.wanted) == 300)
            with pytest.raises(TryAgain, match="300"):
                await world.transfers.need(content, 4 * MIB, 5 * MIB)
            cloud.gate.set()
        await world.leave(content)


async def test_a_server_without_ranges_streams_once(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(5 * MIB)
    cloud.put(b"a", data)
    cloud.ranges = False
    async with open_world() as world:
        content = await world.open(b"a")
        world.transfers.start(content.inode, Priority.OPENED)
        assert await world.read(content, 4 * MIB, 5 * MIB) == data[4 * MIB :]
        assert await world.end_of(content.inode) is State.COMPLETED
        assert world.store.read_at(content, 0, 5 * MIB) == data
        assert cloud.bytes_served <= len(data) + 2 * MIB
        await world.leave(content)


async def test_a_server_found_to_have_no_ranges_streams_from_then_on(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(3 * MIB)
    cloud.put(b"a", data)
    cloud.ranges = False
    monkeypatch.setattr(MemoryCloud, "capabilities", Capabilities(ranges=None))
    async with open_world() as world:
        content = await world.open(b"a")
        assert await world.read(content, 2 * MIB, 3 * MIB) == data[2 * MIB :]
        await until(lambda: content.is_whole)
        assert world.store.read_at(content, 0, len(data)) == data
        await world.leave(content)


async def test_a_stream_that_is_cut_passes_over_what_is_held(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(MIB)
    cloud.put(b"a", data)
    cloud.ranges = False
    cloud.fail("read", NetworkUnavailable("cut"), times=2, after=400_000)
    async with open_world() as world:
        content = await world.open(b"a")
        await world.transfers.hydrate(content.inode, Priority.ASKED)
        assert world.store.read_at(content, 0, len(data)) == data
        assert len(world.fetched()) == 3
        await world.leave(content)


async def test_a_stream_that_never_gets_further_fails(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    cloud.ranges = False
    cloud.fail("read", NetworkUnavailable("cut"), times=None, after=400_000)
    async with open_world(timeout_s=1) as world:
        node = await world.node(b"a")
        with trio.fail_after(5), pytest.raises(NetworkUnavailable):
            await world.transfers.hydrate(node.inode, Priority.ASKED)


# --- faults ---


async def test_a_cut_connection_resumes_at_the_byte(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    size = 250_000
    data = body(size)
    cloud.put(b"a", data)
    cloud.fail("read", NetworkUnavailable("cut"), times=2, after=100_000)
    async with open_world() as world:
        node = await world.node(b"a")
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        assert world.fetched() == [(0, size), (100_000, size), (200_000, size)]
        assert cloud.bytes_served == size
        content = await world.open(b"a")
        assert world.store.read_at(content, 0, size) == data
        await world.leave(content)


async def test_patience_ends_in_the_cause_and_the_next_read_begins_anew(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world(timeout_s=0.5) as world:
        content = await world.open(b"a")
        cloud.fail("read", NetworkUnavailable("no route"), times=None)
        world.transfers.start(content.inode, Priority.OPENED)
        with pytest.raises(NetworkUnavailable):
            await world.read(content, 0, 4096)
        await until(lambda: world.tree.node(content.inode).error == "NETWORK_UNAVAILABLE")
        assert world.events.of(content.inode)[-1].error is DownloadErrorType.NETWORK_UNAVAILABLE
        asked = len(world.fetched())
        with pytest.raises(NetworkUnavailable):
            await world.read(content, 0, 4096)  # at once: the kernel asks twice
        assert len(world.fetched()) == asked
        assert isinstance(world.transfers.cause(content), NetworkUnavailable)
        cloud.heal()
        await trio.sleep(1.1)
        assert await world.read(content, 0, 4096) == body(MIB)[:4096]
        await until(lambda: world.events.ends(content.inode) == [State.FAILED, State.COMPLETED])
        await until(lambda: world.tree.node(content.inode).error is None)
        await world.leave(content)


async def test_a_start_tries_a_failed_range_at_once(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        cloud.fail("read", AccessRefused("403", status=403))
        with pytest.raises(AccessRefused):
            await world.read(content, 0, 4096)
        await world.transfers.hydrate(content.inode, Priority.ASKED)
        assert content.is_whole
        await world.leave(content)


async def test_the_cause_is_known_while_it_is_borne_with(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        assert world.transfers.cause(content) is None
        cloud.fail("read", NetworkUnavailable("reset"), times=None)
        with trio.move_on_after(0.1):
            await world.read(content, 0, 4096)
        assert isinstance(world.transfers.cause(content), NetworkUnavailable)
        await world.leave(content)


async def test_one_files_trouble_holds_up_no_other(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    for i in range(20):
        cloud.put(b"bad%d" % i, body(8 * MIB, i))
        cloud.fail("read", NetworkUnavailable("reset"), path=b"bad%d" % i, times=None)
    cloud.put(b"good", body(MIB))
    async with open_world() as world:
        for i in range(20):
            world.transfers.start((await world.node(b"bad%d" % i)).inode, Priority.ASKED)
        await trio.sleep(0.1)
        with trio.fail_after(5):
            await world.transfers.hydrate((await world.node(b"good")).inode, Priority.PINNED)


async def test_what_is_not_the_file_is_asked_for_once_more(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(1000))
    async with open_world() as world:
        node = await world.node(b"a")
        cloud.fail("read", WrongContent("a login page"))
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        await world.store.discard(node.inode)
        cloud.fail("read", WrongContent("a login page"), times=2)
        with pytest.raises(WrongContent):
            await world.transfers.hydrate(node.inode, Priority.ASKED)


async def test_content_not_found_removes_nothing(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(1000))
    async with open_world() as world:
        node = await world.node(b"a")
        cloud.remove(b"a")
        with pytest.raises(ContentNotFound):
            await world.transfers.hydrate(node.inode, Priority.ASKED)
        assert world.events.of(node.inode)[-1].error is DownloadErrorType.CONTENT_NOT_FOUND
        await until(lambda: sum(call.method == "list_folder" for call in cloud.calls) == 2)
        assert (await world.node(b"a")).error == "CONTENT_NOT_FOUND"


# --- versions ---


async def test_a_version_changed_before_the_first_byte_is_taken(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        newer = body(3 * MIB, 2)
        cloud.put(b"a", newer)
        world.transfers.start(content.inode, Priority.OPENED)
        assert await world.read(content, 0, 64 * KIB) == newer[: 64 * KIB]
        await until(lambda: world.events.ends(content.inode) == [State.COMPLETED])
        assert content.size == len(newer)
        assert world.store.read_at(content, 0, len(newer)) == newer
        assert world.tree.node(content.inode).size == len(newer)
        await world.leave(content)


async def test_a_version_that_became_empty_completes(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        node = await world.node(b"a")
        cloud.put(b"a", b"")
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        assert world.events.ends(node.inode) == [State.COMPLETED]


async def test_a_version_changed_later_is_never_mixed_in(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    old, newer = body(MIB), body(MIB, 2)
    cloud.put(b"a", old)
    async with open_world() as world:
        content = await world.open(b"a")
        assert await world.read(content, 0, 64 * KIB) == old[: 64 * KIB]
        cloud.put(b"a", newer)
        world.transfers.start(content.inode, Priority.ASKED)
        with pytest.raises(VersionChanged):
            await world.read(content, 512 * KIB, 600 * KIB)
        assert await world.end_of(content.inode) is State.FAILED
        assert world.events.of(content.inode)[-1].error is DownloadErrorType.UNKNOWN_ERROR
        assert await world.read(content, 0, 64 * KIB) == old[: 64 * KIB]
        with pytest.raises(VersionChanged):
            await world.read(content, 64 * KIB, 128 * KIB)
        await until(lambda: world.tree.node(content.inode).parent is None)
        again = await world.open(b"a")
        assert again.inode != content.inode
        assert await world.read(again, 0, MIB) == newer
        await world.leave(again)
        await world.leave(content)


async def test_a_file_nobody_has_open_keeps_its_inode_under_the_new_version(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        await world.read(content, 0, 4096)
        await world.leave(content)
        cloud.put(b"a", body(MIB, 2))
        with pytest.raises(VersionChanged):
            await world.transfers.hydrate(content.inode, Priority.ASKED)
        await until(lambda: world.tree.node(content.inode).version != content.version)
        await world.transfers.hydrate(content.inode, Priority.ASKED)
        again = await world.open(b"a")
        assert again.inode == content.inode
        assert world.store.read_at(again, 0, MIB) == body(MIB, 2)
        await world.leave(again)


# --- stopping and resuming ---


async def half_way(world: World, cloud: MemoryCloud, name: bytes) -> int:
    """A transfer of which some has come and the rest hangs. Its inode."""
    cloud.chunk_latency_s = 0.002
    node = await world.node(name)
    world.transfers.start(node.inode, Priority.ASKED)
    await until(lambda: world.store.held_bytes(node.inode) > MIB)
    return node.inode


async def test_stop_drops_the_partial_content(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(16 * MIB))
    async with open_world() as world:
        inode = await half_way(world, cloud, b"a")
        await world.transfers.stop(inode, keep_partial=False)
        assert world.events.ends(inode) == [State.STOPPED]
        assert world.store.held_bytes(inode) == 0
        await until(lambda: not len(world.transfers._downloads))
        assert world.store.usage.used == 0
        said = len(world.events.said)
        await world.transfers.stop(inode, keep_partial=False)
        assert len(world.events.said) == said


async def test_stopped_content_that_is_kept_is_resumed(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(16 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        inode = await half_way(world, cloud, b"a")
        await world.transfers.stop(inode, keep_partial=True)
        await until(lambda: not len(world.transfers._downloads))
        held = world.store.held_bytes(inode)
        assert held > MIB
        served = cloud.bytes_served
        await world.transfers.hydrate(inode, Priority.ASKED)
        assert cloud.bytes_served - served == len(data) - held
        assert world.events.ends(inode) == [State.STOPPED, State.COMPLETED]


async def test_stop_never_drops_whole_content(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(1000))
    async with open_world() as world:
        node = await world.node(b"a")
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        await world.transfers.stop(node.inode, keep_partial=False)
        assert world.store.held_bytes(node.inode) == 1000
        assert world.events.ends(node.inode) == [State.COMPLETED]


async def test_readers_go_on_after_a_stop(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(16 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        content = await world.open(b"a")
        inode = await half_way(world, cloud, b"a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.read, content, 15 * MIB, 16 * MIB)
            await until(lambda: content.wanted)
            await world.transfers.stop(inode, keep_partial=False)
        assert world.events.ends(inode) == [State.STOPPED]
        for start in (0, 3 * MIB, 8 * MIB):
            assert await world.read(content, start, start + MIB) == data[start : start + MIB]
        assert world.store.held_bytes(inode) == 0
        said = len(world.events.said)
        await world.leave(content)
        await until(lambda: not len(world.transfers._downloads))
        assert len(world.events.said) == said
        assert world.store.usage.used == 0


async def test_a_cancelled_hydration_ends_only_what_is_its_own(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(MIB))
    cloud.put(b"b", body(MIB))
    async with open_world() as world:
        own, others = await world.node(b"a"), await world.node(b"b")
        cloud.gate = trio.Event()
        world.transfers.start(others.inode, Priority.ASKED)
        with trio.move_on_after(0.05):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(world.transfers.hydrate, own.inode, Priority.PINNED)
                nursery.start_soon(world.transfers.hydrate, others.inode, Priority.PINNED)
        assert world.events.ends(own.inode) == [State.STOPPED]
        assert world.events.ends(others.inode) == []
        cloud.gate.set()
        assert await world.end_of(others.inode) is State.COMPLETED


async def test_who_waits_for_a_stopped_hydration_is_told(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        node = await world.node(b"a")
        cloud.gate = trio.Event()

        async def stop_soon() -> None:
            await until(world.fetched)
            await world.transfers.stop(node.inode, keep_partial=True)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop_soon)
            with pytest.raises(Stopped):
                await world.transfers.hydrate(node.inode, Priority.PINNED)


async def test_a_remount_resumes(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(16 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        await half_way(world, cloud, b"a")
    served = cloud.bytes_served
    async with open_world() as world:
        node = await world.node(b"a")
        held = world.store.held_bytes(node.inode)
        assert held > MIB
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        assert cloud.bytes_served - served == len(data) - held
        content = await world.open(b"a")
        assert world.store.read_at(content, 0, len(data)) == data
        await world.leave(content)


# --- space ---


async def test_what_cannot_fit_fails_where_it_was_asked_for(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(4 * MIB)
    cloud.put(b"a", data)
    async with open_world(size=MIB) as world:
        content = await world.open(b"a")
        with pytest.raises(LocalStorageFull):
            world.transfers.check_fits(content.inode)
        with pytest.raises(LocalStorageFull):
            await world.transfers.hydrate(content.inode, Priority.ASKED)
        assert world.events.of(content.inode)[-1].error is DownloadErrorType.LOCAL_STORAGE_FULL
        await world.leave(content)


async def test_an_open_file_that_does_not_fit_is_read_through(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(6 * MIB)
    cloud.put(b"a", data)
    async with open_world(size=2 * MIB) as world:
        content = await world.open(b"a")
        world.transfers.start(content.inode, Priority.OPENED)
        for start in range(0, len(data), 128 * KIB):
            assert await world.read(content, start, start + 128 * KIB) == data[start : start + 128 * KIB]
            assert world.store.usage.used <= 2 * MIB
        assert world.events.said == []
        assert cloud.bytes_served <= len(data) + MIB
        await world.leave(content)


async def test_a_stop_while_room_is_made_for_an_open_is_its_end(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        node = await world.node(b"a")

        async def full(content: Content, count: int) -> None:
            await world.transfers.stop(content.inode, keep_partial=True)
            raise LocalStorageFull("nothing may go")

        monkeypatch.setattr(world.store, "admit", full)
        world.transfers.start(node.inode, Priority.OPENED)
        assert await world.end_of(node.inode) is State.STOPPED
        monkeypatch.undo()
        await world.transfers.hydrate(node.inode, Priority.ASKED)
        assert world.events.ends(node.inode) == [State.STOPPED, State.COMPLETED]


async def test_a_new_file_pushes_out_the_old(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    for i in range(4):
        cloud.put(b"%d" % i, body(MIB, i))
    async with open_world(size=2 * MIB) as world:
        inodes = [(await world.node(b"%d" % i)).inode for i in range(4)]
        for inode in inodes:
            await world.transfers.hydrate(inode, Priority.ASKED)
            assert world.store.usage.used <= 2 * MIB
        assert world.store.held_bytes(inodes[0]) == 0
        assert world.store.held_bytes(inodes[3]) == MIB


# --- everything at once ---


@pytest.mark.parametrize("seed", range(12))
async def test_random_reads_and_faults_give_right_bytes_or_an_error(
    open_world: OpenWorld, cloud: MemoryCloud, seed: int
) -> None:
    chance = random.Random(seed)
    cloud.ranges = seed % 4 != 3
    sizes = [chance.randrange(1, 3 * MIB) for _ in range(3)]
    for i, size in enumerate(sizes):
        cloud.put(b"%d" % i, body(size, i))
    causes = (NetworkUnavailable("cut"), AccessRefused("403", status=403), WrongContent("page"))
    async with open_world(size=chance.choice([2 * MIB, 64 * MIB]), timeout_s=1) as world:
        contents = [await world.open(b"%d" % i) for i in range(3)]
        if chance.random() < 0.5:
            for content in contents:
                world.transfers.start(content.inode, Priority.OPENED)

        async def reader(place: random.Random) -> None:
            for _ in range(15):
                which = place.randrange(3)
                start = place.randrange(sizes[which])
                stop = min(sizes[which], start + place.randrange(1, 300 * KIB))
                with trio.move_on_after(place.choice([0.001, 5])):
                    try:
                        got = await world.read(contents[which], start, stop)
                    except CloudfsError:
                        continue
                    assert got == body(sizes[which], which)[start:stop]

        async def trouble() -> None:
            for _ in range(20):
                cloud.fail("read", chance.choice(causes), after=chance.choice([None, 0, 10_000, 200_000]))
                await trio.sleep(0.005)
            cloud.heal()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trouble)
            for _ in range(6):
                nursery.start_soon(reader, random.Random(chance.random()))
        for content in contents:
            for first, last in content.held:
                which = contents.index(content)
                assert (
                    world.store.read_at(content, first, last - first) == body(sizes[which], which)[first:last]
                )
            assert content.wanted == []
            await world.leave(content)
        assert not len(world.transfers._downloads)
        assert not any(world.store.is_in_use(content.inode) for content in contents)
        assert world.store._space.reserved == 0
