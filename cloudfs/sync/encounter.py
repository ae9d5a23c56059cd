"""Where both sides changed an entry: the cloud is read where that decides, and the decision carried out.

What becomes of each is `sync.meeting`'s to say. A decision is applied only to an entry that is as it was
when it was made; one that moved on is left to the next round, which sees it anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

import trio

from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.model.entry import RemoteEntry
from cloudfs.model.enums import Kind
from cloudfs.model.errors import CloudfsError, ContentNotFound, NotFound, TryAgain, VersionChanged
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.sync.conflict_names import conflict_name
from cloudfs.sync.meeting import Agree, Bury, Conflict, Contested, Decision, Detach, Restore, StepAside, meet
from cloudfs.transfers.digest import cloud_digest
from cloudfs.transfers.retry import patience_s, retried
from cloudfs.transfers.settling import Settling
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Met:
    """A changed entry as a listing found it. entry: what the cloud has in `place`; None: nothing."""

    node: Node
    place: Place
    entry: RemoteEntry | None


class Encounter:
    """Settles contested entries.

    host: this machine's name, for the names of conflict copies. timeout_s: `[cloud] timeout`.
    now: the time in the zone that conflict names show.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        cloud: Cloud,
        settling: Settling,
        *,
        host: str,
        timeout_s: float,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._tree = tree
        self._store = store
        self._cloud = cloud
        self._settling = settling
        self._host = host
        self._patience_s = patience_s(timeout_s)
        self._now = now

    async def meet(self, found: Iterable[Met], *, parallel: int) -> list[CloudfsError]:
        """Decide about entries that both sides changed, and carry it out; returns what kept some from it.

        These are contested still, and found again by the next listing of their folders. An entry that comes
        up twice is decided about once, for what it was: a folder can be listed twice in a round.
        """
        failures: list[CloudfsError] = []
        limiter = trio.CapacityLimiter(parallel)

        async def settle(of_one: list[Met]) -> None:
            async with limiter:
                for met in of_one:
                    try:
                        await self._meet(met)
                    except (NotFound, TryAgain) as error:
                        log.debug("inode %d is left to the next round: %s", met.node.inode, error.reason)
                    except CloudfsError as error:
                        log.info("inode %d can't be met now: %s", met.node.inode, error.reason)
                        failures.append(error)

        by_inode: dict[int, list[Met]] = {}
        for met in found:
            by_inode.setdefault(met.node.inode, []).append(met)
        async with trio.open_nursery() as nursery:
            for of_one in by_inode.values():
                nursery.start_soon(settle, of_one)
        return failures

    async def bring_back(self, inode: int, entry: RemoteEntry | None) -> bool:
        """Undo a removal: the entry is shown again, as the cloud has it, and so are the folders above it.

        What stands under one of the names by now makes room under a conflict name. Returns whether it is
        shown; where it is not it was removed for good, or is no longer removed.
        """
        for removed in self._removed_above(inode):
            if not await self._restore(removed, None):
                return False
        return await self._restore(inode, entry)

    async def save_unsafe(self) -> None:
        """Files whose bytes the machine's going down may have taken live on under a conflict name.

        Only those that the cloud has: under their own name it keeps what was there (DESIGN 8.2).
        """
        for inode in list(self._store.unsafe):
            try:
                await self._save_unsafe(self._tree.node(inode))
            except NotFound:
                log.debug("inode %d is gone", inode)
            self._store.unsafe.remove(inode)

    # --- inside ---

    async def _meet(self, met: Met) -> None:
        node = met.node
        if not self._is_still(node):
            return
        is_whole = node.is_folder or self._store.is_whole(node.inode, node.size)
        is_equal = await self._compare(met) if is_whole else None
        if not self._is_still(node):
            return
        contested = Contested(node, met.place, met.entry, is_equal, is_whole)
        decision = meet(contested, lambda: self._conflict_name(node))
        if decision is not None:
            log.info("inode %d: both sides changed it: %s", node.inode, type(decision).__name__)
            await self._apply(node, met.place, decision)

    def _is_still(self, node: Node) -> bool:
        """Whether an entry is as it was found, and nothing is being done to it."""
        now = self._tree.node(node.inode)
        is_same = (now.parent, now.name, now.home) == (node.parent, node.name, node.home)
        is_same = is_same and (now.generation, now.sent, now.version) == (
            node.generation,
            node.sent,
            node.version,
        )
        return is_same and not self._settling.is_asked(node.inode) and not self._store.is_written(node.inode)

    async def _compare(self, met: Met) -> bool | None:
        """Whether the cloud has the very content that is here; None where sizes or kinds tell enough."""
        node, entry = met.node, met.entry
        is_file = entry is not None and entry.kind is node.kind is Kind.FILE
        if entry is None or not is_file or not node.is_modified or entry.size != node.size:
            return None
        content = await self._store.open(node.inode, node.content_version)
        try:
            async with self._store.snapshot(content) as snapshot:
                ours = snapshot.sha256
        except TryAgain:
            return None  # it is being written to; what is decided for it is dropped for that
        finally:
            await self._store.close(content)
        try:
            path = self._tree.place_path(met.place)
            return await retried(lambda: cloud_digest(self._cloud, path, entry), self._patience_s) == ours
        except (VersionChanged, ContentNotFound):
            raise TryAgain("the cloud's version changed while it was compared") from None

    async def _apply(self, node: Node, place: Place, decision: Decision) -> None:
        match decision:
            case Agree(inode, entry):
                await self._agree(node, place, entry)
            case Conflict(inode, name, entry):
                if node.is_moved:
                    await self._tree.detach(inode)  # it has nothing to do any more with what is at its home
                await self._tree.make_conflict(inode, name, entry)
            case StepAside(inode, name, entry):
                await self._tree.make_conflict(inode, name, entry)
            case Restore(inode, entry):
                await self.bring_back(inode, entry)
            case Detach(inode):
                await self._tree.detach(inode)
            case Bury(inode):
                await self._tree.bury(inode)

    async def _agree(self, node: Node, place: Place, entry: RemoteEntry) -> None:
        content = await self._store.open(node.inode, node.content_version)
        try:
            also = self._store.uploaded_row(content, entry.version, node.generation)
            agreed = await self._tree.adopt_version(node.inode, entry, node.generation, place, also)
            if agreed is not None:
                self._store.note_uploaded(content, entry.version, is_clean=not agreed.is_modified)
        finally:
            await self._store.close(content)

    # --- removals undone ---

    def _removed_above(self, inode: int) -> list[int]:
        """The removed folders that the cloud has above a removed entry, the topmost first."""
        found: list[int] = []
        home = self._tree.node(inode).home
        while home is not None:
            folder = self._tree.node(home.parent)
            if not folder.is_removed:
                break
            found.append(folder.inode)
            home = folder.home
        return found[::-1]

    async def _restore(self, inode: int, entry: RemoteEntry | None) -> bool:
        if await self._tree.restore(inode, entry):
            return True
        node = self._tree.node(inode)
        if not node.is_removed or node.home is None:
            return False
        occupant = self._tree.child(*node.home)
        if occupant is None:
            return False
        await self._tree.make_conflict(occupant.inode, self._conflict_name(occupant), None)
        return await self._tree.restore(inode, entry)

    # --- after power loss ---

    async def _save_unsafe(self, node: Node) -> None:
        place = node.cloud_place
        if place is None or node.parent is None or not node.is_modified:
            return
        try:
            path = self._tree.remote_path(node.inode)
            entry = await retried(lambda: self._cloud.stat(path), self._patience_s)
        except NotFound:
            entry = None  # the walk finds out that it is lost, and what is here goes up again
        if entry is not None and entry.kind is Kind.FILE:
            log.warning("inode %d may lack bytes since the machine went down", node.inode)
            await self._apply(
                node, place, Conflict(node.inode, self._conflict_name(node), None if node.is_moved else entry)
            )

    def _conflict_name(self, node: Node) -> bytes:
        parent = ROOT if node.parent is None else node.parent
        return conflict_name(
            node.name, self._host, self._now(), lambda name: self._tree.child(parent, name) is not None
        )
