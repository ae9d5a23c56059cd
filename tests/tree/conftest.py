from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, Version
from cloudfs.model.enums import Kind, Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Place
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.observation import Observation
from cloudfs.tree.tree import Tree

T0 = 1_700_000_000_000_000_000  # epoch nanoseconds, the clock's start in these tests


def also_nothing(_: sqlite3.Connection) -> None:
    """Nothing else goes with the commit."""


class World:
    """A tree over a database, what it published, and a set of inodes in use."""

    def __init__(self, database: Database, topic: Topic[TreeChange], tree: Tree) -> None:
        self.database = database
        self.topic = topic
        self.tree = tree
        self.used: set[int] = set()
        self.written: set[int] = set()
        self.changed: list[Scope] = []
        self.freed: list[int] = []

    def is_written(self, inode: int) -> bool:
        return inode in self.written

    async def file(self, parent: int, name: bytes) -> int:
        """A file made here, which the cloud lacks."""
        return (await self.tree.create(parent, name, 0o640, 7, 8)).inode

    async def folder(self, parent: int, name: bytes) -> int:
        """A folder made here, which the cloud lacks."""
        return (await self.tree.make_folder(parent, name, 0o750, 7, 8)).inode

    async def sent_file(self, parent: int, name: bytes, etag: str = '"1"') -> int:
        """A file made here, which the cloud has."""
        inode = await self.file(parent, name)
        await self.upload(inode, etag)
        return inode

    async def sent_folder(self, parent: int, name: bytes) -> int:
        """A folder made here, which the cloud has."""
        inode = await self.folder(parent, name)
        await self.tree.record_made(inode, Place(parent, name))
        return inode

    async def upload(self, inode: int, etag: str) -> None:
        """The cloud takes the content there is, where it has the file, or where the file lies."""
        node = self.tree.node(inode)
        assert node.parent is not None
        place = node.cloud_place or Place(node.parent, node.name)
        version = Version(etag, 5 * 10**9, node.size)
        await self.tree.record_uploaded(inode, node.generation, version, place, also_nothing)

    async def modify(self, inode: int) -> None:
        """The content changes here."""
        await self.tree.mark_modified(inode, also_nothing)

    async def observe(self, folder: int, *entries: RemoteEntry, stamp: int | None = None) -> Observation:
        return await self.tree.observe(folder, listing(*entries), self.in_use, self.is_written, stamp=stamp)

    def changes(self, scope: Scope = Scope.FILES) -> set[int]:
        """Inodes of what a scope has to send."""
        return {node.inode for node in self.tree.changes(scope)}

    def names(self, folder: int) -> dict[bytes, int]:
        return {node.name: node.inode for node in self.tree.children(folder, 0, 1_000_000)}

    def is_gone(self, inode: int) -> bool:
        try:
            self.tree.node(inode)
        except NotFound:
            return True
        return False

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
            changed: list[Scope] = []
            freed: list[int] = []
            tree = Tree(
                database,
                topic,
                uid=1000,
                gid=100,
                gallery=gallery,
                capacity=capacity,
                now_ns=lambda: next(clock),
                changed_here=changed.append,
                content_free=freed.append,
            )
            await tree.load()
            world = World(database, topic, tree)
            world.changed, world.freed = changed, freed
            yield world
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
