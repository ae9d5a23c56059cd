"""A store over a real directory and a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.cache.store import Store
from cloudfs.database.bridge import Database

KIB = 1024
MIB = 1024 * KIB

OpenStore = Callable[..., AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def running_store(
    directory: Path,
    *,
    size: int = 1024 * MIB,
    min_free: int = 0,
    pinned: frozenset[int] = frozenset(),
    boot: str = "boot-1",
    path_of: Callable[[int], bytes | None] = lambda inode: None,
    is_disk_full: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Store]:
    database = Database(directory / "cloudfs.db")
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        store = Store(
            directory,
            database,
            size=size,
            min_free=min_free,
            is_pinned=pinned.__contains__,
            path_of=path_of,
            is_disk_full=is_disk_full,
            boot=boot,
        )
        async with trio.open_nursery() as inner:
            await inner.start(store.run)
            yield store
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


@pytest.fixture
def open_store(tmp_path: Path) -> OpenStore:
    """Open the store of this test's directory, as often as it likes."""

    def opened(**options: object) -> AbstractAsyncContextManager[Store]:
        return running_store(tmp_path, **options)  # type: ignore[arg-type]

    return opened
