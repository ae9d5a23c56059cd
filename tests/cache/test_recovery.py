"""What an end of any kind leaves in the cache, and what the next start makes of it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
import trio

from cloudfs.cache.content import Content
from cloudfs.cache.directory import recovered
from cloudfs.cache.store import Store
from cloudfs.model.entry import Version
from cloudfs.model.errors import LocalIOError

from .conftest import KIB, OpenStore
from .test_store import body, cache_files, fill, version

DATABASE = "cloudfs.db"


def path_of(inode: int) -> bytes:
    return b"folder/file %d" % inode


def entry(directory: Path, inode: int, size: int, *, base: int | None = None, parent: int | None = 1) -> None:
    """An entry as the tree would have it."""
    columns = "inode, parent, name, kind, size, version_size, generation"
    constant = "mtime_ns, ctime_ns, mode, uid, gid, listing, pinned"
    values = "?, ?, ?, ?, ?, ?, ?, 7, 7, 0, 0, 0, 0, 0"
    sql = f"INSERT OR IGNORE INTO entries ({columns}, {constant}) VALUES ({values})"
    with sqlite3.connect(directory / DATABASE) as connection:
        connection.execute(sql, (1, None, b"", 1, 0, None, 0))
        connection.execute(sql, (inode, parent, b"file %d" % inode, 0, size, base, 1))
    connection.close()


def of_entry(directory: Path, inode: int) -> tuple[int, int]:
    """Its size and mtime."""
    connection = sqlite3.connect(directory / DATABASE)
    ((size, mtime_ns),) = connection.execute("SELECT size, mtime_ns FROM entries WHERE inode = ?", (inode,))
    connection.close()
    return size, mtime_ns


async def write(store: Store, inode: int, data: bytes, *, durable: bool = False) -> Content:
    """A program writes a new file and closes it; the tree's part of the commit is not here."""
    content = store.create(inode)
    await store.edits.write(content, 0, data)
    row = store.edits.dirty_row(content, durable=durable)
    if durable:
        await store.edits.sync_file(content)
    await store._rows._database.commit(row, durable=durable)
    content.unflushed = False
    store.edits.recorded(content, durable=durable)
    return content


def end(store: Store) -> None:
    """The process ends here: nothing is committed any more."""
    store._maps._unsaved.clear()


async def swept(directory: Path, count: int) -> None:
    with trio.fail_after(5):
        while len(cache_files(directory)) != count:
            await trio.sleep(0.01)


async def test_the_size_is_that_of_the_cache_file(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100)
        content = await write(store, 7, body(100))
        assert store.edits.write_now(content, 150, b"unflushed")
        end(store)
    async with open_store() as store:
        again = await store.open(7, None)
        assert again.size == 159
        assert store.read_at(again, 0, 200) == body(100) + bytes(50) + b"unflushed"
        assert store.usage.used == 159
        await store.close(again)
    size, mtime_ns = of_entry(tmp_path, 7)
    assert size == 159
    assert mtime_ns == cache_files(tmp_path)[0].stat().st_mtime_ns


async def test_a_flushed_file_keeps_the_time_that_its_user_gave_it(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100)
        await write(store, 7, body(100))
        end(store)
    async with open_store() as store:
        assert store.unsafe == []
    assert of_entry(tmp_path, 7) == (100, 7)


async def test_a_cut_that_was_not_committed_leaves_no_old_bytes(
    open_store: OpenStore, tmp_path: Path
) -> None:
    """The row still has gaps where the file was cut, and there is no base for what came after."""
    async with open_store() as store:
        entry(tmp_path, 7, 100, base=100)
        content = await store.open(7, version(100))
        store.edits.prepare(content)
        await store._rows._database.commit(store.edits.dirty_row(content))
        content.marked()
        await store.edits.resize(content, 40)
        end(store)
    async with open_store() as store:
        again = await store.open(7, version(100))
        assert (again.size, again.missing(0, 100)) == (40, [(0, 40)])
        await store.close(again)


