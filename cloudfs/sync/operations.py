"""What each operation of a push asks of the cloud, and how its answer is recorded.

Each rechecks, in the step in which it takes effect, that the entry still is what the plan saw; where it is
not, nothing is asked. Each may be asked twice: an answer that was lost is asked for, or asking again finds
it done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from cloudfs.clouds.base import Cloud
from cloudfs.database.intents import Intent
from cloudfs.model.entry import TEMPORARY_PREFIX, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AccessRefused,
    AlreadyExists,
    Locked,
    NameRefused,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    TryAgain,
)
from cloudfs.model.marked_names import is_parked_name
from cloudfs.model.node import Node, Place
from cloudfs.sync.gate import Gate
from cloudfs.sync.push_plan import Delete, MakeFolder, Move, Operation, Upload
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.retry import Patience, patience_s, retried
from cloudfs.transfers.settling import MOVE, Settling
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.tree import Tree

# After these nothing was moved, unless an earlier try did it.
_NOT_MOVED = (AlreadyExists, PreconditionFailed, NotFound)
_REFUSALS = (AccessRefused, Locked, NameRefused)


class Outlived(Exception):
    """What was removed here is newer in the cloud, or not empty there: it lives on.

    entry: what the cloud has now; None for a folder.
    """

    def __init__(self, inode: int, place: Place, entry: RemoteEntry | None) -> None:
        super().__init__(f"inode {inode} lives on")
        self.inode = inode
        self.place = place
        self.entry = entry


class Vanished(Exception):
    """The cloud no longer has an entry in a place that no listing tells of: another one has got it,
    or its folder was removed here and is listed no more."""

    def __init__(self, inode: int) -> None:
        super().__init__(f"inode {inode} is gone")
        self.inode = inode


class Operations:
    """Carries out one operation of a plan.

    timeout_s: `[cloud] timeout`; what is worth another try is tried again for most of it.
    """

    def __init__(
        self,
        tree: Tree,
        listings: Listings,
        cloud: Cloud,
        uploads: Uploads,
        settling: Settling,
        *,
        timeout_s: float,
    ) -> None:
        self._tree = tree
        self._listings = listings
        self._cloud = cloud
        self._uploads = uploads
        self._settling = settling
        self._gate = Gate()
        self._patience_s = patience_s(timeout_s)

    async def carry_out(self, operation: Operation, *, may_begin: Callable[[], bool] = lambda: True) -> bool:
        """Whether it is done; False: the entry is not as it was planned, and is left to the next plan.

        may_begin: asked when an upload's turn has come. Raises the cloud's failures, Outlived for a
        removal that must not be, Vanished for an entry that is gone.
        """
        try:
            async with self._gate.passing(self._way(operation)):
                return await self._take(operation, may_begin)
        except (_Gone, TryAgain):
            return False

    async def is_reachable(self) -> bool:
        """See Settling.is_reachable."""
        return await self._settling.is_reachable()

    async def _take(self, operation: Operation, may_begin: Callable[[], bool]) -> bool:
        match operation:
            case MakeFolder():
                return await self._make_folder(operation)
            case Move():
                async with self._gate.closed(operation.inode):
                    return await self._move(operation)
            case Upload():
                return await self._uploads.upload(
                    operation.inode, operation.place, operation.base, may_begin=may_begin
                )
            case Delete():
                return await self._delete(operation)

    def _way(self, operation: Operation) -> Iterator[int]:
        """The folders that the paths of an operation lead through."""
        match operation:
            case Move(_, source, target, _):
                ends = [source.parent, target.parent]
            case MakeFolder(_, place) | Upload(_, place, _) | Delete(_, _, place, _):
                ends = [place.parent]
        for folder in ends:
            yield folder
            above = self._node(folder).cloud_place
            while above is not None:
                yield above.parent
                above = self._node(above.parent).cloud_place

    async def _make_folder(self, operation: MakeFolder) -> bool:
        node = self._node(operation.inode)
        if not node.is_unsent or _place(node) != operation.place:
            return False
        async with self._settling.asking(node.inode):
            await retried(
                lambda: self._cloud.make_folder(self._tree.place_path(operation.place)), self._patience_s
            )
            with trio.CancelScope(shield=True):
                await self._tree.record_made(node.inode, operation.place)
        return True

    # --- moves ---

    async def _move(self, operation: Move) -> bool:
        node = self._node(operation.inode)
        is_parked = is_parked_name(operation.target.name, node.inode)
        if node.cloud_place != operation.source or not (is_parked or _place(node) == operation.target):
            return False
        replaced = self._replaced(operation)
        if operation.replaces is not None and replaced is None:
            return False
        intent = Intent(
            inode=node.inode,
            operation=MOVE,
            place=operation.target,
            generation=0,
            size=0,
            sha256=b"",
            base=replaced,
        )
        async with self._settling.asking(node.inode):
            with self._listings.moving(node.inode):
                async for attempt in Patience(self._patience_s).attempts():
                    with attempt:
                        return await self._try_move(node, intent)
        raise AssertionError("the last attempt returns or raises")

    async def _try_move(self, node: Node, intent: Intent) -> bool:
        if await self._settling.settle(node.inode):
            return True
        try:
            await self._settling.begin(intent)
        except NotFound:
            return False  # programs renamed one of the two in this moment
        source, target = self._tree.remote_path(node.inode), self._tree.place_path(intent.place)
        try:
            await self._cloud.move(source, target, replaces=intent.base, kind=node.kind)
        except _NOT_MOVED as error:
            if await self._settling.settle(node.inode):
                return True
            if isinstance(error, NotFound) and await self._is_lost(node):
                raise Vanished(node.inode) from None
            raise
        except _REFUSALS:
            await self._settling.refused(node.inode)
            raise
        else:
            with trio.CancelScope(shield=True):
                await self._settling.moved(intent)
        return True

    async def _is_lost(self, node: Node) -> bool:
        """Whether an entry is gone from a place of which no listing tells."""
        place = node.cloud_place
        if place is None:
            return False
        is_hidden = place.name.startswith(TEMPORARY_PREFIX) or self._node(place.parent).is_removed
        if not is_hidden:
            return False
        try:
            await self._cloud.stat(self._tree.remote_path(node.inode))
        except NotFound:
            return True
        return False

    def _replaced(self, operation: Move) -> Version | None:
        """The version of the removed file that the move goes over, if it still is one."""
        if operation.replaces is None:
            return None
        there = self._node(operation.replaces)
        return there.version if there.is_removed and there.home == operation.target else None

    # --- removals ---

    async def _delete(self, operation: Delete) -> bool:
        node = self._node(operation.inode)
        if not node.is_removed or node.home != operation.place:
            return False
        if node.kind is Kind.FILE and node.version is None:
            return False  # what the cloud has of it is not known
        async with self._settling.asking(node.inode):
            path = self._tree.remote_path(node.inode)
            if node.is_folder:
                await self._delete_folder(operation, path)
            else:
                await self._delete_file(operation, path, node.version)
            with trio.CancelScope(shield=True):
                await self._tree.record_deleted(node.inode)
        return True

    async def _delete_file(self, operation: Delete, path: RemotePath, base: Version | None) -> None:
        try:
            await retried(lambda: self._cloud.delete(path, base), self._patience_s)
        except NotFound:
            return
        except PreconditionFailed:
            try:
                entry = await retried(lambda: self._cloud.stat(path), self._patience_s)
            except NotFound:
                return
            raise Outlived(operation.inode, operation.place, entry) from None

    async def _delete_folder(self, operation: Delete, path: RemotePath) -> None:
        """A folder goes only once a listing came whole and shows nothing in it (DESIGN 8.11)."""
        try:
            listing = await retried(lambda: self._cloud.list_folder(path), self._patience_s)
            if listing.entries or listing.left_out or listing.unshown:
                raise Outlived(operation.inode, operation.place, None)
            await retried(lambda: self._cloud.delete(path, None), self._patience_s)
        except NotEmpty:
            raise Outlived(operation.inode, operation.place, None) from None
        except (NotFound, NotAFolder):
            return  # the cloud no longer has this folder

    def _node(self, inode: int) -> Node:
        try:
            return self._tree.node(inode)
        except NotFound as error:
            raise _Gone from error


class _Gone(Exception):
    """The entry's row went since the plan."""


def _place(node: Node) -> Place | None:
    return None if node.parent is None else Place(node.parent, node.name)
