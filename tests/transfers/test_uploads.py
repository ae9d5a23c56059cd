"""Files go up whole, one upload at a time each, and what was sent is what gets recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.cache import snapshots
from cloudfs.model.errors import (
    CloudStorageFull,
    Incomplete,
    NetworkUnavailable,
    PreconditionFailed,
    ServerError,
)
from cloudfs.model.node import ROOT, Place
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads
from tests.servers.memory_cloud import MemoryCloud

from .conftest import MIB, World, body, running_world


class Sending:
    """A world that can send."""

    def __init__(self, world: World, timeout_s: float) -> None:
        self.world, self.tree, self.cloud = world, world.tree, world.cloud
        self.editor = Editor(world.tree, world.store, world.transfers)
        self.settling = Settling(world.tree, world.store, world.cloud, timeout_s=timeout_s)
        self.uploads = Uploads(
            world.tree, world.store, world.cloud, world.transfers, self.settling, timeout_s=timeout_s
        )

    async def save(self, name: bytes, content: bytes) -> int:
        node = self.tree.child(ROOT, name)
        if node is None:
            node = await self.tree.create(ROOT, name, 0o644, 1000, 1000)
            open_file = self.world.store.create(node.inode)
        else:
            open_file = await self.world.store.open(node.inode, node.version)
        await self.editor.truncate(open_file, 0)
        await self.editor.write(open_file, 0, content)
        await self.editor.flush(open_file)
        await self.world.store.close(open_file)
        return node.inode

    async def upload(self, inode: int) -> bool:
        node = self.tree.node(inode)
        return await self.uploads.upload(inode, Place(ROOT, node.name), node.version)

    @property
    def writes(self) -> int:
        return sum(call.method == "write" for call in self.cloud.calls)


@asynccontextmanager
async def sending(directory: Path, *, timeout_s: float = 5) -> AsyncIterator[Sending]:
    async with running_world(directory, MemoryCloud(), timeout_s=timeout_s) as world:
        yield Sending(world, timeout_s)


async def test_sends_a_new_file_and_records_its_version(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", body(300_000))
        assert await it.upload(inode)
        assert it.cloud.content(b"a") == body(300_000)
        node = it.tree.node(inode)
        assert not node.is_changed
        assert node.version is not None
        assert node.version.size == 300_000
        assert it.tree.intents() == []


async def test_says_how_far_it_is(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", body(3 * MIB))
        assert it.uploads.progress(inode) is None
        it.cloud.chunk_latency_s = 0.02
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.upload, inode)
            seen = []
            while it.world.tree.node(inode).is_modified:
                if (progress := it.uploads.progress(inode)) is not None:
                    seen.append(progress)
                    assert [status.inode for status in it.uploads.running()] == [inode]
                await trio.sleep(0.01)
        assert {size for _, size in seen} == {3 * MIB}
        processed = [done for done, _ in seen]
        assert processed == sorted(processed)
        assert 0 < processed[len(processed) // 2] < 3 * MIB
        assert it.uploads.running() == []


async def test_one_upload_of_a_file_at_a_time(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", b"x")
        it.cloud.latency_s = 0.05
        results: list[bool] = []

        async def upload() -> None:
            results.append(await it.upload(inode))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(upload)
        assert sorted(results) == [False] * 4 + [True]
        assert it.writes == 1


async def test_what_is_not_flushed_is_not_sent(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        node = await it.tree.create(ROOT, b"a", 0o644, 1000, 1000)
        content = it.world.store.create(node.inode)
        await it.editor.write(content, 0, b"half")
        assert not it.uploads.is_quiet(node.inode)
        assert not await it.upload(node.inode)
        assert it.writes == 0
        await it.editor.flush(content)
        assert await it.upload(node.inode)
        await it.world.store.close(content)


async def test_a_write_in_the_middle_of_a_small_upload_leaves_what_is_sent_alone(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", b"first")
        it.cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.upload, inode)
            while not it.writes:
                await trio.sleep(0.001)
            await it.save(b"a", b"second, longer")
            it.cloud.gate.set()
        assert it.cloud.content(b"a") == b"first"
        assert it.tree.node(inode).is_modified
        it.cloud.gate = None
        assert await it.upload(inode)
        assert it.cloud.content(b"a") == b"second, longer"
        assert not it.tree.node(inode).is_changed


async def test_a_write_in_the_middle_of_a_live_upload_ends_it_before_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_clone", lambda source, target: False)
    monkeypatch.setattr(snapshots, "_COPIED", MIB)
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", body(3 * MIB))
        it.cloud.chunk_latency_s = 0.005
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.upload, inode)
            while it.cloud.bytes_taken < MIB:
                await trio.sleep(0.001)
            content = await it.world.store.open(inode, None)
            await it.editor.write(content, 0, b"changed")
            await it.editor.flush(content)
            await it.world.store.close(content)
        assert it.cloud.content(b"a") == b"changed" + body(3 * MIB)[7:]
        assert it.writes == 2
        assert not it.tree.node(inode).is_changed


async def test_what_has_not_begun_when_nothing_may_begin_any_more_is_left(tmp_path: Path) -> None:
    """It may have waited for a connection since its turn came; what has begun goes on to its end."""
    async with sending(tmp_path) as it:
        sent, waiting = await it.save(b"sent", body(MIB)), await it.save(b"waiting", body(MIB))
        may_begin = True
        done: dict[int, bool] = {}

        async def upload(inode: int) -> None:
            node = it.tree.node(inode)
            done[inode] = await it.uploads.upload(
                inode, Place(ROOT, node.name), node.version, may_begin=lambda: may_begin
            )

        it.cloud.chunk_latency_s = 0.01
        async with trio.open_nursery() as nursery:
            nursery.start_soon(upload, sent)
            while not it.cloud.bytes_taken:
                await trio.sleep(0.001)
            it.cloud.gate = trio.Event()
            nursery.start_soon(upload, waiting)
            while it.writes < 2:
                await trio.sleep(0.001)
            may_begin = False
            it.cloud.gate.set()
        assert done == {sent: True, waiting: False}
        assert it.cloud.paths() == {b"sent": body(MIB)}
        assert it.tree.node(waiting).is_unsent
        assert it.tree.intents() == []


async def test_a_hiccup_is_tried_again_and_a_full_cloud_is_not(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", b"x")
        it.cloud.fail("write", ServerError("502"))
        assert await it.upload(inode)
        assert it.writes == 2
        other = await it.save(b"b", b"x")
        it.cloud.fail("write", CloudStorageFull("507"))
        with pytest.raises(CloudStorageFull):
            await it.upload(other)
        assert it.writes == 3
        assert it.tree.intents() == []


async def test_our_own_lost_answer_is_found_and_a_stranger_is_not_taken_for_it(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inode = await it.save(b"a", b"ours")
        it.cloud.lose_answer("write")
        assert await it.upload(inode)
        assert it.writes == 1
        other = await it.save(b"b", b"ours")
        it.cloud.put(b"b", b"thei")
        with pytest.raises(PreconditionFailed):
            await it.upload(other)
        assert it.cloud.content(b"b") == b"thei"
        assert it.tree.intents() == []


async def test_an_answer_that_stays_open_is_settled_later(tmp_path: Path) -> None:
    async with sending(tmp_path, timeout_s=0.3) as it:
        inode = await it.save(b"a", b"ours")
        it.cloud.lose_answer("write")
        it.cloud.fail("stat", NetworkUnavailable("cut"), times=None)
        with pytest.raises(NetworkUnavailable):
            await it.upload(inode)
        assert [intent.inode for intent in it.tree.intents()] == [inode]
        with pytest.raises(NetworkUnavailable):
            await it.settling.settle_all()
        it.cloud.heal()
        assert await it.settling.settle_all() == {}
        assert not it.tree.node(inode).is_changed
        assert it.writes == 1


async def test_an_answer_that_stays_open_holds_up_no_other(tmp_path: Path) -> None:
    async with sending(tmp_path, timeout_s=0.3) as it:
        stuck, other = await it.save(b"a", b"ours"), await it.save(b"b", b"too")
        it.cloud.lose_answer("write", times=2)
        it.cloud.fail("stat", NetworkUnavailable("cut"), times=None)
        for inode in (stuck, other):
            with pytest.raises(NetworkUnavailable):
                await it.upload(inode)
        it.cloud.heal()
        it.cloud.fail("stat", NetworkUnavailable("cut"), path=b"a", times=None)
        assert list(await it.settling.settle_all()) == [stuck]
        assert not it.tree.node(other).is_changed
        assert [intent.inode for intent in it.tree.intents()] == [stuck]


async def test_many_small_files_keep_every_connection_busy(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        inodes = [await it.save(b"%d" % i, b"x") for i in range(100)]
        it.cloud.gate = trio.Event()
        async with trio.open_nursery() as nursery:
            for inode in inodes:
                nursery.start_soon(it.upload, inode)
            with trio.fail_after(10):
                while it.writes < 16:
                    await trio.sleep(0.01)
            it.cloud.gate.set()
        assert it.writes == 100


async def test_a_file_that_was_only_made_longer_is_sent_as_zeros(tmp_path: Path) -> None:
    async with sending(tmp_path) as it:
        node = await it.tree.create(ROOT, b"a", 0o644, 1000, 1000)
        content = it.world.store.create(node.inode)
        await it.editor.truncate(content, 100_000)
        await it.world.store.close(content)
        assert await it.upload(node.inode)
        assert it.cloud.content(b"a") == bytes(100_000)


async def test_what_is_not_here_is_never_sent_as_nothing(tmp_path: Path) -> None:
    """Whatever lost the content: an empty file must not take its place."""
    async with sending(tmp_path) as it:
        it.cloud.put(b"a", b"content")
        await it.world.listings.ensure(ROOT)
        node = it.tree.child(ROOT, b"a")
        assert node is not None
        it.cloud.remove(b"a")
        await it.tree.detach(node.inode)
        with pytest.raises(Incomplete):
            await it.upload(node.inode)
        assert it.writes == 0
