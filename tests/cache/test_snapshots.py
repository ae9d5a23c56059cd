"""What an upload sends: one state of a file, wherever its bytes are kept meanwhile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from cloudfs.cache import snapshots
from cloudfs.cache.content import Content
from cloudfs.cache.snapshots import Snapshot
from cloudfs.cache.store import Store
from cloudfs.model.errors import ChangedMeanwhile, LocalIOError, LocalStorageFull, TryAgain

from .conftest import KIB, OpenStore
from .test_store import body, version

SIZE = 700 * KIB


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing fits into memory, and copies are made up to SIZE."""
    monkeypatch.setattr(snapshots, "_IN_MEMORY", 0)
    monkeypatch.setattr(snapshots, "_COPIED", SIZE)
    monkeypatch.setattr(snapshots, "_clone", lambda fd, twin: False)
    return monkeypatch


async def written(store: Store, data: bytes) -> Content:
    """A file that a program wrote and closed."""
    content = store.create(7)
    await store.edits.write(content, 0, data)
    await flush(store, content)
    return content


async def flush(store: Store, content: Content) -> None:
    await store._maps.save([content])
    content.unflushed = False


async def write(store: Store, content: Content, offset: int, data: bytes) -> None:
    content.marked()
    assert store.edits.write_now(content, offset, data)


async def all_of(snapshot: Snapshot) -> bytes:
    return b"".join([chunk async for chunk in snapshot.chunks()])


def clone(fd: int, twin: int) -> bool:
    """A file system that shares blocks, as far as can be told from outside."""
    os.pwrite(twin, os.pread(fd, SIZE, 0), 0)
    return True


@pytest.mark.parametrize("way", ["memory", "clone", "copy"])
async def test_writes_leave_what_is_kept_aside_alone(
    open_store: OpenStore, small: pytest.MonkeyPatch, way: str
) -> None:
    data = body(SIZE)
    if way == "memory":
        small.setattr(snapshots, "_IN_MEMORY", SIZE)
    elif way == "clone":
        small.setattr(snapshots, "_clone", clone)
        small.setattr(snapshots, "_COPIED", 0)
    async with open_store() as store:
        content = await written(store, data)
        async with store.snapshot(content) as snapshot:
            assert not content.is_marked, "the next write is another generation"
            await write(store, content, 10, b"later")
            assert await all_of(snapshot) == data
            assert await all_of(snapshot) == data, "a request that failed is sent again"
            assert snapshot.sha256 == hashlib.sha256(data).digest()
            assert snapshot.size == SIZE
        await flush(store, content)
        await store.close(content)


async def test_a_copy_is_counted_and_leaves_nothing(
    open_store: OpenStore, small: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with open_store() as store:
        content = await written(store, body(SIZE))
        async with store.snapshot(content):
            assert store.usage.used == 2 * SIZE
            assert len([path for path in tmp_path.rglob("*") if path.name.startswith("nameless")]) == 0
        assert store.usage.used == SIZE
        await store.close(content)


async def test_what_a_crash_left_of_a_copy_goes(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store():
        pass
    left = tmp_path / "contents" / "nameless-1"
    left.write_bytes(b"x")
    async with open_store():
        assert not left.exists()


async def test_a_write_ends_the_sending_of_the_live_file(
    open_store: OpenStore, small: pytest.MonkeyPatch
) -> None:
    small.setattr(snapshots, "_COPIED", 0)
    data = body(SIZE)
    async with open_store() as store:
        content = await written(store, data)
        async with store.snapshot(content) as snapshot:
            chunks = snapshot.chunks()
            assert await anext(chunks) == data[: snapshots.CHUNK]
            await write(store, content, SIZE - 5, b"later")
            with pytest.raises(ChangedMeanwhile):
                await anext(chunks)
        await flush(store, content)
        await store.close(content)


async def test_a_live_file_that_stays_as_it_is_goes_out_whole(
    open_store: OpenStore, small: pytest.MonkeyPatch
) -> None:
    small.setattr(snapshots, "_COPIED", 0)
    async with open_store() as store:
        content = await written(store, body(SIZE))
        async with store.snapshot(content) as snapshot:
            assert await all_of(snapshot) == body(SIZE)
            assert store.usage.used == SIZE
        await store.close(content)


async def test_after_three_vain_uploads_a_copy_is_sent(
    open_store: OpenStore, small: pytest.MonkeyPatch
) -> None:
    small.setattr(snapshots, "_COPIED", 0)
    async with open_store() as store:
        content = await written(store, body(SIZE))
        for _ in range(3):
            async with store.snapshot(content) as snapshot:
                await write(store, content, 0, b"again")
                with pytest.raises(ChangedMeanwhile):
                    await all_of(snapshot)
            await flush(store, content)
        async with store.snapshot(content) as snapshot:
            await write(store, content, 0, b"later")
            assert (await all_of(snapshot))[:5] == b"again"
        await flush(store, content)
        await store.close(content)


async def test_without_room_for_a_copy_the_live_file_is_sent(
    open_store: OpenStore, small: pytest.MonkeyPatch
) -> None:
    async def full(content: Content, count: int) -> None:
        raise LocalStorageFull("full")

    async with open_store() as store:
        content = await written(store, body(SIZE))
        small.setattr(store._writing, "make_room_for_edit", full)
        async with store.snapshot(content) as snapshot:
            assert await all_of(snapshot) == body(SIZE)
        await store.close(content)


async def test_what_is_not_whole_or_not_flushed_is_not_sent(open_store: OpenStore) -> None:
    async with open_store() as store:
        partial = await store.open(1, version(100))
        await store.write_at(partial, 0, body(50))
        with pytest.raises(TryAgain, match="cloud alone"):
            async with store.snapshot(partial):
                pass
        await store.close(partial)
        content = await written(store, body(100))
        await write(store, content, 0, b"x")
        with pytest.raises(TryAgain, match="written"):
            async with store.snapshot(content):
                pass
        await flush(store, content)
        await store.close(content)


async def test_an_empty_file_has_a_snapshot_without_a_cache_file(open_store: OpenStore) -> None:
    async with open_store() as store:
        content = store.create(7)
        async with store.snapshot(content) as snapshot:
            assert await all_of(snapshot) == b""
            assert snapshot.sha256 == hashlib.sha256().digest()
        await store.close(content)


async def test_a_cut_cache_file_is_an_error_and_no_shorter_file(
    open_store: OpenStore, small: pytest.MonkeyPatch
) -> None:
    async with open_store() as store:
        content = await written(store, body(SIZE))
        assert content.fd is not None
        os.ftruncate(content.fd, SIZE // 2)
        with pytest.raises(LocalIOError, match="shorter"):
            async with store.snapshot(content):
                pass
        os.ftruncate(content.fd, SIZE)
        await store.close(content)


def test_this_file_system_may_clone_or_not(tmp_path: Path) -> None:
    """Either way the call is the right one: refused, or the bytes are there."""
    source, twin = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("a", "b"))
    try:
        os.pwrite(source, b"bytes", 0)
        if snapshots._clone(source, twin):
            assert os.pread(twin, 10, 0) == b"bytes"
    finally:
        os.close(source)
        os.close(twin)