async def test_bytes_that_were_never_synced_are_told_after_power_loss(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store(boot="boot-1") as store:
        for inode, durable in ((7, True), (8, False)):
            entry(tmp_path, inode, 100)
            await write(store, inode, body(100), durable=durable)
        end(store)
    async with open_store(boot="boot-2") as store:
        assert store.unsafe == [8]
        for inode in (7, 8):
            content = await store.open(inode, None)
            assert store.read_at(content, 0, 100) == body(100)
            await store.close(content)


async def test_a_dirty_file_without_a_row_is_kept_for_its_user(
    open_store: OpenStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the database was damaged, and built anew."""
    async with open_store(path_of=path_of) as store:
        await write(store, 7, body(100))
        await fill(store, 8, body(50))
    (tmp_path / DATABASE).unlink()
    async with open_store() as store:
        folder = recovered(tmp_path)
        assert folder is not None, "it is there as soon as the store is usable: the mount tells of it"
        assert cache_files(tmp_path) == []
        assert store.usage.used == 0
    (found,) = folder.iterdir()
    assert found.name.startswith("file 7-")
    assert found.read_bytes() == body(100)
    assert "folder/file 7" in caplog.text


async def test_what_nobody_wrote_to_is_not_kept(open_store: OpenStore, tmp_path: Path) -> None:
    """A cache file that was prepared, and the end came before its commit."""
    async with open_store(path_of=path_of) as store:
        content = await store.open(7, version(100 * KIB))
        store.edits.prepare(content)
        empty = store.create(8)
        store.edits.prepare(empty)
        assert len(cache_files(tmp_path)) == 2
    async with open_store():
        await swept(tmp_path, 0)
    assert recovered(tmp_path) is None


async def test_clean_files_carry_no_path(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store(path_of=path_of) as store:
        content = await write(store, 7, body(100))
        assert content.fd is not None
        assert "user.cloudfs.path" in os.listxattr(content.fd)
        async with store.snapshot(content):
            pass
        store.note_uploaded(content, Version('"v1"', None, 100), True)
        assert os.listxattr(content.fd) == []
        await store.close(content)


async def test_without_attributes_all_goes_on(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    for name in ("setxattr", "removexattr", "getxattr"):
        monkeypatch.setattr(os, name, refuse)
    async with open_store(path_of=path_of) as store:
        content = await write(store, 7, body(100))
        assert store.read_at(content, 0, 100) == body(100)
        store.note_uploaded(content, Version('"v1"', None, 100), True)
        await store.close(content)


async def test_content_of_what_was_removed_goes_unasked(open_store: OpenStore, tmp_path: Path) -> None:
    """Of a file that was open without a name, and of one that is to be removed in the cloud."""
    async with open_store(path_of=path_of) as store:
        entry(tmp_path, 7, 100, base=100, parent=None)
        for inode in (7, 8):
            await write(store, inode, body(100))
        end(store)
    async with open_store() as store:
        assert store.usage.used == 0
        await swept(tmp_path, 0)
    assert recovered(tmp_path) is None


async def test_a_lost_cache_file_leaves_what_the_cloud_has(open_store: OpenStore, tmp_path: Path) -> None:
    async with open_store() as store:
        for inode, base in ((7, 60), (8, None)):
            entry(tmp_path, inode, 100, base=base)
            await write(store, inode, body(100))
        end(store)
    for path in cache_files(tmp_path):
        path.unlink()
    async with open_store() as store:
        assert not store.is_dirty(7)
        placeholder = await store.open(7, version(60))
        assert (placeholder.size, placeholder.held_bytes) == (60, 0)
        await store.close(placeholder)
    assert of_entry(tmp_path, 7)[0] == 60
    assert of_entry(tmp_path, 8)[0] == 0


async def test_a_cache_file_that_goes_while_it_runs_is_an_error(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100)
        await store.close(await write(store, 7, body(100)))
        (path,) = cache_files(tmp_path)
        path.rename(tmp_path / "aside")
        with pytest.raises(LocalIOError):
            await store.open(7, None)
        (tmp_path / "aside").rename(path)
        content = await store.open(7, None)
        assert store.read_at(content, 0, 100) == body(100)
        await store.close(content)


async def test_a_damaged_map_lets_nothing_over_what_was_written(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100, base=100)
        content = await store.open(7, version(100))
        store.edits.prepare(content)
        content.marked()
        assert store.edits.write_now(content, 10, b"written")
        await store._maps.save([content])
        end(store)
    with sqlite3.connect(tmp_path / DATABASE) as connection:
        connection.execute("UPDATE contents SET ranges = X'01'")
    connection.close()
    for _ in range(2):
        async with open_store() as store:
            again = await store.open(7, version(100))
            assert again.is_stale
            assert not again.holds(10, 17)
            await store.close(again)
    assert cache_files(tmp_path)[0].read_bytes()[10:17] == b"written"
