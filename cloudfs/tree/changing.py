"""The view while it changes: how what a commit did comes to be shown, and how rows come to go.

Invariant: a file's version changes under an inode, or its row goes, only in a step in which `in_use`
said no. Between the commit and that step readers see what was before.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import trio

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import RemoteEntry
from cloudfs.model.enums import Kind
from cloudfs.model.errors import NotFound
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree import transactions
from cloudfs.tree.changes import AttributesChanged, ContentChanged, EntryChanged, TreeChange
from cloudfs.tree.cloud_view import CloudView
from cloudfs.tree.locks import FolderLocks
from cloudfs.tree.observation import new_time
from cloudfs.tree.sends import Sends

T = TypeVar("T")
InUse = Callable[[int], bool]  # whether an inode has a handle, a mapping or a waiter
Seen = tuple[Node, RemoteEntry]  # a known entry, and what the cloud has in its place


@dataclass(frozen=True, slots=True)
class Users:
    """in_use: as `InUse`. is_written: whether an inode is open for writing."""

    in_use: InUse
    is_written: InUse


_AT_HAND = 10_000  # new nodes that are taken into memory before other tasks get a turn: some 10 ms
_STEP = 1000  # nodes that are brought up to date in memory before other tasks get a turn


class ChangingView(CloudView):
    """What `Tree` builds its changes from."""

    def __init__(
        self, database: Database, topic: Topic[TreeChange], *, gallery: Sequence[bytes], capacity: int
    ) -> None:
        super().__init__(database, gallery=gallery, capacity=capacity)
        self._database = database
        self._topic = topic
        self._locks = FolderLocks()
        self._sends = Sends()

    # --- what is being sent ---

    @contextmanager
    def sending(self, inode: int) -> Iterator[None]:
        """While this lasts the inode is being sent: no listing that was under way meanwhile is believed
        about it, nor about the names that it holds, and its row stays even if it is unlinked."""
        with self._sends.sending(inode, partial(self._places_of, inode)):
            yield

    def is_sending(self, inode: int) -> bool:
        """Whether the inode is being sent."""
        return inode in self._sends

    def stamp(self) -> int:
        """This moment, for the `observe` of a listing that is asked for from now on."""
        return self._sends.stamp

    def _places_of(self, inode: int) -> list[Place]:
        """Where an entry is here, and in the cloud."""
        try:
            node = self.node(inode)
        except NotFound:
            return []
        places = [] if node.cloud_place is None else [node.cloud_place]
        if node.parent is not None:
            places.append(Place(node.parent, node.name))
        return places

    # --- locks ---

    @asynccontextmanager
    async def _changing(self, inodes: Sequence[int], *folders: int) -> AsyncIterator[None]:
        """Hold the locks of the folders that entries lie in, wherever they go while this waits, and of
        `folders`; the body is shielded from cancellation. NotFound where one is gone or unlinked."""
        while True:
            places = [self._place(inode) for inode in inodes]
            async with self._locks.hold(*places, *folders):
                if places == [self._place(inode) for inode in inodes]:
                    with trio.CancelScope(shield=True):
                        yield
                    return

    def _place(self, inode: int) -> int:
        parent = self.node(inode).parent
        if parent is None:
            raise NotFound("it lies in no folder")
        return parent

    async def _show_versions(
        self,
        stale: Sequence[Seen],
        users: Users,
        apply: Callable[[sqlite3.Connection, frozenset[int]], tuple[T, dict[int, int]]],
        now_ns: int,
        target: Place | None = None,
    ) -> tuple[T, list[int], dict[int, int]]:
        """Commit new versions by `apply` and show them: what it returned, what changed in place, and
        what was replaced. target: where they show from now on, if not where they lie.

        Who opens a file while its row changes still gets the version before, and is found to use it
        when the new one is about to be shown: then the file is given up to this user after all, or keeps
        its version if it was opened for writing.
        """
        self._settling.update((node.inode, node) for node, _ in stale)
        try:
            used = frozenset(node.inode for node, _ in stale if users.in_use(node.inode))
            result, replaced = await self._database.commit(lambda connection: apply(connection, used))
            changed, late = await self._settle(stale, replaced, users.in_use, target)
            if late:
                more = await self._give_up(late, users, now_ns)
                await self._settle([seen for seen in late if seen[0].inode in more], more, nobody, target)
                replaced = replaced | more
        finally:
            for node, _ in stale:
                self._settling.pop(node.inode, None)
        return result, changed, replaced

    async def _give_up(self, late: Sequence[Seen], users: Users, now_ns: int) -> dict[int, int]:
        """Files that were opened while their rows changed: to readers under new inodes, to writers as they
        were. Returns what was replaced."""
        written = [node for node, _ in late if users.is_written(node.inode)]
        kept = {node.inode for node in written}
        read = [seen for seen in late if seen[0].inode not in kept]
        in_use = frozenset(node.inode for node, _ in read)

        def work(connection: sqlite3.Connection) -> dict[int, int]:
            transactions.keep_versions(connection, written)
            return transactions.write_stale(connection, read, in_use, now_ns)

        replaced = await self._database.commit(work)
        for inode in kept:
            del self._settling[inode]
        self._forget(kept)
        return replaced

    async def _settle(
        self, stale: Sequence[Seen], replaced: dict[int, int], in_use: InUse, target: Place | None
    ) -> tuple[list[int], list[Seen]]:
        """Show what was committed; returns what changed in place, and what came into use meanwhile."""
        changed: list[int] = []
        late: list[Seen] = []
        async for node, entry in in_steps(stale):
            if node.inode not in replaced and in_use(node.inode):
                late.append((node, entry))
                continue
            del self._settling[node.inode]
            self._forget([node.inode])
            if node.inode in replaced:
                folder, name = target or (node.parent or ROOT, node.name)
                self._index.delist(folder, node.inode)
                self._index.enlist(folder, replaced[node.inode])
                self._topic.publish(EntryChanged(folder, name, replaced=node.inode))
            else:
                changed.append(node.inode)
                self._topic.publish(ContentChanged(node.inode))
        return changed, late

    async def _show_touched(self, touched: Sequence[Seen]) -> None:
        async for node, entry in in_steps(touched):
            self._forget([node.inode])
            if new_time(node, entry) is not None:
                self._topic.publish(AttributesChanged(node.inode))

    async def _show_added(self, folder: int, added: Sequence[Node], *, were_denied: bool) -> None:
        """were_denied: whether the kernel may have been told that there are no such names."""
        # Who asked for the listing reads these next. At once, as nobody can have changed them yet; and
        # only where there is room, so that the walk of a large cloud pushes out nothing that is in use.
        for node in added[: min(self._index.room, _AT_HAND)]:
            self._index.put(node)
        async for node in in_steps(added):
            self._index.enlist(folder, node.inode)
            if were_denied:
                self._topic.publish(EntryChanged(folder, node.name))

    async def _show_unlinked(self, nodes: Sequence[Node]) -> None:
        """Entries lost their names, in whatever folders they were."""
        lost = Counter(node.parent for node in nodes)
        for folder, count in lost.items():
            if (
                folder is not None and count > _STEP
            ):  # each one taken out of a long listing moves all behind it
                self._index.drop_listing(folder)
        async for node in in_steps(nodes):
            self._forget([node.inode])
            if node.parent is not None:
                self._index.delist(node.parent, node.inode)
                self._topic.publish(EntryChanged(node.parent, node.name, node.inode))

    def _show_move(self, moved: Node, inode: int, parent: int, name: bytes) -> None:
        """An entry left its place, and `inode` (itself, mostly) shows at another one."""
        self._forget([moved.inode, inode])
        if moved.parent is not None:
            self._index.delist(moved.parent, moved.inode)
            self._topic.publish(EntryChanged(moved.parent, moved.name))
        self._index.enlist(parent, inode)
        self._topic.publish(EntryChanged(parent, name))

    async def _delete(self, entries: Sequence[tuple[int, Kind]]) -> list[int]:
        """Delete rows that nobody uses, given with parents before children; returns the files."""
        inodes = [inode for inode, _ in entries]
        try:
            for inode in inodes:
                self._doom(inode)
            await self._database.commit(partial(transactions.delete, inodes=inodes))
        finally:
            self._going.difference_update(inodes)
        return [inode for inode, kind in entries if kind is Kind.FILE]

    def _doom(self, inode: int) -> None:
        """From this step on nobody can come to use the inode; its row is about to go."""
        self._going.add(inode)
        self._forget([inode])
        self._index.drop_listing(inode)


def nobody(_: int) -> bool:
    """Nobody has it open."""
    return False


async def in_steps(items: Sequence[T]) -> AsyncIterator[T]:
    """The items, with a turn for other tasks after every so many."""
    for at, item in enumerate(items, start=1):
        yield item
        if at % _STEP == 0:
            await trio.lowlevel.checkpoint()
