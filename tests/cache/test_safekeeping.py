"""What was closed survives power loss a little later, without anybody waiting for the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from cloudfs.cache import safekeeping
from cloudfs.cache.store import Store

from .conftest import OpenStore
from .test_recovery import entry, write
from .test_store import body, version


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safekeeping, "EVERY_S", 0.01)


def is_durable(store: Store, inode: int) -> bool:
    row = store._rows.load(inode)
    assert row is not None
    return row.durable


async def until_durable(store: Store, inode: int) -> None:
    with trio.fail_after(5):
        while not is_durable(store, inode):
            await trio.sleep(0.01)


async def test_what_was_fetched_and_closed_is_kept_over_another_boot(open_store: OpenStore) -> None:
    async with open_store() as store:
        content = await store.open(7, version(1000))
        await store.write_at(content, 0, body(1000))
        await store.close(content)
        await until_durable(store, 7)
    async with open_store(boot="boot-2") as store:
        assert store.held_bytes(7) == 1000


async def test_what_was_written_and_closed_is_no_conflict_after_another_boot(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100)
        await store.close(await write(store, 7, body(100)))
        await until_durable(store, 7)
    async with open_store(boot="boot-2") as store:
        assert store.unsafe == []
        assert store.is_dirty(7)


async def test_what_an_earlier_run_left_is_made_safe_too(open_store: OpenStore) -> None:
    async with open_store() as store:
        store._safekeeping.note = lambda inode: None  # type: ignore[method-assign]
        content = await store.open(7, version(1000))
        await store.write_at(content, 0, body(1000))
        await store.close(content)
        assert not is_durable(store, 7)
    async with open_store() as store:
        await until_durable(store, 7)


async def test_a_file_that_changed_after_its_row_is_not_called_safe(
    open_store: OpenStore, tmp_path: Path
) -> None:
    async with open_store() as store:
        entry(tmp_path, 7, 100)
        content = await write(store, 7, body(100))
        assert content.fd is not None
        await store.close(content)
        row = store._rows.load(7)
        assert row is not None
        path = store._files.path(row.file)
        os.utime(path, ns=(row.written_ns + 1, row.written_ns + 1))
        assert not store._safekeeping._sync_file(row)
        os.utime(path, ns=(row.written_ns, row.written_ns))
        assert store._safekeeping._sync_file(row)


async def test_a_row_that_changed_after_the_sync_is_left_alone(open_store: OpenStore) -> None:
    async with open_store() as store:
        store._safekeeping.note = lambda inode: None  # type: ignore[method-assign]
        content = await store.open(7, version(1000))
        await store.write_at(content, 0, body(500))
        await store.close(content)
        before = store._rows.load(7)
        assert before is not None
        content = await store.open(7, version(1000))
        await store.write_at(content, 500, body(500))
        await store.close(content)
        await store._rows.mark_durable([before])
        assert not is_durable(store, 7)
