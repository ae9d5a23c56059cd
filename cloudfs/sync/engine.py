"""Sync runs over a scope: pull what changed in the cloud, bring what is pinned, send what changed here.

INTERFACE section 8 "Sync" and "The delete brake". Absences are applied only after every folder of the
round was asked, and never when the network failed in it: an error is never a deletion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from cloudfs.clouds.base import Cloud
from cloudfs.model.enums import ErrorType, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.model.node import ROOT, Place
from cloudfs.sync.absences import Absences
from cloudfs.sync.brake import HeldDeletes
from cloudfs.sync.reappearance import Reappearance
from cloudfs.sync.restoring import Restoring
from cloudfs.sync.sync_pass import Causes, Parts, SyncPass

__all__ = ["Engine", "HeldDeletes", "SyncOutcome"]

# Several causes, of either direction: the first of these (INTERFACE section 8).
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
    """How a run ended: COMPLETED, or DOWNLOAD_FAILED or UPLOAD_FAILED with the gravest cause with a name."""

    state: SyncState
    error: ErrorType = ErrorType.NO_ERROR


class Engine:
    """Runs syncs; a scope's runs never overlap (their owner sees to it).

    gallery: paths of the gallery folders.
    """

    def __init__(
        self,
        parts: Parts,
        cloud: Cloud,
        reappearance: Reappearance,
        restoring: Restoring,
        *,
        gallery: Sequence[bytes],
    ) -> None:
        self._parts = parts
        self._cloud = cloud
        self._reappearance = reappearance
        self._restoring = restoring
        self._gallery = gallery
        self._running: dict[Scope, SyncPass] = {}
        # Scopes of which every folder was listed since the mount; from then on tags tell where to look.
        self._seen_whole: set[Scope] = set()

    # --- the delete brake ---

    @property
    def held_deletes(self) -> int:
        """Deletes of both sides and scopes that wait until somebody confirms."""
        return sum(held.here + held.in_cloud for held in map(self.held, Scope))

    def held(self, scope: Scope) -> HeldDeletes:
        """A scope's held deletes; those made `here` count as changes that the cloud lacks."""
        held = self._parts.brake.of(scope)
        return HeldDeletes(sum(map(self._is_removed, held.here)), held.in_cloud_deletes)

    def is_held(self, inode: int) -> bool:
        """Whether an entry's removal, on either side, waits until somebody confirms."""
        return self._parts.brake.is_held(inode)

    async def confirm(self, scope: Scope) -> None:
        """Let the next run carry out the deletes held now; deletes found later are counted afresh."""
        await self._parts.brake.confirm(scope)

    async def restore(self, scope: Scope) -> list[int]:
        """Undo the deletes held now: what was removed here is shown again, what the cloud lost is sent
        again by the next run where its content is whole here. Returns what can't come back, and stays held.
        """
        return await self._restoring.restore(scope)

    # --- runs ---

    async def sync_scope(self, scope: Scope, report: Callable[[SyncState], None]) -> SyncOutcome:
        """One run, to its outcome.

        report: told UPLOADING, once, where there is something to send. Cancelled, it ends the transfers
        that it began and leaves what was applied.
        """
        parts = self._parts
        absences = Absences(
            parts.tree,
            parts.listings,
            self._reappearance,
            parts.encounter,
            parts.brake,
            scope=scope,
            parallel=parts.parallel,
        )
        sync_pass = self._running[scope] = SyncPass(parts, scope, absences, report)
        try:
            await self._run(scope, sync_pass)
        finally:
            del self._running[scope]
        return self._outcome(sync_pass.causes, self.held(scope))

    def wind_down(self, scope: Scope) -> None:
        """Let a scope's run begin nothing more, and end once its uploads under way are complete."""
        sync_pass = self._running.get(scope)
        if sync_pass is not None:
            sync_pass.wind_down()

    async def _run(self, scope: Scope, sync_pass: SyncPass) -> None:
        if scope is Scope.GALLERY:
            try:
                await self._find_galleries()
            except CloudfsError as error:
                sync_pass.causes.pull.append(error.sync_error)
                return
        by_tags = self._cloud.capabilities.folder_tags is True and scope in self._seen_whole
        folders = self._due(scope) if by_tags else chain(self._tops(scope), self._parts.tree.folders(scope))
        if await sync_pass.run(folders, by_tags=by_tags):
            self._seen_whole.add(scope)

    def _due(self, scope: Scope) -> Iterable[int]:
        """The folders to begin with where tags tell what changed below them: those at the top, those that a
        listing since left to be looked at, and those whose own tag is not known: none above tells of it."""
        parts = self._parts
        yield from self._tops(scope)
        due = parts.listings.due() | parts.tree.untagged_folders()
        yield from (folder for folder in parts.tree.folders(scope) if folder in due)

    def _tops(self, scope: Scope) -> list[int]:
        """The folders in which a scope begins.

        Of a file in a gallery folder's place, and of what was moved from there, the folder above tells.
        """
        if scope is Scope.FILES:
            return [ROOT]
        tree = self._parts.tree
        found = [node for node, rest in map(tree.find, self._gallery) if not rest]
        tops = [node.inode if node.is_folder else node.parent or ROOT for node in found]
        homes = [node.home for node in tree.changes(scope) if node.home is not None]
        return [*tops, *(home.parent for home in homes if self._is_gallery(home))]

    def _is_gallery(self, place: Place) -> bool:
        try:
            return self._parts.tree.place_path(place) in self._gallery
        except NotFound:
            return False

    async def _find_galleries(self) -> None:
        """Have the tree know the gallery folders that the cloud has.

        The folders above are the other scope's, which may be held: they are listed only where the cloud
        says that a gallery folder is there which they do not show.
        """
        tree, listings = self._parts.tree, self._parts.listings
        for path in self._gallery:
            node, rest = tree.find(path)
            if not rest or not await listings.exists(path):
                continue
            lacking = len(rest) + 1
            while node.is_folder and 0 < len(rest) < lacking:
                lacking = len(rest)
                await listings.list_folder(node.inode)
                node, rest = tree.find(path)

    def _is_removed(self, inode: int) -> bool:
        try:
            return self._parts.tree.node(inode).is_removed
        except NotFound:
            return False

    def _outcome(self, causes: Causes, held: HeldDeletes) -> SyncOutcome:
        error = _gravest([*causes.pull, *causes.push])
        if causes.pull or held.in_cloud:
            return SyncOutcome(SyncState.DOWNLOAD_FAILED, error)
        if causes.push or held.here:
            return SyncOutcome(SyncState.UPLOAD_FAILED, error)
        return SyncOutcome(SyncState.COMPLETED)


def _gravest(causes: Sequence[ErrorType]) -> ErrorType:
    return next((error for error in _GRAVEST_FIRST if error in causes), ErrorType.NO_ERROR)
