"""What programs do to files that lie in the cloud, and what that does to fetches under way."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.cache import edits
from cloudfs.cache.content import Content
from cloudfs.cache.edits import Also
from cloudfs.database.bridge import Database
from cloudfs.model.entry import Version
from cloudfs.model.enums import Priority
from cloudfs.model.errors import (
    ContentNotFound,
    LocalIOError,
    LocalStorageFull,
    TryAgain,
    VersionChanged,
)
from cloudfs.model.node import ROOT, Place
from cloudfs.transfers.editing import Editor
from tests.servers.memory_cloud import MemoryCloud

from .conftest import KIB, MIB, OpenWorld, World, body


def editor_of(world: World) -> Editor:
    return Editor(world.tree, world.store, world.transfers)


async def make(world: World, name: bytes) -> Content:
    await world.listings.ensure(ROOT)
    node = await world.tree.create(ROOT, name, 0o644, 0, 0)
    content = world.store.create(node.inode)
    world.store.begin_writing(content)
    return content


async def fetched(world: World, name: bytes) -> Content:
    """A file that is in the cache, whole and safe."""
    content = await world.open(name)
    await world.transfers.hydrate(content.inode, Priority.OPENED)
    await until(lambda: content.durable)
    return content


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


def on_disk(content: Content) -> bytes:
    assert content.fd is not None
    return os.pread(content.fd, 10 * MIB, 0)


class Commits:
    """Counts the commits of a database."""

    def __init__(self, database: Database, patch: pytest.MonkeyPatch) -> None:
        self.durable: list[bool] = []
        commit = database.commit

        async def counted(work: Any, *, durable: bool = False) -> Any:
            self.durable.append(durable)
            return await commit(work, durable=durable)

        patch.setattr(database, "commit", counted)


def fail_commits(world: World, patch: pytest.MonkeyPatch) -> None:
    async def full(work: Any, *, durable: bool = False) -> Any:
        raise LocalStorageFull("the disk is full")

    patch.setattr(world.database, "commit", full)


# --- what is committed when ---


async def test_a_new_small_file_costs_two_commits_and_no_sync(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        await world.listings.ensure(ROOT)
        commits = Commits(world.database, monkeypatch)
        monkeypatch.setattr(os, "fdatasync", lambda fd: pytest.fail("nobody asked for a sync"))
        content = await make(world, b"new")
        await editor.write(content, 0, body(3 * KIB))
        await editor.write(content, 3 * KIB, body(2 * KIB))
        await editor.flush(content)
        world.store.end_writing(content)
        await world.store.close(content)
        assert commits.durable == [False, False]
        node = world.tree.node(content.inode)
        assert (node.size, node.is_modified) == (5 * KIB, True)


async def test_a_new_file_without_content_has_no_cache_file(open_world: OpenWorld, tmp_path: Path) -> None:
    async with open_world() as world:
        content = await make(world, b"new")
        await editor_of(world).flush(content)
        await world.store.close(content)
        assert list((tmp_path / "contents").iterdir()) == []
        again = await world.store.open(content.inode, None)
        assert (again.size, again.is_whole, again.is_dirty) == (0, True, True)
        await world.store.close(again)


async def test_no_byte_of_a_cached_file_changes_before_the_commit(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(100)
    cloud.put(b"a", data)
    async with open_world() as world:
        content = await fetched(world, b"a")
        seen: list[tuple[bytes, int]] = []
        commit = world.database.commit

        async def watched(work: Any, *, durable: bool = False) -> Any:
            result = await commit(work, durable=durable)
            ((dirty,),) = world.database.read("SELECT dirty FROM contents")
            seen.append((on_disk(content), dirty))
            return result

        monkeypatch.setattr(world.database, "commit", watched)
        await editor_of(world).write(content, 10, b"xyz")
        assert seen
        assert all(found == data for found, _ in seen)
        assert seen[-1][1] == 1
        assert on_disk(content) == data[:10] + b"xyz" + data[13:]
        await world.leave(content)


async def test_power_loss_cannot_bring_the_clean_row_back(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that calls the old bytes the cloud's is on the disk: so must be the one that replaces it."""
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await fetched(world, b"a")
        commits = Commits(world.database, monkeypatch)
        await editor_of(world).write(content, 10, b"xyz")
        assert commits.durable[-1]
        commits.durable.clear()
        await editor_of(world).write(content, 10, b"abc")
        assert commits.durable == [], "the second write finds it marked"
        await world.leave(content)


