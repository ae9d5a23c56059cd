"""One machine with the mount of a cloud: everything below the kernel, from its start to its end.

It can end as a daemon that is killed does: nothing more is written, and what was committed and what stands
in the cache's files is all that the next start finds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio

from cloudfs.cache.store import Store
from cloudfs.cloudsync.leftovers import Leftovers
from cloudfs.config.settings import OnOpen
from cloudfs.database.identities import Identities
from cloudfs.database.settings import Settings
from cloudfs.events import EventLog, Topic
from cloudfs.fuse.callers import DenyList
from cloudfs.fuse.handles import Handles
from cloudfs.fuse.names import Names
from cloudfs.fuse.open_files import OpenFiles, OpenPolicy
from cloudfs.fuse.waits import NetworkWaits
from cloudfs.fuse.writing import Writing
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import EventClass, Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.progress import DownloadProgress, SyncProgress
from cloudfs.sync.brake import DeleteBrake
from cloudfs.sync.encounter import Encounter
from cloudfs.sync.engine import Engine, SyncOutcome
from cloudfs.sync.operations import Operations
from cloudfs.sync.push import Push
from cloudfs.sync.reappearance import Reappearance
from cloudfs.sync.restoring import Restoring
from cloudfs.sync.sync_pass import Parts
from cloudfs.transfers.abilities import Abilities
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree
from tests.servers.memory_cloud import MemoryCloud
from tests.simulation.inline import Clock, InlineDatabase

TIMEOUT_S = 2.0
CTX: Any = SimpleNamespace(pid=0, uid=1000, gid=1000, umask=0o022)


class _NoEvents(EventLog):
    def __init__(self) -> None:
        pass

    def publish(
        self, source: EventClass, progress: SyncProgress | DownloadProgress, inode: int | None = None
    ) -> None:
        pass


class Machine:
    """A mount of `cloud` over a cache directory; image: the database that an earlier one left.

    delete_brake: more deletes than this in one sync are held. gallery: paths of the gallery folders, which
    have a sync of their own beside the other.
    """

    def __init__(
        self,
        cloud: MemoryCloud,
        directory: Path,
        clock: Clock,
        image: bytes | None,
        *,
        delete_brake: int,
        gallery: Sequence[RemotePath],
    ) -> None:
        self._delete_brake = delete_brake
        self._gallery = gallery
        self.cloud = cloud
        self.directory = directory
        self.clock = clock
        self.database = InlineDatabase(image)
        self.outcomes: list[SyncOutcome] = []
        self._ended = trio.Event()
        self._all = trio.CancelScope()
        self._sync: trio.CancelScope | None = None

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._all:
                async with trio.open_nursery() as outer:
                    await outer.start(self.database.run)
                    async with trio.open_nursery() as middle:
                        await self._build(middle)
                        async with trio.open_nursery() as self._nursery:
                            await self._nursery.start(self.listings.run)
                            await self._nursery.start(self.transfers.run)
                            task_status.started()
                            await trio.sleep_forever()
        finally:
            self._ended.set()

    async def _build(self, nursery: trio.Nursery) -> None:
        database, cloud, settings = self.database, self.cloud, Settings(self.database)
        news = Topic[TreeChange]()
        self.tree = Tree(
            database,
            news,
            uid=1000,
            gid=1000,
            gallery=self._gallery,
            now_ns=self.clock.now_ns,
            content_free=lambda inode: self._leftovers.drop(inode),
        )
        await self.tree.load()
        self.store = Store(
            self.directory,
            database,
            size=1 << 30,
            min_free=0,
            is_pinned=self.tree.is_pinned,
            path_of=self.tree.path,
            boot="boot",
        )
        await nursery.start(self.store.run)
        self._leftovers = Leftovers(self.store)
        await nursery.start(self._leftovers.run)
        self.listings = Listings(self.tree, self.store, cloud, timeout_s=TIMEOUT_S)
        self.transfers = Transfers(
            self.tree,
            self.store,
            cloud,
            self.listings,
            _NoEvents(),
            news=news,
            uri_of=lambda inode: f"file://test/{inode}",
            timeout_s=TIMEOUT_S,
        )
        self.editor = Editor(self.tree, self.store, self.transfers)
        self.engine = self._new_engine(settings)
        waits = NetworkWaits(TIMEOUT_S, 100)
        self.names = Names(self.tree, self.listings, waits)
        handles = Handles()
        self.files = OpenFiles(
            tree=self.tree,
            store=self.store,
            transfers=self.transfers,
            handles=handles,
            waits=waits,
            policy=OpenPolicy(OnOpen.FULL, DenyList(()), lambda *_: None),
            editor=self.editor,
        )
        self.writing = Writing(
            self.tree, self.store, self.editor, self.files, handles, changed=lambda *_: None
        )
        self.handles = handles

    def _new_engine(self, settings: Settings) -> Engine:
        tree, store, cloud = self.tree, self.store, self.cloud
        settling = Settling(tree, store, cloud, timeout_s=TIMEOUT_S)
        uploads = Uploads(tree, store, cloud, self.transfers, settling, timeout_s=TIMEOUT_S)
        operations = Operations(tree, self.listings, cloud, uploads, settling, timeout_s=TIMEOUT_S)
        encounter = Encounter(
            tree,
            store,
            cloud,
            settling,
            host="here",
            timeout_s=TIMEOUT_S,
            now=lambda: datetime.fromtimestamp(self.clock.now_ns() / 1e9, UTC),
        )
        brake = DeleteBrake(settings, self._delete_brake)
        parts = Parts(
            tree=tree,
            listings=self.listings,
            transfers=self.transfers,
            uploads=uploads,
            settling=settling,
            encounter=encounter,
            push=Push(tree, operations, now_ms=self.clock.now_ms),
            abilities=Abilities(cloud, settings, "memory"),
            brake=brake,
            parallel=4,
            read_only=False,
            now_ms=self.clock.now_ms,
        )
        restoring = Restoring(tree, store, self.editor, encounter, brake)
        return Engine(
            parts, cloud, Reappearance(tree, Identities(self.database)), restoring, gallery=self._gallery
        )

    # --- what the kernel does ---

    async def forget(self, inode: int) -> None:
        """The kernel gives up one hold of an inode."""
        self.tree.release(inode, 1)
        await self.retire(inode)

    async def retire(self, inode: int) -> None:
        """What has lost its name and is held by nobody goes."""
        try:
            is_unlinked = self.tree.node(inode).parent is None
        except NotFound:
            return
        if is_unlinked and not self.tree.is_held(inode) and not self.store.is_in_use(inode):
            await self.store.forget(inode)
            await self.tree.forget_unlinked(inode)

    # --- syncs ---

    def begin_sync(self) -> None:
        """Start a sync, unless one runs."""
        if self._sync is None:
            self._sync = trio.CancelScope()
            self._nursery.start_soon(self._run_sync, self._sync)

    def stop_sync(self) -> None:
        if self._sync is not None:
            self._sync.cancel()

    async def sync(self) -> list[SyncOutcome]:
        """A sync of each scope to its end, or the ends of those that run; none of what was stopped."""
        self.begin_sync()
        while self._sync is not None:
            await trio.sleep(0.05)
        return self.outcomes

    async def _run_sync(self, cancel_scope: trio.CancelScope) -> None:
        self.outcomes = []
        try:
            with cancel_scope:
                async with trio.open_nursery() as nursery:
                    for scope in self.scopes:
                        nursery.start_soon(self._sync_scope, scope)
        finally:
            self._sync = None

    async def _sync_scope(self, scope: Scope) -> None:
        await self.tree.clear_waits(scope)
        self.outcomes.append(await self.engine.sync_scope(scope, lambda _: None))

    @property
    def scopes(self) -> list[Scope]:
        """Those that there is something in."""
        return [Scope.FILES, Scope.GALLERY] if self._gallery else [Scope.FILES]

    # --- ends ---

    async def kill(self, directory: Path) -> bytes:
        """End as by SIGKILL, with the cache as it stands copied to `directory`; the database's image."""
        image = self.database.image()
        shutil.copytree(self.directory, directory)
        await self.end()
        return image

    async def end(self) -> None:
        self._all.cancel()
        await self._ended.wait()


def scratch(parent: Path) -> Path:
    """Where caches are made: in memory, where the machine has that."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else parent
