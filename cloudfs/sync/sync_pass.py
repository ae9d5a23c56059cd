"""One run over one scope: look at the cloud, settle what both sides changed, send what is newer here.

Rounds: a plan is made of what the tree says, carried out as far as it goes, and made anew where the cloud
turned out to be another than was thought or something changed meanwhile, a bounded number of times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from cloudfs.model.enums import ErrorType, Priority, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NetworkUnavailable, NotFound, Unauthorized
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.sync.absences import Absences
from cloudfs.sync.brake import DeleteBrake
from cloudfs.sync.circles import in_circles
from cloudfs.sync.encounter import Encounter
from cloudfs.sync.push import Push
from cloudfs.sync.push_plan import Change, PushPlan, plan_push
from cloudfs.sync.walk import Walk
from cloudfs.transfers.abilities import Abilities
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.settling import Settling
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.tree import Tree

ROUNDS = 5
_LONGEST_WAIT_MS = 24 * 3600 * 1000
_SURPRISES = 2  # of one entry in one run, before they count as its failure


@dataclass(frozen=True, slots=True)
class Parts:
    """What every run works with.

    parallel: how many folders are listed, or files compared, at a time. now_ms: epoch milliseconds.
    """

    tree: Tree
    listings: Listings
    transfers: Transfers
    uploads: Uploads
    settling: Settling
    encounter: Encounter
    push: Push
    abilities: Abilities
    brake: DeleteBrake
    parallel: int
    read_only: bool
    now_ms: Callable[[], int]


@dataclass(slots=True)
class Causes:
    """Why things did not go well, by the direction that they were to go."""

    pull: list[ErrorType] = field(default_factory=list)
    push: list[ErrorType] = field(default_factory=list)


class SyncPass:
    """One run. `causes` says how it went, once `run` has returned."""

    def __init__(
        self, parts: Parts, scope: Scope, absences: Absences, report: Callable[[SyncState], None]
    ) -> None:
        self.causes = Causes()
        self._parts = parts
        self._scope = scope
        self._absences = absences
        self._report = report
        self._surprises: Counter[int] = Counter()
        self._deletes = 0
        self._is_uploading = False
        self._is_winding_down = False
        self._interruptible: set[trio.CancelScope] = set()

    def wind_down(self) -> None:
        """Begin nothing more: uploads under way are completed, listing and hydration end at once."""
        self._is_winding_down = True
        for cancel_scope in self._interruptible:
            cancel_scope.cancel()

    async def run(self, folders: Iterable[int], *, by_tags: bool) -> bool:
        """The whole run; whether every one of `folders` was looked at.

        by_tags: they are those at the top, and what changed below is found by the folders' tags.
        """
        if not await self._prepare() or not await self._look(folders, by_tags=by_tags):
            return False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hydrate)
            await self._send()
        return True

    # --- the cloud's side ---

    async def _prepare(self) -> bool:
        """Settle what an earlier run or a crash left open; whether going on makes sense."""
        try:
            await self._parts.settling.settle_all()  # what could not be is met again when it is sent
            await self._parts.encounter.save_unsafe()
        except CloudfsError as error:
            self._failed_to_pull([error])
            return not isinstance(error, NetworkUnavailable | Unauthorized)
        return True

    async def _look(self, folders: Iterable[int], *, by_tags: bool) -> bool:
        """List folders, meet what both sides changed, apply what is gone; whether going on makes sense."""
        parts = self._parts
        walk = Walk(parts.tree, parts.listings, self._scope, parallel=parts.parallel, by_tags=by_tags)
        with self._until_winding_down():
            await walk.run(folders)
        self._failed_to_pull(walk.failures)
        if walk.ended_by is not None or self._is_winding_down:
            return False
        self._failed_to_pull(await parts.encounter.meet(walk.contested, parallel=parts.parallel))
        self._failed_to_pull(await self._absences.apply(walk.vanished, walk.listed))
        return True

    async def _hydrate(self) -> None:
        """Bring pinned files, and those that failed for want of space; one's failure stops no other."""
        limiter = trio.CapacityLimiter(self._parts.parallel)

        async def hydrate(inode: int) -> None:
            try:
                await self._parts.transfers.hydrate(inode, Priority.PINNED)
            except CloudfsError as error:
                self._failed_to_pull([error])
            finally:
                limiter.release_on_behalf_of(inode)

        with self._until_winding_down():
            async with trio.open_nursery() as nursery:
                for inode in await self._parts.tree.wanted_files(self._scope):
                    await limiter.acquire_on_behalf_of(inode)
                    nursery.start_soon(hydrate, inode)

    @contextmanager
    def _until_winding_down(self) -> Iterator[None]:
        with trio.CancelScope() as cancel_scope:
            if self._is_winding_down:
                cancel_scope.cancel()
            self._interruptible.add(cancel_scope)
            try:
                yield
            finally:
                self._interruptible.discard(cancel_scope)

    # --- this side ---

    async def _send(self) -> None:
        for count in range(1, ROUNDS + 1):
            plan = await self._plan()
            if not plan.steps or self._parts.read_only or self._is_winding_down:
                break
            if not await self._may_write():
                break
            again = await self._send_once(plan, is_last=count == ROUNDS)
            if again is None or not await self._look(again, by_tags=False):
                break
        await self._note_waiting()

    async def _send_once(self, plan: PushPlan, *, is_last: bool) -> Collection[int] | None:
        """Carry a plan out; returns the folders to look at before the next one, None: there is none."""
        parts = self._parts
        outcome = await parts.push.carry_out(
            plan,
            patient_with=lambda inode: not is_last and self._surprises[inode] < _SURPRISES,
            may_begin=lambda: not self._is_winding_down,
        )
        self._surprises.update(outcome.surprised.keys())
        confirmed = parts.brake.of(self._scope).confirmed
        self._deletes += sum(inode not in confirmed for inode in outcome.deleted)
        self.causes.push += [failure.sync_error for failure in outcome.failures]
        if outcome.ended_by is not None:
            direction = self.causes.pull if isinstance(outcome.ended_by, Unauthorized) else self.causes.push
            direction.append(outcome.ended_by.sync_error)
        folders = set(outcome.doubtful)
        for outlived in outcome.outlived:
            if await parts.encounter.bring_back(outlived.inode, outlived.entry) and outlived.entry is None:
                folders.add(outlived.inode)
        self._failed_to_pull(await self._absences.apply(list(self._known(outcome.vanished)), ()))
        if is_last or not outcome.needs_another or self._is_winding_down:
            return None
        return [folder for folder in folders if self._is_shown(folder)]

    async def _may_write(self) -> bool:
        """Say that there is work; whether the server can be asked for it."""
        if not self._is_uploading:
            self._is_uploading = True
            self._report(SyncState.UPLOADING)
        try:
            await self._parts.abilities.learn()
        except (NetworkUnavailable, Unauthorized) as error:
            self._failed_to_pull([error] if isinstance(error, Unauthorized) else [])
            self.causes.push.append(error.sync_error)
            return False
        return True

    async def _plan(self) -> PushPlan:
        parts, held = self._parts, self._parts.brake.of(self._scope)
        plan = plan_push(
            [self._change(node) for node in self._changes()],
            cloud_parents=self._cloud_place,
            confirmed=frozenset(held.confirmed),
            delete_brake=max(0, parts.brake.limit - self._deletes),
            token=f"{parts.now_ms():x}",
        )
        await parts.brake.hold_here(self._scope, plan.held)
        return plan

    def _changes(self) -> list[Node]:
        """What the plan is about: the scope's own changes; for a circle of names through both scopes one of
        the two plans has to have all of it."""
        tree = self._parts.tree
        ours = tree.changes(self._scope)
        if self._scope is Scope.GALLERY or not any(map(self._goes_to_gallery, ours)):
            return ours
        return [*ours, *in_circles(ours, tree.changes(Scope.GALLERY))]

    def _goes_to_gallery(self, node: Node) -> bool:
        """Whether it takes a name there, as one in every circle through both scopes does."""
        return node.is_moved and self._parts.tree.scope(node.inode) is Scope.GALLERY

    def _change(self, node: Node) -> Change:
        return Change(
            inode=node.inode,
            kind=node.kind,
            place=None if node.parent is None else Place(node.parent, node.name),
            cloud=node.cloud_place,
            base=node.version,
            is_modified=node.is_modified,
            is_ready=not (self._waits(node) or self._parts.settling.is_asked(node.inode)),
            is_quiet=self._parts.uploads.is_quiet(node.inode),
        )

    def _waits(self, node: Node) -> bool:
        """Whether an entry's next try is still to come; a time further off was set by a wrong clock."""
        return (
            node.next_try_ms is not None and 0 < node.next_try_ms - self._parts.now_ms() <= _LONGEST_WAIT_MS
        )

    def _cloud_place(self, inode: int) -> Place | None:
        try:
            return self._parts.tree.node(inode).cloud_place
        except NotFound:
            return None

    def _known(self, inodes: Iterable[int]) -> Iterator[Node]:
        """Those of the entries that are not gone."""
        for inode in inodes:
            try:
                yield self._parts.tree.node(inode)
            except NotFound:
                continue

    def _is_shown(self, folder: int) -> bool:
        try:
            return folder == ROOT or self._parts.tree.node(folder).parent is not None
        except NotFound:
            return False

    async def _note_waiting(self) -> None:
        """What waits for its next try has failed, and the run with it; some confirmations still count."""
        removed = set[int]()
        for node in self._parts.tree.changes(self._scope):
            if node.is_removed:
                removed.add(node.inode)
            if self._waits(node):
                self.causes.push.append(_error_type(node))
        await self._parts.brake.applied(self._scope, removed)

    def _failed_to_pull(self, failures: Iterable[CloudfsError]) -> None:
        self.causes.pull += [failure.sync_error for failure in failures]


def _error_type(node: Node) -> ErrorType:
    return ErrorType.__members__.get(node.error or "", ErrorType.NO_ERROR)