async def test_what_is_sent_is_marked_durably_too(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit that calls it clean may come between, and survive alone."""
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"first")
        await editor.flush(content)
        commits = Commits(world.database, monkeypatch)
        async with world.store.snapshot(content):
            await editor.write(content, 0, b"after")
        assert commits.durable == [True]
        await editor.flush(content)
        await world.store.close(content)


async def test_a_mark_that_fails_changes_nothing(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(100)
    cloud.put(b"a", data)
    async with open_world() as world:
        content = await fetched(world, b"a")
        with pytest.MonkeyPatch.context() as patch:
            fail_commits(world, patch)
            with pytest.raises(LocalStorageFull):
                await editor_of(world).write(content, 10, b"xyz")
        assert on_disk(content) == data
        assert not world.store.is_dirty(content.inode)
        assert not content.unflushed
        await editor_of(world).write(content, 10, b"xyz")
        assert world.store.is_dirty(content.inode)
        await world.leave(content)


async def test_what_could_not_be_flushed_stays_in_memory(open_world: OpenWorld) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"abc")
        with pytest.MonkeyPatch.context() as patch:
            fail_commits(world, patch)
            with pytest.raises(LocalStorageFull):
                await editor.flush(content)
            await world.store.close(content)
        assert world.store.written(content.inode) == (3, content.mtime_ns)
        assert world.store.is_unflushed(content.inode)
        again = await world.store.open(content.inode, None)
        assert world.store.read_at(again, 0, 3) == b"abc"
        await editor.flush(again)
        await world.store.close(again)
        assert world.tree.node(content.inode).size == 3
        assert not world.store.is_in_use(content.inode)


async def test_fsync_syncs_the_bytes_before_it_commits(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"abc")
        order: list[str] = []
        fdatasync, record = os.fdatasync, world.tree.record_content

        def synced(fd: int) -> None:
            order.append("file")
            fdatasync(fd)

        async def recorded(*args: Any, durable: bool = False) -> None:
            order.append("row" if durable else "weak row")
            await record(*args, durable=durable)

        monkeypatch.setattr(os, "fdatasync", synced)
        monkeypatch.setattr(world.tree, "record_content", recorded)
        await editor.sync(content)
        await editor.sync(content)
        assert order == ["file", "row"], "once, as nothing changed in between"
        await editor.write(content, 3, b"d")
        await editor.sync(content)
        assert order == ["file", "row", "file", "weak row"], "the first row survives, and says enough"
        await editor.write(content, 4, b"e")
        await editor.flush(content)
        await editor.sync(content)
        assert order[4:] == ["weak row", "file", "row"]
        await world.store.close(content)


async def test_each_fsync_of_a_file_with_gaps_has_a_row_that_survives(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older row would call a gap what was written since, and the base would come over it."""
    cloud.put(b"a", body(100))
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        monkeypatch.setattr(world.transfers, "start", lambda inode, priority: None)
        commits = Commits(world.database, monkeypatch)
        for offset in (10, 20):
            await editor.write(content, offset, b"x")
            commits.durable.clear()
            await editor.sync(content)
            assert commits.durable == [True]
        await world.store.close(content)


async def test_the_first_fsync_of_an_empty_file_does_not_stand_for_its_content(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.sync(content)
        await editor.write(content, 0, b"x")
        commits = Commits(world.database, monkeypatch)
        await editor.sync(content)
        assert commits.durable == [True]
        await world.store.close(content)


async def test_the_time_of_a_write_is_the_files(open_world: OpenWorld) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        before = world.tree.node(content.inode).mtime_ns
        await editor.write(content, 0, b"abc")
        await editor.flush(content)
        written = world.tree.node(content.inode).mtime_ns
        assert written == content.mtime_ns
        assert written >= before
        await world.tree.set_attributes(content.inode, mtime_ns=123)
        await editor.flush(content)
        await editor.sync(content)
        assert world.tree.node(content.inode).mtime_ns == 123
        await world.store.close(content)


# --- files that are not all here ---


async def test_a_write_fetches_nothing_and_its_flush_the_rest(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(3 * MIB)
    cloud.put(b"a", data)
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.write(content, MIB, b"x" * KIB)
        await editor.write(content, 3 * MIB + 10, b"end")
        assert world.fetched() == []
        await editor.flush(content)
        await until(lambda: content.is_whole)
        whole = data[:MIB] + b"x" * KIB + data[MIB + KIB :] + bytes(10) + b"end"
        assert await world.read(content, 0, len(whole)) == whole
        await world.leave(content)


async def test_cutting_a_placeholder_to_nothing_fetches_nothing(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(3 * MIB))
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.truncate(content, 0)
        await editor.write(content, 0, b"new")
        await editor.flush(content)
        await world.leave(content)
        assert world.fetched() == []
        assert world.tree.node(content.inode).size == 3


async def test_a_cut_during_a_download_holds(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    """Bytes of the base that were on their way never come back beyond the cut."""
    data = body(4 * MIB)
    cloud.put(b"a", data)
    cloud.chunk_latency_s = 0.002
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        world.transfers.start(content.inode, Priority.OPENED)
        await until(lambda: content.held_bytes > 256 * KIB)
        await editor.truncate(content, MIB + 5)
        assert on_disk(content)[MIB + 5 :] == b""
        await editor.truncate(content, 5 * MIB)
        await until(lambda: content.is_whole)
        await until(lambda: world.transfers.progress(content.inode) is None)
        assert await world.read(content, 0, 6 * MIB) == data[: MIB + 5] + bytes(4 * MIB - 5)
        assert os.fstat(content.fd or 0).st_size == 5 * MIB
        ends = world.events.ends(content.inode)
        assert len(ends) == 1
        await world.leave(content)


async def test_a_server_without_ranges_brings_what_is_left(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    data = body(2 * MIB)
    cloud.put(b"a", data)
    cloud.ranges = False
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.truncate(content, MIB)
        await editor.write(content, 3 * MIB, b"far beyond")
        await editor.write(content, 100, b"x")
        await editor.flush(content)
        await until(lambda: content.is_whole)
        whole = data[:100] + b"x" + data[101:MIB] + bytes(2 * MIB) + b"far beyond"
        assert await world.read(content, 0, len(whole)) == whole
        await world.leave(content)


async def test_a_reader_gets_what_a_program_writes_where_it_waits(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        cloud.gate = trio.Event()
        got: list[bytes] = []

        async def read() -> None:
            got.append(await world.read(content, 100, 110))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await until(world.fetched)
                await editor.write(content, 0, b"y" * MIB)
        assert got == [b"y" * 10]
        cloud.gate.set()
        await world.leave(content)


async def test_a_reader_beyond_a_cut_waits_no_longer(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        cloud.gate = trio.Event()

        async def read() -> None:
            await world.transfers.need(content, 1000, 2000)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read)
                await until(world.fetched)
                await editor_of(world).truncate(content, 500)
        cloud.gate.set()
        await world.leave(content)


async def test_a_transfer_completes_by_what_programs_write(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        content = await world.open(b"a")
        cloud.gate = trio.Event()
        world.transfers.start(content.inode, Priority.ASKED)
        await until(world.fetched)
        await editor_of(world).write(content, 0, b"y" * MIB)
        with trio.fail_after(5):
            await world.end_of(content.inode)
        assert await world.read(content, 0, 5) == b"yyyyy"
        await editor_of(world).flush(content)
        cloud.gate.set()
        await world.leave(content)


async def test_a_base_that_is_gone_leaves_its_gaps_unreadable(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    """Never zeros in their place, and never up to the cloud."""
    cloud.put(b"a", body(MIB))
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.write(content, 0, b"new")
        cloud.put(b"a", body(MIB, 2))
        await editor.flush(content)
        with pytest.raises(VersionChanged):
            await world.read(content, 10, 20)
        assert await world.read(content, 0, 3) == b"new"
        with pytest.raises(TryAgain):
            async with world.store.snapshot(content):
                pass
        assert not content.is_whole
        await world.store.close(content)


async def test_a_move_between_path_and_answer_is_asked_once_more(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(100)
    cloud.put(b"new", data)
    async with open_world() as world:
        content = await world.open(b"new")
        remote_path, asked = world.tree.remote_path, [b"old"]

        def moved(inode: int) -> bytes:
            return asked.pop() if asked and inode == content.inode else remote_path(inode)

        monkeypatch.setattr(world.tree, "remote_path", moved)
        assert await world.read(content, 0, 100) == data
        monkeypatch.setattr(world.tree, "remote_path", lambda inode: b"gone")
        await world.leave(content)
        await world.store.discard(content.inode)
        content = await world.open(b"new")
        with pytest.raises(ContentNotFound):
            await world.read(content, 0, 100)
        await world.store.close(content)


# --- while it is sent ---


async def test_a_write_after_the_snapshot_stays_to_be_sent(open_world: OpenWorld) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"first")
        await editor.flush(content)
        sent = world.tree.node(content.inode).generation
        async with world.store.snapshot(content) as snapshot:
            await editor.write(content, 0, b"after")
            assert b"".join([chunk async for chunk in snapshot.chunks()]) == b"first"
        assert world.tree.node(content.inode).generation == sent + 1
        await record_sent(world, content, sent)
        assert content.is_dirty
        assert world.store.is_dirty(content.inode)
        with pytest.raises(TryAgain):
            await world.store.discard(content.inode)
        await world.store.close(content)


@pytest.mark.parametrize("delay", range(6))
async def test_a_write_beside_the_record_is_never_called_clean(open_world: OpenWorld, delay: int) -> None:
    """The mark and the record of the upload meet in every order, within one commit too."""
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"first")
        await editor.flush(content)
        generation = world.tree.node(content.inode).generation
        async with world.store.snapshot(content):
            pass

        async def write() -> None:
            for _ in range(delay):
                await trio.lowlevel.checkpoint()
            await editor.write(content, 0, b"after")
            await editor.flush(content)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            nursery.start_soon(record_sent, world, content, generation)
        assert content.is_dirty
        assert world.tree.node(content.inode).is_modified
        assert world.database.read("SELECT dirty FROM contents") == [(1,)]
        await world.store.close(content)


async def record_sent(world: World, content: Content, generation: int) -> None:
    version = Version('"sent"', None, 5)
    also = world.store.uploaded_row(content, version, generation)
    await world.tree.record_uploaded(content.inode, generation, version, Place(ROOT, b"new"), also)
    node = world.tree.node(content.inode)
    world.store.note_uploaded(content, version, node.generation == node.sent)


async def test_a_record_that_is_told_late_does_not_clean_a_newer_mark(open_world: OpenWorld) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"first")
        await editor.flush(content)
        async with world.store.snapshot(content):
            pass
        await editor.write(content, 0, b"after")
        world.store.note_uploaded(content, Version('"sent"', None, 5), True)
        assert content.is_dirty
        await world.store.close(content)


async def test_what_is_marked_without_a_change_is_dirty(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await fetched(world, b"a")
        await editor_of(world).mark(content)
        assert world.tree.node(content.inode).is_modified
        with pytest.raises(TryAgain):
            await world.store.discard(content.inode)
        await world.leave(content)
        assert world.store.is_dirty(content.inode)


# --- order, and faults of the disk ---


async def test_writes_of_one_file_keep_their_order(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write waits for its commit, the next ones for it."""
    cloud.put(b"a", body(100))
    async with open_world() as world:
        editor = editor_of(world)
        content = await fetched(world, b"a")
        mark_modified = world.tree.mark_modified

        async def slow(inode: int, also: Also, *, durable: bool) -> None:
            await trio.sleep(0.02)
            await mark_modified(inode, also, durable=durable)

        monkeypatch.setattr(world.tree, "mark_modified", slow)
        async with trio.open_nursery() as nursery:
            for i in range(10):
                nursery.start_soon(editor.write, content, 0, b"%d" % i)
                await trio.sleep(0.001)
            nursery.start_soon(editor.truncate, content, 50)
            await trio.sleep(0.001)
            nursery.start_soon(editor.write, content, 60, b"end")
        assert await world.read(content, 0, 1) == b"9"
        assert await world.read(content, 50, 100) == bytes(10) + b"end"
        await world.leave(content)


async def test_a_slow_disk_is_written_to_in_threads(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"0")
        monkeypatch.setattr(edits, "_SLOW_WRITE_S", -1.0)
        await editor.write(content, 1, b"1")
        assert not world.store.edits.write_now(content, 2, b"2")
        await editor.write(content, 2, b"2" * MIB)
        assert await world.read(content, 0, 4) == b"0122"
        await world.store.close(content)


async def test_a_full_disk_refuses_the_write_and_keeps_what_was_flushed(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"kept")
        await editor.flush(content)
        real = os.pwrite

        def full(fd: int, data: Any, offset: int) -> int:
            if offset > 4:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(fd, data[:1], offset)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            with pytest.raises(LocalStorageFull):
                await editor.write(content, 4, b"more")
        assert os.fstat(content.fd or 0).st_size == content.size == 4
        assert await world.read(content, 0, 10) == b"kept"
        await editor.write(content, 4, b"more")
        assert await world.read(content, 0, 10) == b"keptmore"
        await world.store.close(content)


async def test_a_cut_that_the_disk_refuses_changes_nothing(
    open_world: OpenWorld, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = body(100)
    cloud.put(b"a", data)
    async with open_world() as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.write(content, 0, b"new")

        def refuse(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(os, "ftruncate", refuse)
            with pytest.raises(LocalIOError):
                await editor.truncate(content, 50)
        assert content.missing(0, 100) == [(3, 100)]
        await editor.flush(content)
        assert await world.read(content, 0, 100) == b"new" + data[3:]
        await world.leave(content)


async def test_changes_may_outgrow_the_cache_but_not_the_disk(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    cloud.put(b"a", body(200 * KIB))
    async with open_world(size=256 * KIB) as world:
        editor = editor_of(world)
        cached = await fetched(world, b"a")
        await world.leave(cached)
        content = await make(world, b"new")
        for i in range(5):
            await editor.write(content, i * 100 * KIB, body(100 * KIB, i))
        await editor.flush(content)
        assert world.store.held_bytes(cached.inode) == 0, "what is in the cloud makes room first"
        assert world.store.usage.used == 500 * KIB
        world.store._space._min_free = 1 << 60
        with pytest.raises(LocalStorageFull):
            await editor.write(content, 500 * KIB, b"x")
        await editor.write(content, 0, b"in place")
        assert await world.read(content, 0, 8) == b"in place"
        await world.store._eviction.free(MIB)
        assert await world.read(content, 400 * KIB, 500 * KIB) == body(100 * KIB, 4)
        await world.store.close(content)


async def test_a_base_is_brought_where_changes_fill_the_cache(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    """Else it could never be sent: zeros that a program skipped over take no room, but count."""
    data = body(MIB)
    cloud.put(b"a", data)
    async with open_world(size=2 * MIB) as world:
        editor = editor_of(world)
        content = await world.open(b"a")
        await editor.write(content, 8 * 1024 * MIB, b"end")
        await editor.flush(content)
        with trio.fail_after(10):
            assert await world.read(content, 0, MIB) == data
        await until(lambda: content.is_whole)
        await world.leave(content)


async def test_others_are_read_through_a_cache_that_changes_fill(
    open_world: OpenWorld, cloud: MemoryCloud
) -> None:
    data = body(3 * MIB)
    cloud.put(b"a", data)
    async with open_world(size=2 * MIB) as world:
        content = await make(world, b"new")
        await editor_of(world).write(content, 0, body(6 * MIB, 2))
        await editor_of(world).flush(content)
        reader = await world.open(b"a")
        for offset in range(0, 3 * MIB, 128 * KIB):
            assert await world.read(reader, offset, offset + 128 * KIB) == data[offset : offset + 128 * KIB]
            assert reader.held_bytes <= 2 * MIB
        await world.leave(reader)
        await world.store.close(content)


async def test_what_is_open_for_writing_is_not_discarded(open_world: OpenWorld, cloud: MemoryCloud) -> None:
    """Else the handle would write into a content that nobody finds again."""
    cloud.put(b"a", body(100))
    async with open_world() as world:
        content = await fetched(world, b"a")
        world.store.begin_writing(content)
        with pytest.raises(TryAgain):
            await world.store.discard(content.inode)
        world.store.end_writing(content)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(world.store.discard, content.inode)
            nursery.start_soon(world.store.discard, content.inode)
        assert content.detached
        await world.leave(content)
        assert world.store.usage.used == 0


async def test_a_removed_file_takes_its_content_along(open_world: OpenWorld, tmp_path: Path) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"abc")
        await editor.flush(content)
        world.tree.hold(content.inode)
        await world.tree.unlink(ROOT, b"new")
        await editor.write(content, 3, b"def")
        await editor.flush(content)
        assert await world.read(content, 0, 6) == b"abcdef"
        world.store.end_writing(content)
        await world.store.close(content)
        await world.store.forget(content.inode)
        assert [path for path in (tmp_path / "contents").rglob("*") if path.is_file()] == []
        assert world.store.usage.used == 0


async def test_a_row_of_the_tree_and_one_of_the_cache_are_one_commit(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_world() as world:
        editor = editor_of(world)
        content = await make(world, b"new")
        await editor.write(content, 0, b"abc")
        dirty_row = world.store.edits.dirty_row

        def refused(content: Content, *, durable: bool = False) -> Also:
            row = dirty_row(content, durable=durable)

            def work(connection: sqlite3.Connection) -> None:
                row(connection)
                raise LocalIOError("refused")

            return work

        with monkeypatch.context() as patch:
            patch.setattr(world.store.edits, "dirty_row", refused)
            with pytest.raises(LocalIOError):
                await editor.flush(content)
        assert world.tree.node(content.inode).size == 0
        assert world.store._rows.load(content.inode) is None
        await editor.flush(content)
        assert world.tree.node(content.inode).size == 3
        await world.store.close(content)
