"""A real mount over the in-memory cloud, served by the test's own loop.

The files are looked at from worker threads and programs, never from the trio thread, which has to answer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Quota
from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.config.settings import OnOpen
from cloudfs.database.bridge import Database
from cloudfs.database.journal import Journal
from cloudfs.events import EventLog, Topic
from cloudfs.fuse.callers import Caller, DenyList
from cloudfs.fuse.open_files import OpenPolicy
from cloudfs.fuse.session import Session, SessionOptions
from cloudfs.fuse.xattrs import Facts
from cloudfs.model.enums import Priority, Scope, SyncState
from cloudfs.model.node import Node
from cloudfs.model.progress import SyncProgress
from cloudfs.transfers.editing import Editor
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree
from tests.servers.memory_cloud import MemoryCloud

P = ParamSpec("P")
T = TypeVar("T")


@dataclass
class Mount:
    """What a test sees. path: the mountpoint. begun, changed: (inode, program) of each hydration
    and of each first change, in order."""

    path: Path
    cloud: MemoryCloud
    tree: Tree
    store: Store
    listings: Listings
    transfers: Transfers
    editor: Editor
    session: Session
    begun: list[tuple[int, Caller]] = field(default_factory=list)
    changed: list[tuple[int, Caller]] = field(default_factory=list)

    async def do(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call in a worker thread, which is left behind should the test end first."""
        return await trio.to_thread.run_sync(lambda: call(*args, **kwargs), abandon_on_cancel=True)

    async def read(self, name: str) -> bytes:
        return await self.do((self.path / name).read_bytes)

    async def stat(self, name: str) -> os.stat_result:
        return await self.do(os.stat, self.path / name)

    async def errno(self, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> int:
        """The errno that a call fails with; 0 where it does not."""
        try:
            await self.do(call, *args, **kwargs)
        except OSError as error:
            return error.errno or 0
        return 0

    async def ended(self) -> None:
        """Return once the session has seen that it was unmounted."""
        with trio.fail_after(5):
            while self.session.is_mounted:
                await trio.sleep(0.001)

    async def unused(self, path: bytes) -> None:
        """Return once nothing uses a file: the kernel releases it some time after close(2) returned."""
        with trio.fail_after(5):
            while self.store.is_in_use(self.node(path).inode):
                await trio.sleep(0.001)

    async def program(
        self, *command: str | Path, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program to its end."""
        return await trio.run_process(
            [str(part) for part in command], check=False, capture_stdout=True, capture_stderr=True, cwd=cwd
        )

    def node(self, path: bytes) -> Node:
        found, rest = self.tree.find(path)
        assert not rest, rest
        return found


@asynccontextmanager
async def mounted(
    folder: Path,
    cloud: MemoryCloud,
    *,
    on_open: OnOpen = OnOpen.FULL,
    deny: tuple[str, ...] = (),
    timeout_s: float = 5.0,
    quota: Quota | None = None,
    read_only: bool = False,
    allow_other: bool = False,
) -> AsyncIterator[Mount]:
    """Mount `cloud` below `folder`; unmounted and closed at the end, whatever happened."""
    mountpoint = folder / "mount"
    mountpoint.mkdir(exist_ok=True)
    begun: list[tuple[int, Caller]] = []
    changed: list[tuple[int, Caller]] = []
    changes: Topic[TreeChange] = Topic()
    cache = folder / "cache"
    cache.mkdir(exist_ok=True)
    database = Database(cache / "state.db")
    tree = Tree(database, changes, uid=os.getuid(), gid=os.getgid(), gallery=[b"Photos"])
    store = Store(cache, database, size=1 << 30, min_free=0, is_pinned=tree.is_pinned)
    # A little less than the requests bear with, so that the cause comes before their own deadline.
    listings = Listings(tree, store, cloud, timeout_s=timeout_s * 0.8)
    events = EventLog(Journal(database))
    transfers = Transfers(
        tree,
        store,
        cloud,
        listings,
        events,
        news=changes,
        uri_of=lambda inode: _uri(tree, inode),
        timeout_s=timeout_s,
    )

    editor = Editor(tree, store, transfers)
    settling = Settling(tree, store, cloud, timeout_s=timeout_s)
    uploads = Uploads(tree, store, cloud, transfers, settling, timeout_s=timeout_s)

    async def set_pin(inode: int, pinned: bool) -> None:
        await tree.set_pin(inode, pinned)
        if pinned:
            transfers.start(inode, Priority.PINNED)

    facts = Facts(
        states=FileSyncStates(tree, store, transfers, uploads, is_syncing=lambda scope: False),
        uri=lambda inode: _uri(tree, inode),
        media_uri=lambda inode: _media_uri(tree.node(inode)),
        sync=lambda scope: SyncProgress(SyncState.COMPLETED),
        last_sync_time_ms=lambda scope: 1_700_000_000_000 if scope is Scope.FILES else 0,
        pending=lambda: 0,
        set_pin=set_pin,
    )
    session = Session(
        options=SessionOptions(mountpoint, allow_other, timeout_s, read_only),
        tree=tree,
        changes=changes,
        store=store,
        listings=listings,
        transfers=transfers,
        editor=editor,
        policy=OpenPolicy(on_open, DenyList(deny), lambda inode, caller: begun.append((inode, caller))),
        changed=lambda inode, caller: changed.append((inode, caller)),
        facts=facts,
        quota=lambda: quota,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(database.run)
        await tree.load()
        async with trio.open_nursery() as services:
            for service in (events, store, listings, transfers):
                await services.start(service.run)
            async with trio.open_nursery() as kernel_side:
                await kernel_side.start(session.run)
                yield Mount(
                    mountpoint, cloud, tree, store, listings, transfers, editor, session, begun, changed
                )
                kernel_side.cancel_scope.cancel()
            services.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


def _uri(tree: Tree, inode: int) -> str:
    return f"file://com.example.files/{os.fsdecode(tree.path(inode))}"


def _media_uri(node: Node) -> str | None:
    return f"file://media/Photo/{node.media_id}" if node.media_id is not None else None
