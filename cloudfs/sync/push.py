"""Carrying out a plan: every step as soon as those before it succeeded, several at a time.

One entry's trouble holds up nothing but what needs it: its failure is noted on it, with the time of its
next try, and the rest goes on. So does a connection that breaks, for as long as the cloud answers anything
else. A network that is gone ends the whole at once.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    CloudStorageFull,
    ContentNotFound,
    NetworkUnavailable,
    NotAFolder,
    NotFound,
    PreconditionFailed,
    Unauthorized,
    VersionChanged,
)
from cloudfs.sync.operations import Operations, Outlived, Vanished
from cloudfs.sync.push_plan import Delete, MakeFolder, Move, Operation, PushPlan, Upload
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

_MOST_STEPS = 256  # those that pause before another try included
_FIRST_WAIT_S = 5.0
_LONGEST_WAIT_S = 3600.0
_DOUBLINGS = 10  # more than the longest wait needs

# The cloud is not as it was when the plan was made: it is looked at again before anything counts.
_SURPRISES = (AlreadyExists, ContentNotFound, NotAFolder, NotFound, PreconditionFailed, VersionChanged)
# Nothing else may come through either.
_HOPELESS = (NetworkUnavailable, Unauthorized)


@dataclass(slots=True)
class PushOutcome:
    """What came of a plan.

    failures: causes that count, each noted on its entry. ended_by: the one that ended the push, if any.
    surprised: entries whose operation met another cloud than was planned for.
    doubtful: the folders that therefore are to be listed before the next plan.
    outlived: removals that must not be, as they say. vanished: entries that the cloud lost, as no
    listing tells.
    unfinished: whether entries were left to another plan, or changed while they were sent.
    deleted: removals that were carried out.
    """

    failures: list[CloudfsError] = field(default_factory=list)
    ended_by: CloudfsError | None = None
    surprised: dict[int, CloudfsError] = field(default_factory=dict)
    doubtful: set[int] = field(default_factory=set)
    outlived: list[Outlived] = field(default_factory=list)
    vanished: list[int] = field(default_factory=list)
    unfinished: bool = False
    deleted: list[int] = field(default_factory=list)

    @property
    def needs_another(self) -> bool:
        """Whether another round may get further."""
        return self.ended_by is None and bool(
            self.surprised or self.outlived or self.vanished or self.unfinished
        )


class Push:
    """Carries out plans.

    now_ms: epoch milliseconds, for the times of next tries.
    """

    def __init__(
        self,
        tree: Tree,
        operations: Operations,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._tree = tree
        self._operations = operations
        self._now_ms = now_ms

    async def carry_out(
        self, plan: PushPlan, *, patient_with: Callable[[int], bool], may_begin: Callable[[], bool]
    ) -> PushOutcome:
        """All steps of a plan, as far as they go.

        patient_with: whether a surprise about this entry is to be looked into by another round; else it
        counts as a failure. may_begin: whether a further step may be begun; those under way are completed.
        Cancelled, what was done is recorded, and the intents tell of what may have been.
        """
        return await _Execution(self, plan, patient_with, may_begin).run()

    async def do(self, operation: Operation, may_begin: Callable[[], bool]) -> bool:
        return await self._operations.carry_out(operation, may_begin=may_begin)

    async def is_hopeless(self, error: CloudfsError) -> bool:
        """Whether what failed for this would fail for everything else at this moment: the cloud is asked."""
        if isinstance(error, NetworkUnavailable):
            return not await self._operations.is_reachable()
        return isinstance(error, Unauthorized)

    async def note(self, operation: Operation, error: CloudfsError, *, waits: bool = True) -> None:
        """Note a failure on the entry. waits: automatic syncs let it rest; not where it was not its own."""
        name = error.sync_error.name if error.sync_error is not ErrorType.NO_ERROR else "UNKNOWN_ERROR"
        try:
            tries = self._tree.node(operation.inode).tries
            next_try_ms = self._next_try(tries, error) if waits else None
            await self._tree.note_failure(operation.inode, name, error.reason, next_try_ms)
        except NotFound:
            return  # it is gone, and its failure with it

    def is_changed(self, inode: int) -> bool:
        """Whether the cloud still lacks something of an entry."""
        try:
            return self._tree.node(inode).is_changed
        except NotFound:
            return False

    def size(self, inode: int) -> int:
        """Bytes of a file; 0 for what is gone."""
        try:
            return self._tree.node(inode).size
        except NotFound:
            return 0

    def _next_try(self, tries: int, error: CloudfsError) -> int:
        wait_s = min(_FIRST_WAIT_S * 2 ** min(tries, _DOUBLINGS), _LONGEST_WAIT_S)
        return self._now_ms() + int(max(wait_s, error.retry_after or 0) * 1000)


class _Execution:
    """One plan being carried out.

    Invariant: `_open` counts the steps that have neither ended nor been given up.
    """

    def __init__(
        self,
        push: Push,
        plan: PushPlan,
        patient_with: Callable[[int], bool],
        may_begin: Callable[[], bool],
    ) -> None:
        self._push = push
        self._steps = plan.steps
        self._patient_with = patient_with
        self._may_begin = may_begin
        self._outcome = PushOutcome()
        self._send, self._receive = trio.open_memory_channel[int](math.inf)
        self._lacking = [len(step.after) for step in plan.steps]
        self._next: list[list[int]] = [[] for _ in plan.steps]
        self._given_up = [False] * len(plan.steps)
        self._open = len(plan.steps)
        self._too_large = math.inf
        self._asking = trio.Lock()  # whether the cloud answers, one for all that lost touch
        for number, step in enumerate(plan.steps):
            for before in step.after:
                self._next[before].append(number)

    async def run(self) -> PushOutcome:
        for number, lacking in enumerate(self._lacking):
            if not lacking:
                self._send.send_nowait(number)
        if self._open:
            async with trio.open_nursery() as nursery:
                for _ in range(min(_MOST_STEPS, self._open)):
                    nursery.start_soon(self._work, nursery.cancel_scope)
        return self._outcome

    async def _work(self, everything: trio.CancelScope) -> None:
        async for number in self._receive:
            done = self._may_begin() and await self._take(self._steps[number].operation)
            self._open -= 1
            for follower in self._next[number]:
                if not done:
                    self._give_up(follower)
                    continue
                self._lacking[follower] -= 1
                if not self._lacking[follower] and not self._given_up[follower]:
                    self._send.send_nowait(follower)
            if self._outcome.ended_by is not None:
                everything.cancel()
            elif not self._open:
                self._send.close()

    def _give_up(self, number: int) -> None:
        """A step that something before it kept from being taken, and all behind it."""
        waiting = [number]
        while waiting:
            number = waiting.pop()
            if not self._given_up[number]:
                self._given_up[number] = True
                self._open -= 1
                waiting += self._next[number]

    async def _take(self, operation: Operation) -> bool:
        """One step; whether it is done."""
        outcome, done = self._outcome, False
        try:
            self._check_room(operation)
            done = await self._push.do(operation, self._may_begin)
        except Outlived as outlived:
            outcome.outlived.append(outlived)
        except Vanished as vanished:
            outcome.vanished.append(vanished.inode)
        except CloudfsError as error:
            await self._met(operation, error)
        except Exception:
            log.exception("an operation on inode %d failed by a bug", operation.inode)
            await self._failed(operation, CloudfsError("a bug; the log has its traceback"))
        else:
            self._note_done(operation, done)
        return done

    def _note_done(self, operation: Operation, done: bool) -> None:
        if not done or (isinstance(operation, Upload) and self._push.is_changed(operation.inode)):
            self._outcome.unfinished = True
        if done and isinstance(operation, Delete):
            self._outcome.deleted.append(operation.inode)

    async def _met(self, operation: Operation, error: CloudfsError) -> None:
        if isinstance(error, _HOPELESS):
            await self._lost_touch(operation, error)
        elif isinstance(error, _SURPRISES) and self._patient_with(operation.inode):
            log.info("inode %d is planned anew: %s", operation.inode, error.reason)
            self._outcome.surprised[operation.inode] = error
            self._outcome.doubtful |= _folders(operation)
        else:
            await self._failed(operation, error)

    async def _lost_touch(self, operation: Operation, error: CloudfsError) -> None:
        """A connection broke, or somebody is no longer let in: is it this operation's own trouble?"""
        async with self._asking:
            if self._outcome.ended_by is not None:
                return
            if not await self._push.is_hopeless(error):
                await self._failed(operation, error)
                return
            self._outcome.ended_by = error
        await self._push.note(operation, error, waits=False)

    def _check_room(self, operation: Operation) -> None:
        """What is no smaller than a file that found the cloud full is not even sent."""
        if isinstance(operation, Upload) and self._push.size(operation.inode) >= self._too_large:
            raise CloudStorageFull("the cloud is full: a smaller file found no room either")

    async def _failed(self, operation: Operation, error: CloudfsError) -> None:
        if isinstance(error, CloudStorageFull) and isinstance(operation, Upload):
            self._too_large = min(self._too_large, self._push.size(operation.inode))
        self._outcome.failures.append(error)
        log.info("inode %d can't be sent now: %s", operation.inode, error.reason)
        await self._push.note(operation, error)


def _folders(operation: Operation) -> set[int]:
    """The folders in which the cloud may be another than was thought."""
    match operation:
        case Move(_, source, target, _):
            return {source.parent, target.parent}
        case MakeFolder(_, place) | Upload(_, place, _) | Delete(_, _, place, _):
            return {place.parent}
