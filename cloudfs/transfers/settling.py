"""What was asked of the cloud and not answered: asked for, instead of being taken for lost or for done.

DESIGN 8.14. An answer is lost when the network fails after the request went out, or when the daemon ends
before it comes. Then the cloud may hold what was sent, and only its own word tells.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.database.intents import Intent
from cloudfs.model.entry import RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    CloudfsError,
    ContentNotFound,
    NetworkUnavailable,
    NotFound,
    TryAgain,
    Unauthorized,
    VersionChanged,
)
from cloudfs.model.marked_names import is_parked_name
from cloudfs.model.node import Node
from cloudfs.transfers.digest import cloud_digest
from cloudfs.transfers.nameless import let_go
from cloudfs.transfers.retry import patience_s, retried
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

PUT: Final = "put"  # the operations of intents
MOVE: Final = "move"


class Settling:
    """Keeps the intents, and settles those whose answer did not come.

    Invariant: an inode has one intent at most, in the database and in `_open` alike; one that `begin` made
    ends by `uploaded`, `moved`, `refused` or `settle`.
    """

    def __init__(self, tree: Tree, store: Store, cloud: Cloud, *, timeout_s: float) -> None:
        self._tree = tree
        self._store = store
        self._cloud = cloud
        self._patience_s = patience_s(timeout_s)
        self._open: dict[int, Intent] | None = None
        self._asking: set[int] = set()

    # --- what is asked ---

    @asynccontextmanager
    async def asking(self, inode: int) -> AsyncIterator[None]:
        """The cloud is being asked to change an entry: no listing of this time says anything of it, and
        its row stays. What nobody needs any more goes at the end.

        TryAgain where it is asked already.
        """
        if inode in self._asking:
            raise TryAgain("it is being sent already")
        self._asking.add(inode)
        try:
            with self._tree.sending(inode):
                yield
        finally:
            self._asking.discard(inode)
            with trio.CancelScope(shield=True):
                await let_go(self._tree, self._store, inode)

    def is_asked(self, inode: int) -> bool:
        """Whether the cloud is being asked to change it at this moment."""
        return inode in self._asking

    async def begin(self, intent: Intent) -> None:
        """Make it durable that something is about to be asked of the cloud."""
        await self._tree.begin_intent(intent)
        self._intents[intent.inode] = intent

    async def refused(self, inode: int) -> None:
        """The cloud positively did not do it."""
        await self._tree.end_intent(inode)
        self._intents.pop(inode, None)

    async def uploaded(self, intent: Intent, version: Version, content: Content | None) -> None:
        """The cloud has what was sent, as this version. content: the cache's, where it still has one."""
        inode = intent.inode
        also = _nothing if content is None else self._store.uploaded_row(content, version, intent.generation)
        await self._tree.record_uploaded(inode, intent.generation, version, intent.place, also)
        self._intents.pop(inode, None)
        if content is not None:
            self._store.note_uploaded(content, version, is_clean=self._is_sent(inode))

    async def moved(self, intent: Intent) -> None:
        """The cloud has the entry in its new place, and no longer what it replaced there."""
        self._store.note_moved(await self._tree.record_moved(intent.inode, intent.place))
        self._intents.pop(intent.inode, None)

    async def is_reachable(self) -> bool:
        """Whether the cloud answers anything at this moment, and lets us in."""
        try:
            await self._cloud.stat(b"")
        except CloudfsError as error:
            return not isinstance(error, NetworkUnavailable | Unauthorized)
        return True

    # --- what became of it ---

    async def settle_all(self) -> dict[int, CloudfsError]:
        """Settle all that is open and that nobody waits for; returns what could not be, by inode.

        Raises NetworkUnavailable where one meets no network and nothing else is answered either: the rest
        is left alone then. Unauthorized.
        """
        failures: dict[int, CloudfsError] = {}
        for inode in list(self._intents):
            if inode in self._asking or inode not in self._intents:
                continue  # by now: the other scope's sync settles too
            try:
                async with self.asking(inode):
                    await retried(partial(self.settle, inode), self._patience_s)
            except CloudfsError as error:
                if isinstance(error, Unauthorized):
                    raise
                if isinstance(error, NetworkUnavailable) and not await self.is_reachable():
                    raise
                failures[inode] = error
        return failures

    async def settle(self, inode: int) -> bool:
        """Whether the cloud did what was last asked for an entry; it is recorded then, and else has ended.

        To be called while `asking`. Asks once. Raises what kept the cloud from answering; it stays open
        then.
        """
        intent = self._intents.get(inode)
        if intent is None:
            return False
        done = await self._look(intent)
        with trio.CancelScope(shield=True):
            if done is None:
                await self.refused(inode)
                return False
            log.info("inode %d: an answer was lost, and the cloud had done what was asked", inode)
            if intent.operation == MOVE:
                await self.moved(intent)
            else:
                await self._record_upload(intent, done.version)
        return True

    # --- inside ---

    @property
    def _intents(self) -> dict[int, Intent]:
        if self._open is None:
            self._open = {intent.inode: intent for intent in self._tree.intents()}
        return self._open

    async def _look(self, intent: Intent) -> RemoteEntry | None:
        """What was asked for, if the cloud has it."""
        try:
            node = self._tree.node(intent.inode)
            target = self._tree.place_path(intent.place)
            entry = await self._cloud.stat(target)
        except NotFound:
            return None
        if intent.operation == MOVE:
            return entry if await self._has_moved(intent, node, entry) else None
        return entry if await self._is_ours(intent, target, entry) else None

    async def _has_moved(self, intent: Intent, node: Node, entry: RemoteEntry) -> bool:
        """Whether what is in the new place is the entry: its old place may have another one by now."""
        if is_parked_name(intent.place.name, intent.inode):
            return True  # nobody else uses that name
        if entry.file_id is not None and node.file_id is not None:
            return entry.file_id == node.file_id
        version = Version(None, None, 0) if node.version is None else node.version
        if entry.kind is not node.kind or entry.size != version.size:
            return False
        try:
            source = await self._cloud.stat(self._tree.remote_path(node.inode))
        except NotFound:
            return True
        is_replaced = source.kind is not node.kind or not source.version.is_same_as(version)
        return not node.is_folder and is_replaced and _is_of_one_time(entry.version, version)

    async def _is_ours(self, intent: Intent, path: RemotePath, entry: RemoteEntry) -> bool:
        if entry.kind is not Kind.FILE or entry.size != intent.size:
            return False
        base = intent.base
        if base is not None and base.etag is not None and base.opaque_tag == entry.version.opaque_tag:
            return False
        try:
            return await cloud_digest(self._cloud, path, entry) == intent.sha256
        except VersionChanged:
            return False  # another one was there in the meantime: what was sent is gone again
        except ContentNotFound:
            if await self._is_still(path, entry):
                raise  # by its name it is there, and may well be ours: that is told another time
            return False

    async def _is_still(self, path: RemotePath, entry: RemoteEntry) -> bool:
        try:
            now = await self._cloud.stat(path)
        except NotFound:
            return False
        return now.kind is entry.kind and now.version.is_same_as(entry.version)

    async def _record_upload(self, intent: Intent, version: Version) -> None:
        node = self._tree.node(intent.inode)
        if node.parent is None:
            await self.uploaded(intent, version, None)
            return
        content = await self._store.open(node.inode, node.content_version)
        try:
            await self.uploaded(intent, version, content)
        finally:
            await self._store.close(content)

    def _is_sent(self, inode: int) -> bool:
        try:
            return not self._tree.node(inode).is_modified
        except NotFound:
            return False


def _is_of_one_time(one: Version, other: Version) -> bool:
    """Whether both name the same second, as a move leaves it."""
    if one.mtime_ns is None or other.mtime_ns is None:
        return False
    return one.mtime_ns // 1_000_000_000 == other.mtime_ns // 1_000_000_000


def _nothing(_: sqlite3.Connection) -> None:
    """No work of another table: the cache has nothing of the file."""
