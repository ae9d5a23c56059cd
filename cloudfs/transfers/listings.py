"""The one way by which the tree hears of the cloud: for lookups, the walk, syncs and version changes alike.

Invariants: a folder is listed once at a time, whoever asks; a listing survives its callers; what did not
come whole was not observed; nothing is removed here but by `remove`, which a sync's plan calls.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import Listing
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.model.node import ROOT, Node
from cloudfs.transfers.joining import Joining
from cloudfs.transfers.retry import retried
from cloudfs.tree.observation import Observation
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

_SHARE_OF_PATIENCE = 0.8  # the cause comes before the deadline of who waits strikes


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
        self._patience_s = timeout_s * _SHARE_OF_PATIENCE
        self._root_answered = root_answered
        self._lists: Joining[Observation] = Joining(self._list)
        self._stats: Joining[Node] = Joining(self._refresh)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the requests until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._lists.run)
            await nursery.start(self._stats.run)
            task_status.started()

    async def list_folder(self, inode: int) -> Observation:
        """List a folder now, or join the listing under way.

        Raises NotFound, NotAFolder, or what kept the cloud from answering, after retries; the tree is as
        before then. NotFound removes nothing: the parent is listed, once, to hear what became of the name.
        """
        return await self._lists.join(inode)

    async def ensure(self, inode: int) -> None:
        """Return once the folder has been listed whole at some time; at once where it was."""
        if self._tree.node(inode).listing is not Listing.WHOLE:
            await self._lists.join(inode)

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
        """List the folder that an entry is in, without waiting: the cloud said that the entry is gone."""
        try:
            parent = self._tree.node(inode).parent
        except NotFound:
            return
        if parent is not None:
            self._lists.begin(parent)

    async def adopt(self, inode: int) -> Node:
        """`refresh` for a file of which nobody has seen a byte: it keeps its inode, whatever its version."""
        entry = await retried(lambda: self._cloud.stat(self._tree.path(inode)), self._patience_s)
        return await self._tree.observe_one(inode, entry, lambda _: False)

    async def adopt_move(self, old: int, new: int) -> None:
        """`old` lives on in the place of `new`, which is the same entry seen under its new name.

        Where that can't be, both stay (see Tree.adopt_move). NotFound where one of the two is gone.
        """
        if await self._tree.adopt_move(old, new, self._store.is_in_use) is not None:
            await self._discard([new])

    async def remove(self, inodes: Sequence[int]) -> None:
        """Take names out of the tree, with all below; what programs have open goes with its last user."""
        await self._discard(await self._tree.remove(inodes, self._store.is_in_use))

    async def _list(self, inode: int) -> Observation:
        try:
            # The path is made anew for each try: the folder may have been moved meanwhile.
            listing = await retried(lambda: self._cloud.list_folder(self._tree.path(inode)), self._patience_s)
        except CloudfsError as failure:
            if inode == ROOT:
                self._root_answered(failure)
            elif isinstance(failure, NotFound):
                self.begin_parent(inode)
            raise
        if inode == ROOT:
            self._root_answered(None)
        observation = await self._tree.observe(inode, listing, self._store.is_in_use)
        await self._discard(observation.changed)
        return observation

    async def _refresh(self, inode: int) -> Node:
        before = self._tree.node(inode)
        entry = await retried(lambda: self._cloud.stat(self._tree.path(inode)), self._patience_s)
        node = await self._tree.observe_one(inode, entry, self._store.is_in_use)
        if node.inode == inode and before.version != node.version:
            await self._discard([inode])
        return node

    async def _discard(self, inodes: Sequence[int]) -> None:
        """Drop stale content that nobody uses. Where that fails, the next open drops it by its version."""
        for inode in inodes:
            if self._store.is_in_use(inode):
                continue
            try:
                await self._store.discard(inode)
            except CloudfsError as error:
                log.warning("stale content of inode %d stays for now: %s", inode, error.reason)
