"""One sync run over a scope: pull what changed in the cloud, then bring what is pinned.

INTERFACE section 8 "Sync" and "The delete brake". Absences are applied only after every folder of the
round was asked, and never when the network failed in it: an error is never a deletion.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from cloudfs.database.settings import Settings
from cloudfs.model.enums import ErrorType, Priority, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.sync.planner import PullPlan, plan_absences
from cloudfs.sync.reappearance import Reappearance
from cloudfs.sync.walk import Walk
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

# Several causes: the first of these (INTERFACE section 8).
_GRAVEST_FIRST = (
    ErrorType.NETWORK_UNAVAILABLE,
    ErrorType.WIFI_UNAVAILABLE,
    ErrorType.BATTERY_LEVEL_WARNING,
    ErrorType.BATTERY_LEVEL_LOW,
    ErrorType.CLOUD_STORAGE_FULL,
    ErrorType.LOCAL_STORAGE_FULL,
)


@dataclass(frozen=True, slots=True)
class SyncOutcome:
    """How a run ended: COMPLETED, or DOWNLOAD_FAILED with the gravest cause that has a name."""

    state: SyncState
    error: ErrorType = ErrorType.NO_ERROR


class Engine:
    """Runs syncs; a scope's runs never overlap (their owner sees to it).

    Invariant: `held` counts the deletes that the last round of each scope held back; they are found anew
    by every round, so that nothing of them needs to survive a crash but the confirmation.
    """

    def __init__(
        self,
        tree: Tree,
        listings: Listings,
        transfers: Transfers,
        reappearance: Reappearance,
        settings: Settings,
        *,
        gallery: Sequence[bytes],
        delete_brake: int,
        parallel: int,
    ) -> None:
        """gallery: paths of the gallery folders. parallel: how many folders are listed at a time."""
        self._tree = tree
        self._listings = listings
        self._transfers = transfers
        self._reappearance = reappearance
        self._settings = settings
        self._gallery = gallery
        self._delete_brake = delete_brake
        self._parallel = parallel
        self._held: dict[Scope, tuple[int, ...]] = {}
        self._held_deletes: dict[Scope, int] = {}

    @property
    def held_deletes(self) -> int:
        """Entries that the cloud lost and that are still shown, until somebody confirms."""
        return sum(self._held_deletes.values())

    async def confirm(self, scope: Scope) -> None:
        """Let the next run carry out the deletes held now; deletes found later are counted afresh."""
        await self._settings.set(_confirmed_key(scope), json.dumps(self._held.get(scope, ())))

    async def sync_scope(self, scope: Scope, report: Callable[[SyncState], None]) -> SyncOutcome:
        """One run, to its outcome.

        report: told UPLOADING once there is something to upload, which a pull alone never has.
        Cancelled, it leaves what was applied and ends the transfers that it began.
        """
        try:
            if scope is Scope.GALLERY:
                await self._find_galleries()
        except CloudfsError as error:
            return self._outcome([error], bool(self._held_deletes.get(scope)))
        walk = Walk(self._tree, self._listings, scope, parallel=self._parallel)
        await walk.run(self._tree.folders(scope))
        failures = list(walk.failures)
        if walk.ended_by is None:
            await self._apply_absences(scope, walk)
            failures += await self._hydrate(await self._tree.wanted_files(scope))
        return self._outcome(failures, bool(self._held_deletes.get(scope)))

    async def _find_galleries(self) -> None:
        """Have the tree know the gallery folders that the cloud has.

        The folders above are the other scope's, which may be held: they are listed only where the cloud
        says that a gallery folder is there which they do not show.
        """
        for path in self._gallery:
            node, rest = self._tree.find(path)
            if not rest or not await self._listings.exists(path):
                continue
            lacking = len(rest) + 1
            while node.is_folder and 0 < len(rest) < lacking:
                lacking = len(rest)
                await self._listings.list_folder(node.inode)
                node, rest = self._tree.find(path)

    async def _apply_absences(self, scope: Scope, walk: Walk) -> None:
        confirmed = json.loads(str(self._settings.get(_confirmed_key(scope)) or "[]"))
        lost = await self._reappearance.lost(walk.vanished)
        plan = plan_absences(lost, frozenset(confirmed), self._delete_brake)
        await self._carry_out(plan)
        self._held[scope] = plan.held
        self._held_deletes[scope] = plan.held_deletes
        if confirmed:
            await self._settings.set(_confirmed_key(scope), "[]")
        if plan.held:
            log.warning(
                "%d deletes in the cloud are held: `cloudfs sync confirm` applies them", plan.held_deletes
            )

    async def _carry_out(self, plan: PullPlan) -> None:
        for old, new in plan.moves:
            try:
                await self._listings.adopt_move(old, new)
            except NotFound:
                log.debug("a listing in between took a moved file away: the next round sees what is true")
        await self._listings.remove(plan.removals)

    async def _hydrate(self, inodes: Iterable[int]) -> list[CloudfsError]:
        """Bring pinned files, and those that failed for want of space; one's failure stops no other."""
        failures: list[CloudfsError] = []
        limiter = trio.CapacityLimiter(self._parallel)

        async def hydrate(inode: int) -> None:
            try:
                await self._transfers.hydrate(inode, Priority.PINNED)
            except CloudfsError as error:
                failures.append(error)
            finally:
                limiter.release_on_behalf_of(inode)

        async with trio.open_nursery() as nursery:
            for inode in inodes:
                await limiter.acquire_on_behalf_of(inode)
                nursery.start_soon(hydrate, inode)
        return failures

    def _outcome(self, failures: list[CloudfsError], is_held: bool) -> SyncOutcome:
        if not failures and not is_held:
            return SyncOutcome(SyncState.COMPLETED)
        causes = {failure.sync_error for failure in failures}
        gravest = next((error for error in _GRAVEST_FIRST if error in causes), ErrorType.NO_ERROR)
        return SyncOutcome(SyncState.DOWNLOAD_FAILED, gravest)


def _confirmed_key(scope: Scope) -> str:
    return f"confirmed deletes of {scope}"
