"""A tree, a store and a memory cloud with the transfers between them; only FUSE and the network lack."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import trio

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.database.bridge import Database
from cloudfs.events import EventLog, Topic
from cloudfs.model.enums import EventClass, State
from cloudfs.model.node import ROOT, Node
from cloudfs.model.progress import DownloadProgress, SyncProgress
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree
from tests.servers.memory_cloud import MemoryCloud

KIB = 1024
MIB = 1024 * KIB


def body(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


class RecordedEvents(EventLog):
    """Keeps what was published; nobody follows."""

    def __init__(self) -> None:
        self.said: list[tuple[EventClass, DownloadProgress, int | None]] = []

    def publish(
        self, source: EventClass, progress: SyncProgress | DownloadProgress, inode: int | None = None
    ) -> None:
        assert isinstance(progress, DownloadProgress)
        self.said.append((source, progress, inode))

    def of(self, inode: int) -> list[DownloadProgress]:
        return [progress for _, progress, about in self.said if about == inode]

    def ends(self, inode: int) -> list[State]:
        return [progress.state for progress in self.of(inode) if progress.state.is_end]


class World:
    """Everything of one mount below FUSE."""

    def __init__(
        self,
        cloud: MemoryCloud,
        database: Database,
        tree: Tree,
        news: Topic[TreeChange],
        store: Store,
        timeout_s: float,
    ) -> None:
        self.cloud = cloud
        self.database = database
        self.tree = tree
        self.store = store
        self.events = RecordedEvents()
        self.listings = Listings(tree, store, cloud, timeout_s=timeout_s)
        self.transfers = Transfers(
            tree,
            store,
            cloud,
            self.listings,
            self.events,
            news=news,
            uri_of=lambda inode: f"file://test/{inode}",
            timeout_s=timeout_s,
            max_waiters=300,
        )

    async def node(self, name: bytes) -> Node:
        await self.listings.ensure(ROOT)
        node = self.tree.child(ROOT, name)
        assert node is not None
        return node

    async def open(self, name: bytes) -> Content:
        node = await self.node(name)
        assert node.version is not None
        return await self.store.open(node.inode, node.version)

    async def read(self, content: Content, start: int, stop: int) -> bytes:
        stop = min(stop, content.size)
        await self.transfers.need(content, start, stop)
        return self.store.read_at(content, start, stop - start)

    async def leave(self, content: Content) -> None:
        """Close, and return once the transfers have let go of it too."""
        await self.store.close(content)
        with trio.fail_after(10):
            while content.users:
                await trio.sleep(0.005)

    async def end_of(self, inode: int) -> State:
        """The next end of a transfer that runs."""
        while not self.events.ends(inode):
            await trio.sleep(0.01)
        return self.events.ends(inode)[-1]

    def fetched(self) -> list[tuple[int, int]]:
        """The ranges asked for."""
        return [(call.start, call.stop) for call in self.cloud.calls if call.method == "read"]


@asynccontextmanager
async def running_world(
    directory: Path,
    cloud: MemoryCloud,
    *,
    size: int = 1024 * MIB,
    timeout_s: float = 30,
    gallery: tuple[bytes, ...] = (b"Photos",),
) -> AsyncIterator[World]:
    database = Database(directory / "cloudfs.db")
    async with trio.open_nursery() as outer:
        await outer.start(database.run)
        news = Topic[TreeChange]()
        tree = Tree(database, news, uid=1000, gid=1000, gallery=gallery)
        await tree.load()
        store = Store(directory, database, size=size, min_free=0, is_pinned=tree.is_pinned, boot="boot")
        async with trio.open_nursery() as middle:
            await middle.start(store.run)
            world = World(cloud, database, tree, news, store, timeout_s)
            async with trio.open_nursery() as nursery:
                await nursery.start(world.listings.run)
                await nursery.start(world.transfers.run)
                yield world
                nursery.cancel_scope.cancel()
            middle.cancel_scope.cancel()
        outer.cancel_scope.cancel()


OpenWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def cloud() -> MemoryCloud:
    return MemoryCloud()


@pytest.fixture
def open_world(tmp_path: Path, cloud: MemoryCloud) -> OpenWorld:
    """Mount this test's cloud, as often as it likes."""

    def opened(**options: object) -> AbstractAsyncContextManager[World]:
        return running_world(tmp_path, cloud, **options)  # type: ignore[arg-type]

    return opened
