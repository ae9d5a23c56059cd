"""Sends what is pending before a mount ends: `umount --wait`, and a daemon that was asked to end.

It asks for ordinary syncs, one after the other, also of scopes that `stop` or `auto = false` keep still; who
breaks off (a cancel) leaves these scopes as they were.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

import trio

from cloudfs.cache.store import Store
from cloudfs.cloudsync.file_sync import FileSync
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import ErrorType, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.model.node import Node, Place
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.tree import Tree

TELL_EVERY_S = 0.5
_SHARE_OF_TELLING = 0.1  # of the time, where so much is pending that counting it takes long


@dataclass(frozen=True, slots=True)
class Remaining:
    """How much is still to go: entries, and bytes of content."""

    entries: int
    size: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """A change that can't go now. path: where the entry lies, or where the cloud has it if it was removed."""

    path: RemotePath
    reason: str


Tell = Callable[[Remaining], Awaitable[None]]


async def tell_nobody(remaining: Remaining) -> None:
    """Nobody wants to know how far it is."""


class Drain:
    """Runs syncs until nothing is pending, or what is left can't go now."""

    def __init__(
        self,
        tree: Tree,
        store: Store,
        uploads: Uploads,
        syncs: Mapping[Scope, FileSync],
        *,
        is_held: Callable[[int], bool],
    ) -> None:
        """is_held: whether the delete brake holds the removal of an inode, which then is not pending."""
        self._tree = tree
        self._store = store
        self._uploads = uploads
        self._syncs = syncs
        self._is_held = is_held

    async def run(self, scopes: Collection[Scope], tell: Tell = tell_nobody) -> list[Stuck]:
        """Send what is pending in these scopes, and what comes to be meanwhile; returns what can't go now.

        tell: told how far it is, about every TELL_EVERY_S; what it raises ends this. Raises LocalIOError.
        Cancelled, it ends the sync that it began, unless that goes on automatically.
        """
        before: set[_Change] = set()
        causes: dict[Scope, str] = {}
        while left := self._left(scopes):
            changes = {_change(node) for node, _ in left}
            if causes or changes == before:
                return [self._stuck(node, causes.get(scope)) for node, scope in left]
            before = changes
            for scope in scopes:
                if any(scope is changed for _, changed in left):
                    cause = await self._sync(self._syncs[scope], scopes, tell)
                    causes |= {} if cause is None else {scope: cause}
        return []

    async def _sync(self, sync: FileSync, scopes: Collection[Scope], tell: Tell) -> str | None:
        """One sync to its end; the cause where another one would only meet the same."""
        is_mine = not sync.is_running
        try:
            await sync.begin()
        except CloudfsError as refusal:
            return refusal.reason
        try:
            while sync.is_running:
                began = time.perf_counter()
                await tell(self._remaining(scopes))
                took_s = time.perf_counter() - began
                with trio.move_on_after(max(TELL_EVERY_S, took_s / _SHARE_OF_TELLING)):
                    await sync.wait_idle()
        except BaseException:
            if is_mine:
                sync.end()
            raise
        state, error = sync.progress.state, sync.progress.error
        if state is SyncState.STOPPED:
            return "the sync was stopped"
        return None if error is ErrorType.NO_ERROR else f"the sync ended {state.name}, {error.name}"

    def _left(self, scopes: Collection[Scope]) -> list[tuple[Node, Scope]]:
        return [
            (node, scope)
            for scope in scopes
            for node in self._tree.changes(scope)
            if not self._is_held(node.inode)
        ]

    def _remaining(self, scopes: Collection[Scope]) -> Remaining:
        left = [node for node, _ in self._left(scopes)]
        return Remaining(len(left), sum(self._unsent_bytes(node) for node in left))

    def _unsent_bytes(self, node: Node) -> int:
        if node.parent is None or not node.is_modified:
            return 0
        processed, size = self._uploads.progress(node.inode) or (0, node.size)
        return size - processed

    def _stuck(self, node: Node, cause: str | None) -> Stuck:
        if self._store.is_unflushed(node.inode):
            cause = "a program is writing it"
        elif node.tries and node.error_reason:
            cause = node.error_reason
        return Stuck(self._path(node), cause or "it was not sent")

    def _path(self, node: Node) -> RemotePath:
        try:
            if node.parent is not None:
                return self._tree.path(node.inode)
            return self._tree.remote_path(node.inode)
        except NotFound:
            return node.name


# What tells one change from a later one of the same entry.
_Change = tuple[int, int | None, bytes, int, Place | None]


def _change(node: Node) -> _Change:
    return node.inode, node.parent, node.name, node.generation, node.home
