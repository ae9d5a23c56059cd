"""Syncs over a memory cloud: real tree, real cache, real transfers, and a program that changes files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from cloudfs.clouds.base import Cloud
from cloudfs.database.identities import Identities
from cloudfs.database.settings import Settings
from cloudfs.model.enums import ErrorType, Scope, SyncState
from cloudfs.model.node import ROOT, Node
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
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads
from tests.servers.memory_cloud import MemoryCloud
from tests.transfers.conftest import World, running_world

DONE = SyncOutcome(SyncState.COMPLETED)
NOW = datetime(2026, 11, 25, 12, 30, 45)
CONFLICT = b" (conflict desk 2026-11-25 123045)"


def failed(error: ErrorType = ErrorType.NO_ERROR) -> SyncOutcome:
    """How a sync ends that could not send all."""
    return SyncOutcome(SyncState.UPLOAD_FAILED, error)


def pull_failed(error: ErrorType = ErrorType.NO_ERROR) -> SyncOutcome:
    return SyncOutcome(SyncState.DOWNLOAD_FAILED, error)


class Syncing:
    """A world with an engine on it, and a program's hands."""

    def __init__(
        self,
        world: World,
        *,
        delete_brake: int,
        timeout_s: float,
        read_only: bool,
        cloud: Cloud | None = None,
    ) -> None:
        self.world = world
        self.tree, self.store = world.tree, world.store
        self.cloud = world.cloud
        self.now_ms = 1_000_000
        self.said: list[SyncState] = []
        asked: Cloud = world.cloud if cloud is None else cloud
        settings = Settings(world.database)
        self.editor = Editor(world.tree, world.store, world.transfers)
        self.settling = Settling(world.tree, world.store, asked, timeout_s=timeout_s)
        self.uploads = Uploads(
            world.tree, world.store, asked, world.transfers, self.settling, timeout_s=timeout_s
        )
        operations = Operations(
            world.tree, world.listings, asked, self.uploads, self.settling, timeout_s=timeout_s
        )
        self.encounter = Encounter(
            world.tree,
            world.store,
            asked,
            self.settling,
            host="desk",
            timeout_s=timeout_s,
            now=lambda: NOW,
        )
        brake = DeleteBrake(settings, delete_brake)
        self.abilities = Abilities(asked, settings, "https://cloud.test/")
        parts = Parts(
            tree=world.tree,
            listings=world.listings,
            transfers=world.transfers,
            uploads=self.uploads,
            settling=self.settling,
            encounter=self.encounter,
            push=Push(world.tree, operations, now_ms=lambda: self.now_ms),
            abilities=self.abilities,
            brake=brake,
            parallel=4,
            read_only=read_only,
            now_ms=lambda: self.now_ms,
        )
        self.engine = Engine(
            parts,
            asked,
            Reappearance(world.tree, Identities(world.database)),
            Restoring(world.tree, world.store, self.editor, self.encounter, brake),
            gallery=[b"Photos"],
        )

    async def sync(self, scope: Scope = Scope.FILES) -> SyncOutcome:
        return await self.engine.sync_scope(scope, self.said.append)

    # --- what is there ---

    def names(self, path: bytes = b"") -> list[bytes]:
        return sorted(child.name for child in self.tree.children(self.inode(path), 0, 1000))

    def node(self, path: bytes) -> Node:
        node, rest = self.tree.find(path)
        assert not rest, f"{path!r} is not there"
        return node

    def inode(self, path: bytes) -> int:
        return self.node(path).inode

    async def content(self, path: bytes) -> bytes:
        """A file's bytes, as a reader gets them."""
        node = self.node(path)
        content = await self.store.open(node.inode, node.version)
        try:
            return await self.world.read(content, 0, content.size)
        finally:
            await self.store.close(content)

    def asked(self, method: str) -> list[bytes]:
        """The paths that a method was called with, in order."""
        return [call.path for call in self.cloud.calls if call.method == method]

    def settled(self) -> None:
        """Both sides have the same, and nothing is left to send."""
        assert self.tree.count_changes() == 0
        assert self.tree.intents() == []

    # --- a program ---

    async def save(self, path: bytes, content: bytes) -> int:
        """Write a whole file, a new one or over an old one, and close it."""
        parent, name = self._place(path)
        node = self.tree.child(parent, name)
        if node is None:
            node = await self.tree.create(parent, name, 0o644, 1000, 1000)
            open_file = self.store.create(node.inode)
        else:
            open_file = await self.store.open(node.inode, node.version)
        self.store.begin_writing(open_file)
        await self.editor.truncate(open_file, 0)
        await self.editor.write(open_file, 0, content)
        await self.editor.flush(open_file)
        self.store.end_writing(open_file)
        await self.store.close(open_file)
        return node.inode

    async def mkdir(self, path: bytes) -> int:
        node = await self.tree.make_folder(*self._place(path), 0o755, 1000, 1000)
        return node.inode

    async def unlink(self, path: bytes) -> None:
        await self.tree.unlink(*self._place(path))

    async def rmdir(self, path: bytes) -> None:
        await self.tree.remove_folder(*self._place(path))

    async def rename(self, source: bytes, target: bytes) -> None:
        await self.tree.rename(*self._place(source), *self._place(target))

    def _place(self, path: bytes) -> tuple[int, bytes]:
        folder, _, name = path.rpartition(b"/")
        return (self.inode(folder) if folder else ROOT), name


@asynccontextmanager
async def syncing(
    directory: Path,
    cloud: MemoryCloud | None = None,
    *,
    delete_brake: int = 100,
    timeout_s: float = 5,
    read_only: bool = False,
) -> AsyncIterator[Syncing]:
    """A mount of `cloud`, as often as one likes over the same directory."""
    async with running_world(
        directory, MemoryCloud() if cloud is None else cloud, timeout_s=timeout_s
    ) as world:
        yield Syncing(world, delete_brake=delete_brake, timeout_s=timeout_s, read_only=read_only)
