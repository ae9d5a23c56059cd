"""CloudFileCache over the layers below: what stop and cleanCache keep, drop and tell; pins; URIs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from cloudfs.model.enums import Location, Scope, State, SyncState
from cloudfs.model.errors import AccessRefused, InvalidUri, NotFound, TryAgain
from cloudfs.model.node import ROOT
from cloudfs.model.progress import DownloadProgress, Event
from cloudfs.model.uri import MediaId
from cloudfs.tree.changes import AttributesChanged
from tests.control.desk import MIB, Desk, open_desk
from tests.servers.memory_cloud import MemoryCloud

SIZE = 8 * MIB
PATIENCE_S = 20


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"large", bytes(SIZE))
    cloud.put(b"folder/sub/deep", b"deep")
    cloud.put(b"folder/file", b"file")
    cloud.put(b"Photos/1.jpg", b"jpeg")
    return cloud


@pytest.fixture
async def desk(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, cloud) as desk:
        yield desk


async def start_and_hold(desk: Desk, cloud: MemoryCloud) -> int:
    """A download of which some bytes have come and more do not."""
    inode = await desk.cache.resolve(b"large")
    cloud.chunk_latency_s = 0.02
    desk.cache.start(inode, pid=1)
    await until(desk, inode, at_least=1)
    return inode


async def until(desk: Desk, inode: int, *, at_least: int) -> None:
    with trio.fail_after(PATIENCE_S):
        while desk.store.held_bytes(inode) < at_least:
            await trio.sleep(0.005)


async def test_stop_drops_what_came(desk: Desk, cloud: MemoryCloud) -> None:
    inode = await start_and_hold(desk, cloud)
    with desk.changes.subscribe() as news:
        await desk.cache.stop(inode, need_clean=True)
        assert news.receive_nowait() == AttributesChanged(inode)
    assert desk.store.held_bytes(inode) == 0
    assert desk.transfers.progress(inode) is None


async def test_stop_without_clean_keeps_it_and_the_next_start_resumes(desk: Desk, cloud: MemoryCloud) -> None:
    inode = await start_and_hold(desk, cloud)
    await desk.cache.stop(inode, need_clean=False)
    kept = desk.store.held_bytes(inode)
    assert 0 < kept < SIZE
    served = cloud.bytes_served
    cloud.chunk_latency_s = 0
    desk.cache.start(inode, pid=1)
    await until(desk, inode, at_least=SIZE)
    assert cloud.bytes_served - served <= SIZE - kept


async def test_stop_of_an_idle_file_drops_partial_content_only(desk: Desk, cloud: MemoryCloud) -> None:
    inode = await start_and_hold(desk, cloud)
    await desk.cache.stop(inode, need_clean=False)
    await desk.cache.stop(inode, need_clean=True)
    assert desk.store.held_bytes(inode) == 0
    cloud.chunk_latency_s = 0
    desk.cache.start(inode, pid=1)
    await until(desk, inode, at_least=SIZE)
    await desk.cache.stop(inode, need_clean=True)
    assert desk.store.held_bytes(inode) == SIZE


async def test_clean_cache_leaves_readers_their_bytes(desk: Desk) -> None:
    inode = await desk.cache.resolve(b"folder/file")
    version = desk.tree.node(inode).version
    assert version is not None
    content = await desk.store.open(inode, version)
    await desk.transfers.need(content, 0, 4)
    with desk.changes.subscribe() as news:
        await desk.cache.clean_cache(inode)
        assert news.receive_nowait() == AttributesChanged(inode)
    assert desk.store.held_bytes(inode) == 0
    await desk.transfers.need(content, 0, 4)
    assert desk.store.read_at(content, 0, 4) == b"file"
    await desk.store.close(content)
    await desk.cache.clean_cache(inode)  # not cached: done


async def test_a_pin_of_a_folder_above_counts(desk: Desk) -> None:
    folder = await desk.cache.resolve(b"folder")
    await desk.cache.set_pin(folder, True)
    deep = await desk.cache.resolve(b"folder/sub/deep")
    await until(desk, deep, at_least=4)
    with pytest.raises(TryAgain):
        await desk.cache.clean_cache(deep)
    assert desk.store.held_bytes(deep) == 4
    await desk.cache.set_pin(folder, False)
    await desk.cache.clean_cache(deep)
    assert desk.store.held_bytes(deep) == 0


async def test_one_pinned_files_failure_holds_up_no_other(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.fail("list_folder", AccessRefused("403", status=403), path=b"folder/sub", times=None)
    await desk.cache.set_pin(ROOT, True)
    for path in (b"folder/file", b"Photos/1.jpg"):
        inode = await desk.cache.resolve(path)
        await until(desk, inode, at_least=4)


async def test_folders_are_no_files(desk: Desk) -> None:
    folder = await desk.cache.resolve(b"folder")
    with pytest.raises(InvalidUri):
        desk.cache.start(folder, pid=1)
    with pytest.raises(InvalidUri):
        await desk.cache.stop(folder, need_clean=True)
    with pytest.raises(InvalidUri):
        await desk.cache.clean_cache(folder)


async def test_only_folders_never_listed_are_listed(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.cache.resolve(b"folder/sub/deep")
    listed = [call.path for call in cloud.calls if call.method == "list_folder"]
    assert listed == [b"", b"folder", b"folder/sub"]
    cloud.calls.clear()
    with pytest.raises(NotFound):
        await desk.cache.resolve(b"folder/nothing")
    with pytest.raises(NotFound):
        await desk.cache.resolve(b"folder/file/below")
    assert cloud.calls == []


async def test_uris(desk: Desk) -> None:
    photo = await desk.cache.resolve(b"Photos/1.jpg")
    uri = desk.cache.media_uri(photo)
    assert uri is not None
    assert await desk.cache.resolve(desk.cache.parse(uri)) == photo
    assert desk.cache.uri_of(photo) == "file://com.example.files/data/storage/el2/cloud/Photos/1.jpg"
    assert desk.cache.media_uri(await desk.cache.resolve(b"folder/file")) is None
    with pytest.raises(NotFound):
        await desk.cache.resolve(MediaId(99))


# --- what the cloud does not have ---


@pytest.mark.parametrize("path", [b"new", b"folder/file"])
async def test_what_the_cloud_lacks_is_never_dropped(desk: Desk, path: bytes) -> None:
    inode = await desk.write(path, b"mine")
    with pytest.raises(TryAgain):
        await desk.cache.clean_cache(inode)
    await desk.cache.stop(inode, need_clean=True)
    assert await read(desk, inode) == b"mine"
    await sync(desk)
    await desk.cache.clean_cache(inode)
    assert desk.store.held_bytes(inode) == 0


async def test_what_is_open_for_writing_is_not_dropped(desk: Desk) -> None:
    inode = await desk.cache.resolve(b"folder/file")
    desk.cache.start(inode, pid=1)
    await until(desk, inode, at_least=4)
    content = await desk.store.open(inode, desk.tree.node(inode).version)
    desk.store.begin_writing(content)
    with pytest.raises(TryAgain):
        await desk.cache.clean_cache(inode)
    desk.store.end_writing(content)
    await desk.store.close(content)
    await desk.cache.clean_cache(inode)


async def test_a_half_written_placeholder_keeps_what_was_written(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"large", bytes([1]) * SIZE)
    inode = await desk.cache.resolve(b"large")
    cloud.chunk_latency_s = 0.02
    content = await desk.store.open(inode, desk.tree.node(inode).version)
    desk.store.begin_writing(content)
    await desk.editor.write(content, 100, b"mine")
    await desk.editor.flush(content)
    desk.store.end_writing(content)
    await desk.store.close(content)
    assert desk.states.location(desk.tree.node(inode)) is Location.PARTIAL
    await desk.cache.stop(inode, need_clean=True)
    cloud.chunk_latency_s = 0
    desk.cache.start(inode, pid=1)
    await until(desk, inode, at_least=SIZE)
    found = await read(desk, inode)
    assert found == bytes([1]) * 100 + b"mine" + bytes([1]) * (SIZE - 104)


async def test_a_start_of_what_was_never_uploaded_completes_at_once(desk: Desk) -> None:
    inode = await desk.write(b"new", b"mine")
    before = desk.events.last_seq
    reader = desk.events.subscribe()
    desk.cache.start(inode, pid=1)
    with trio.fail_after(PATIENCE_S):
        event = await anext(reader)
    assert isinstance(event, Event)
    assert (event.seq, event.inode) == (before + 1, inode)
    assert isinstance(event.progress, DownloadProgress)
    assert (event.progress.state, event.progress.processed) == (State.COMPLETED, 4)


async def read(desk: Desk, inode: int) -> bytes:
    content = await desk.store.open(inode, desk.tree.node(inode).version)
    try:
        return desk.store.read_at(content, 0, content.size)
    finally:
        await desk.store.close(content)


async def sync(desk: Desk) -> None:
    files = desk.syncs[Scope.FILES]
    await files.start()
    with trio.fail_after(PATIENCE_S):
        await files.wait_idle()
    assert files.progress.state is SyncState.COMPLETED
