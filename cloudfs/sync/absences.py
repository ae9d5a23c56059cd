"""What a round's listings no longer show: followed where it moved, removed, or held by the brake."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence

from cloudfs.model.enums import Scope
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.model.node import Node
from cloudfs.sync.brake import DeleteBrake
from cloudfs.sync.encounter import Encounter, Met
from cloudfs.sync.planner import Lost, plan_absences
from cloudfs.sync.reappearance import Reappearance
from cloudfs.transfers.listings import Listings
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)


class Absences:
    """The absences of one sync run over a scope, over all its rounds.

    Invariant: `_applied` counts the deletes that this run applied without anybody's confirmation; they
    and those still to come are never more than the brake lets pass.
    """

    def __init__(
        self,
        tree: Tree,
        listings: Listings,
        reappearance: Reappearance,
        encounter: Encounter,
        brake: DeleteBrake,
        *,
        scope: Scope,
        parallel: int,
    ) -> None:
        self._tree = tree
        self._listings = listings
        self._reappearance = reappearance
        self._encounter = encounter
        self._brake = brake
        self._scope = scope
        self._parallel = parallel
        self._vanished: dict[int, Node] = {}
        self._listed: set[int] = set()
        self._applied = 0

    async def apply(self, vanished: Sequence[Node], listed: Collection[int]) -> list[CloudfsError]:
        """Deal with what vanished by now, in this round or in one before and then held.

        listed: the folders that this round listed; what vanished from them before and is back is dropped.
        What is changed here is met first, as an edit beats a delete. Returns what kept some from that.
        """
        changed = [node for node in vanished if node.is_modified or node.is_removed]
        followed = await self._follow(changed)
        failures = await self._encounter.meet(
            [
                Met(node, node.cloud_place, None)
                for node in changed
                if node.inode not in followed and node.cloud_place is not None
            ],
            parallel=self._parallel,
        )
        met = {node.inode for node in changed}
        self._listed.update(listed)
        for node in list(self._vanished.values()):
            if node.cloud_place is not None and node.cloud_place.parent in listed:
                del self._vanished[node.inode]
        self._vanished.update((node.inode, node) for node in vanished if node.inode not in met)
        await self._remove(await self._reappearance.lost(list(self._vanished.values())))
        return failures

    async def _follow(self, changed: Sequence[Node]) -> Collection[int]:
        """Take over where the cloud moved files that are changed here; returns which it could be for."""
        followed = set[int]()
        for old, new in plan_absences(await self._reappearance.lost(changed), (), 0).moves:
            if await self._adopt_move(old, new):
                followed.add(old)
        return followed

    async def _remove(self, lost: Sequence[Lost]) -> None:
        held = self._brake.of(self._scope)
        kept = set(self._still_kept(held.kept)) - set(held.confirmed)
        free = [name for name in lost if name.inode not in kept]
        plan = plan_absences(free, frozenset(held.confirmed), max(0, self._brake.limit - self._applied))
        # Where the new name can't be the old entry's, it has taken over what is the user's, or stands for
        # something that was changed here: the old one is no more than a name that is gone.
        former = [old for old, new in plan.moves if not await self._adopt_move(old, new) and self._shows(new)]
        await self._listings.remove([*plan.removals, *former])
        # What is held stays an absence for the rounds to come; what moved is shown in its new place by now.
        waiting = {*plan.held, *kept}
        self._vanished = {inode: node for inode, node in self._vanished.items() if inode in waiting}
        removed = set(plan.removals) - set(held.confirmed)
        self._applied += sum(name.deletes for name in free if name.inode in removed)
        deletes = plan.held_deletes + len(kept)
        await self._brake.hold_in_cloud(self._scope, [*plan.held, *kept], deletes, sorted(kept))

    def _still_kept(self, kept: Sequence[int]) -> Iterator[int]:
        """What `restore` could not send again, unless it went, or the cloud has it again."""
        for inode in kept:
            try:
                place = self._tree.node(inode).cloud_place
            except NotFound:
                continue
            if place is not None and (inode in self._vanished or place.parent not in self._listed):
                yield inode

    def _shows(self, inode: int) -> bool:
        try:
            return self._tree.node(inode).parent is not None
        except NotFound:
            return False

    async def _adopt_move(self, old: int, new: int) -> bool:
        try:
            return await self._listings.adopt_move(old, new)
        except NotFound:
            log.debug("a listing in between took a moved file away: the next round sees what is true")
            return False
