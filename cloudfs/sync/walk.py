"""One round of listings over a scope's folders, several at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

import trio

from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import CloudfsError, NetworkUnavailable, NotAFolder, NotFound, Unauthorized
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.sync.encounter import Met
from cloudfs.transfers.listings import Listings
from cloudfs.tree.observation import Observation
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)


class Walk:
    """Lists the folders of a scope, the ones that come up on the way too.

    What is new or changed is in the tree as soon as its folder's listing came whole; names that are gone
    are only collected, in `vanished`, since they may come up in a folder listed later; and so is what both
    sides changed, in `contested`. A folder that is not found is not gone by that: its parent is listed,
    whatever its scope, and says so or not. A folder that the cloud does not have is passed over.
    `failures` holds a cause for each folder that could not be listed; `ended_by` is the one that made
    going on pointless (no network, credentials refused, the root itself), if any. `listed`: the folders
    whose listing came.
    """

    def __init__(
        self, tree: Tree, listings: Listings, scope: Scope, *, parallel: int, by_tags: bool = False
    ) -> None:
        """by_tags: also list the known folders below whose tags say that something changed."""
        self.failures: list[CloudfsError] = []
        self.ended_by: CloudfsError | None = None
        self.contested: list[Met] = []
        self.listed: set[int] = set()
        self._tree = tree
        self._listings = listings
        self._scope = scope
        self._parallel = parallel
        self._by_tags = by_tags
        self._send, self._receive = trio.open_memory_channel[int](math.inf)
        self._open = 0
        self._added: set[int] = set()
        self._vanished: dict[int, Node] = {}

    @property
    def vanished(self) -> list[Node]:
        """Names that their folders' listings no longer show."""
        return list(self._vanished.values())

    async def run(self, folders: Iterable[int]) -> None:
        """Start from `folders`; returns when nothing is left to list, or going on is pointless."""
        for folder in folders:
            self._add(folder)
        if not self._open:
            return
        async with trio.open_nursery() as nursery:
            for _ in range(self._parallel):
                nursery.start_soon(self._work, nursery.cancel_scope)

    def _add(self, folder: int) -> None:
        if folder in self._added:
            return
        self._added.add(folder)
        self._open += 1
        self._send.send_nowait(folder)

    async def _work(self, round_scope: trio.CancelScope) -> None:
        async for folder in self._receive:
            await self._visit(folder)
            self._open -= 1
            if self.ended_by is not None:
                round_scope.cancel()
                continue
            if not self._open:
                self._add_missed()
            if not self._open:
                self._send.close()

    def _add_missed(self) -> None:
        """Folders that came up in a listing beside this walk, as of a lookup; none of its own tells so."""
        for inode in self._listings.due():
            try:
                node = self._tree.node(inode)
            except NotFound:
                continue  # taken away meanwhile
            place = node.cloud_place
            is_new = node.listing is Listing.NEVER and place is not None and place.parent in self.listed
            if (is_new or self._by_tags) and self._covers(node):
                self._add(inode)

    async def _visit(self, folder: int) -> None:
        try:
            if self._tree.node(folder).is_unsent:
                return
            self._take(folder, await self._listings.list_folder(folder))
        except (NotFound, NotAFolder) as error:
            await self._look_for(folder, error)
        except CloudfsError as error:
            self._failed(folder, error)

    def _take(self, folder: int, observation: Observation) -> None:
        self.listed.add(folder)
        self._vanished.update((node.inode, node) for node in observation.vanished if self._covers(node))
        self.contested += [
            Met(node, Place(folder, entry.name), entry)
            for node, entry in observation.contested
            if entry is not None and self._covers(node)
        ]
        for node in observation.added:
            if node.kind is Kind.FOLDER and self._covers(node):
                self._add(node.inode)
        for inode in [*observation.met, *(observation.outdated if self._by_tags else ())]:
            if self._covers(self._tree.node(inode)):
                self._add(inode)

    async def _look_for(self, folder: int, error: NotFound | NotAFolder) -> None:
        """Whether the parent shows what can't be found, or is no folder any more.

        One that is not found itself has its own visit, unless it is the other scope's.
        """
        try:
            place = self._tree.node(folder).cloud_place
        except NotFound:
            return  # taken away meanwhile
        if place is not None:
            try:
                self._take(place.parent, await self._listings.list_folder(place.parent))
            except CloudfsError as other:
                if not isinstance(other, NotFound | NotAFolder) or place.parent not in self._added:
                    self._failed(folder, other)
                return
        elif folder != ROOT:
            return  # taken away meanwhile
        if folder not in self._vanished:
            self._failed(folder, error)

    def _covers(self, node: Node) -> bool:
        try:
            return self._tree.change_scope(node) is self._scope
        except NotFound:
            return False  # taken away meanwhile

    def _failed(self, folder: int, error: CloudfsError) -> None:
        self.failures.append(error)
        if folder == ROOT or isinstance(error, NetworkUnavailable | Unauthorized):
            self.ended_by = error
        log.info("a folder could not be listed: %s", error)
