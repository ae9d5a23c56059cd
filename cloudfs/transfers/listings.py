"""The one way by which the tree hears of the cloud: for lookups, the walk, syncs and version changes alike.

Invariants: a folder is listed once at a time, whoever asks; a listing survives its callers; what did not
come whole was not observed; nothing is removed here but by `remove`, which a sync's plan calls.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.errors import CloudfsError, NotFound, TryAgain
from cloudfs.model.node import ROOT, Node
from cloudfs.transfers.joining import Joining
from cloudfs.transfers.nameless import let_go
from cloudfs.transfers.retry import patience_s, retried
from cloudfs.tree.observation import Observation
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

T = TypeVar("T")

_AT_ONCE = 256  # contents that are dropped in one commit


class Listings:
    """Asks the cloud, tells the tree, and drops the content that became stale by it.

    timeout_s: `[cloud] timeout`; an idempotent request is tried again for most of it before its failure
    counts. root_answered: told how the cloud answered to a listing of its root: None, or the failure.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        cloud: Cloud,
        *,
        timeout_s: float,
        root_answered: Callable[[CloudfsError | None], None] = lambda failure: None,
    ) -> None:
        self._cloud = cloud
        self._tree = tree
        self._store = store
        self._patience_s = patience_s(timeout_s)
        self._root_answered = root_answered
        self._lists: Joining[Observation] = Joining(self._list)
        self._stats: Joining[Node] = Joining(self._refresh)
        self._due: set[int] = set()
        self._moving: Counter[int] = Counter()
        self._moved = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the requests until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._lists.run)
            await nursery.start(self._stats.run)
            task_status.started()

    async def list_folder(self, inode: int) -> Observation:
        """List a folder by a request that is sent from now on: what the cloud has at this moment is in it.

        Raises NotFound, NotAFolder, or what kept the cloud from answering, after retries; the tree is as
        before then. NotFound removes nothing: the parent is listed, once, to hear what became of the name.
        """
        return await self._lists.renew(inode)

    async def ensure(self, inode: int) -> None:
        """Return once the folder has been listed whole at some time; at once where it was.

        One that was made here and that the cloud does not have is known whole as it is.
        """
        node = self._tree.node(inode)
        if node.listing is not Listing.WHOLE and not node.is_unsent:
            await self._lists.join(inode)

    def due(self) -> frozenset[int]:
        """Folders that are to be listed although no tag says so, as of this mount: what an earlier listing
        found in them is not dealt with or was passed over, or the listing failed, or one of the folder
        above said so."""
        return frozenset(self._due)

    async def exists(self, path: RemotePath) -> bool:
        """Whether the cloud has something there; the tree does not hear of it.

        Raises what kept the cloud from answering, after retries.
        """
        try:
            await retried(lambda: self._cloud.stat(path), self._patience_s)
        except NotFound:
            return False
        return True

    async def refresh(self, inode: int) -> Node:
        """Ask for one entry, as after a version change. A file in use goes on under a new inode.

        Raises NotFound (nothing is removed by it), or what kept the cloud from answering.
        """
        return await self._stats.join(inode)

    def begin_refresh(self, inode: int) -> None:
        """`refresh` without waiting for it; what fails is told by the next who asks."""
        self._stats.begin(inode)

    def begin_parent(self, inode: int) -> None:
        """List the folder that the cloud has an entry in, without waiting: it said that the entry is gone."""
        try:
            place = self._tree.node(inode).cloud_place
        except NotFound:
            return
        if place is not None:
            self._lists.begin(place.parent)

    @contextmanager
    def moving(self, inode: int) -> Iterator[None]:
        """The cloud is asked to move an entry: what is not found below it meanwhile is asked for again."""
        self._moving[inode] += 1
        try:
            yield
        finally:
            self._moving[inode] -= 1
            if not self._moving[inode]:
                del self._moving[inode]
            self._moved.set()
            self._moved = trio.Event()

    async def adopt(self, inode: int) -> Node:
        """`refresh` for a file of which nobody has seen a byte: it keeps its inode, whatever its version."""
        stamp, entry = await self._ask_for_one(inode)
        return await self._tree.observe_one(
            inode, entry, lambda _: False, self._store.is_written, stamp=stamp
        )

    async def adopt_move(self, old: int, new: int) -> bool:
        """`old` lives on in the place of `new`, which is the same entry seen under its new name.

        False where that can't be, and both stay (see Tree.adopt_move). NotFound where one of the two is gone.
        """
        stamp, seen = self._tree.stamp(), self._tree.node(new)
        if await self._tree.adopt_move(old, new, self._store.is_in_use) is None:
            return False
        await self._discard([new])
        if seen.kind is Kind.FILE and seen.version is not None and self._tree.node(old).is_moved:
            # It stays where it lies here, and its content may have changed before the cloud moved it.
            await self._take_in(old, RemoteEntry(seen.name, seen.kind, seen.version, seen.file_id), stamp)
        return True

    async def remove(self, inodes: Sequence[int]) -> None:
        """Take names out of the tree, with all below; what programs have open goes with its last user."""
        gone = await self._tree.remove(inodes, self._store.is_in_use, self._store.is_written)
        await self._discard(gone)
        await self._let_go(set(inodes).difference(gone))

    async def _list(self, inode: int) -> Observation:
        try:
            stamp, listing = await self._ask_for_children(inode)
        except CloudfsError as failure:
            self._due.add(inode)
            if inode == ROOT:
                self._root_answered(failure)
            elif isinstance(failure, NotFound):
                self.begin_parent(inode)
            raise
        if inode == ROOT:
            self._root_answered(None)
        try:
            observation = await self._tree.observe(
                inode, listing, self._store.is_in_use, self._store.is_written, stamp=stamp
            )
        except TryAgain:
            return await self._list(inode)  # too much was sent meanwhile: it says nothing certain any more
        self._note_due(inode, observation)
        await self._discard(observation.changed)
        await self._let_go(observation.replaced)
        return observation

    def _note_due(self, inode: int, observation: Observation) -> None:
        self._due.discard(inode)
        if observation.vanished or observation.contested or not observation.is_complete:
            self._due.add(inode)
        self._due.update(node.inode for node in observation.added if node.is_folder)
        self._due.update(observation.outdated)
        self._due.update(observation.met)

    async def _refresh(self, inode: int) -> Node:
        stamp, entry = await self._ask_for_one(inode)
        return await self._take_in(inode, entry, stamp)

    async def _take_in(self, inode: int, entry: RemoteEntry, stamp: int) -> Node:
        """What the cloud says of one file; what its name shows by then. NotFound as of Tree.observe_one."""
        before = self._tree.node(inode)
        node = await self._tree.observe_one(
            inode, entry, self._store.is_in_use, self._store.is_written, stamp=stamp
        )
        if node.inode == inode and before.version != node.version:
            await self._discard([inode])
        elif node.inode != inode:
            await self._let_go([inode])
        return node

    async def _ask_for_children(self, inode: int) -> tuple[int, FolderListing]:
        return await retried(lambda: self._at_its_path(inode, self._cloud.list_folder), self._patience_s)

    async def _ask_for_one(self, inode: int) -> tuple[int, RemoteEntry]:
        return await retried(lambda: self._at_its_path(inode, self._cloud.stat), self._patience_s)

    async def _at_its_path(self, inode: int, ask: Callable[[RemotePath], Awaitable[T]]) -> tuple[int, T]:
        """Ask under the path of this moment, and once more where another one took its place meanwhile.

        Returns the tree's stamp of a moment before that too. A NotFound that this raises is of a path that
        still stands.
        """
        stamp, path = self._tree.stamp(), self._tree.remote_path(inode)
        try:
            return stamp, await ask(path)
        except NotFound:
            await self.until_moved(inode)
            if self._tree.remote_path(inode) == path:
                raise
        stamp, path = self._tree.stamp(), self._tree.remote_path(inode)
        return stamp, await ask(path)

    async def until_moved(self, inode: int) -> None:
        """Wait for the end of the moves under way of this entry and the folders above it."""
        while self._moving and any(above in self._moving for above in self._lineage(inode)):
            await self._moved.wait()

    def _lineage(self, inode: int) -> Iterator[int]:
        """The entry and the folders above it, as the cloud has them."""
        place = self._tree.node(inode).cloud_place
        while place is not None:
            yield inode
            inode = place.parent
            place = self._tree.node(inode).cloud_place

    async def _discard(self, inodes: Sequence[int]) -> None:
        """Drop stale content that nobody uses, from this very step on: nobody may take it for the new one's.

        Where that fails, the next open drops it by its version.
        """
        for start in range(0, len(inodes), _AT_ONCE):
            stale = [each for each in inodes[start : start + _AT_ONCE] if self._is_needless(each)]
            try:
                await self._store.discard(*stale)
            except CloudfsError as error:
                log.warning("stale content of %d files stays for now: %s", len(stale), error.reason)

    async def _let_go(self, inodes: Iterable[int]) -> None:
        """Of what was left to its users, some had their last user go before it was."""
        for inode in inodes:
            try:
                await let_go(self._tree, self._store, inode)
            except CloudfsError as error:
                log.warning("inode %d, which has no name, stays for now: %s", inode, error.reason)

    def _is_needless(self, inode: int) -> bool:
        return not (self._store.is_in_use(inode) or self._store.is_dirty(inode))
