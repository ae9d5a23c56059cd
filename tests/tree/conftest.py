from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree

T0 = 1_700_000_000_000_000_000  # epoch nanoseconds, the clock's start in these tests


class World:
    """A tree over a database, what it published, and a set of inodes in use."""

    def __init__(self, database: Database, topic: Topic[TreeChange], tree: Tree) -> None:
        self.database = database
        self.topic = topic
        self.tree = tree
        self.used: set[int] = set()

    def in_use(self, inode: int) -> bool:
        return inode in self.used


Opening = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """Opens the same database again each time, as a remount does."""
    clock = iter(range(T0, T0 + 10**12, 1_000_000))

    @asynccontextmanager
    async def opening(
        gallery: tuple[bytes, ...] = (b"Photos",), capacity: int = 1000
    ) -> AsyncIterator[World]:
        async with trio.open_nursery() as nursery:
            database = Database(tmp_path / "tree.db")
            await nursery.start(lambda task_status: database.run(task_status=task_status))
            topic = Topic[TreeChange]()
            tree = Tree(
                database,
                topic,
                uid=1000,
                gid=100,
                gallery=gallery,
                capacity=capacity,
                now_ns=lambda: next(clock),
            )
            await tree.load()
            yield World(database, topic, tree)
            nursery.cancel_scope.cancel()

    return opening


def file(
    name: bytes, etag: str | None = '"1"', size: int = 10, mtime_s: int | None = 5, file_id: str | None = None
) -> RemoteEntry:
    mtime_ns = None if mtime_s is None else mtime_s * 10**9
    return RemoteEntry(name, Kind.FILE, Version(etag, mtime_ns, size), file_id)


def folder(name: bytes, etag: str | None = None, mtime_s: int | None = None) -> RemoteEntry:
    mtime_ns = None if mtime_s is None else mtime_s * 10**9
    return RemoteEntry(name, Kind.FOLDER, Version(etag, mtime_ns, 0))


def listing(*entries: RemoteEntry, of: RemoteEntry | None = None) -> FolderListing:
    return FolderListing(of or folder(b""), entries)
