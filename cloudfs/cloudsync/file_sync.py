"""When a scope's sync runs: FileSync and GallerySync of the reference, the same class over two scopes.

Invariants: at most one pass runs. What is said follows the table of `sync_run`. While held (after `stop`,
across remounts) nothing begins but by `start`, or by `begin` for somebody who waits for the one sync. The
last sync time moves on COMPLETED only.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable

import trio

from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.cloudsync.sync_run import STEPS, Happening, Outcome, Run
from cloudfs.config.settings import SyncSettings
from cloudfs.database.settings import Settings
from cloudfs.model.enums import ErrorType, EventClass, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NoNetwork
from cloudfs.model.node import Node
from cloudfs.model.progress import Event, SyncProgress
from cloudfs.sync.engine import SyncOutcome

log = logging.getLogger(__name__)

# How soon an automatic sync that could not begin looks at the conditions again, and the least time between
# the end of a sync and one that begins because the cloud answers again.
LOOK_AGAIN_S = 5.0
WATCH_EVERY_S = 2.0  # how often a running sync looks at battery and network
RETRY_FLOOR_S = 1.0  # the least time between the end of a sync and one that begins for a file's next try

_CLASSES = {Scope.FILES: EventClass.FILE_SYNC, Scope.GALLERY: EventClass.GALLERY_SYNC}
_NO_WAY = (ErrorType.NETWORK_UNAVAILABLE, ErrorType.WIFI_UNAVAILABLE)
_FAILED = (SyncState.DOWNLOAD_FAILED, SyncState.UPLOAD_FAILED)
_STOPPED = SyncProgress(SyncState.STOPPED)

Pass = Callable[[Scope, Callable[[SyncState], None]], Awaitable[SyncOutcome]]


async def _tell_nobody() -> None:
    """Nobody listens who would have to know which sync is his."""


class FileSync:
    """Starts, stops and repeats the sync of one scope, and says how it goes."""

    def __init__(
        self,
        scope: Scope,
        sync_scope: Pass,
        *,
        wind_down: Callable[[Scope], None],
        stop_pins: Callable[[Scope], None],
        changes: Callable[[Scope], Iterable[Node]],
        clear_waits: Callable[[Scope], Awaitable[None]],
        publish: Callable[[EventClass, SyncProgress], None],
        latest: Callable[[EventClass], Event | None],
        settings: Settings,
        readiness: CloudReadiness,
        refusal: Callable[[], CloudfsError | None],
        interruption: Callable[[], ErrorType],
        device_known: Callable[[], Awaitable[None]],
        times: SyncSettings,
    ) -> None:
        """sync_scope: one pass, `Engine.sync_scope`; it may be cancelled at any await.
        wind_down: lets the pass under way begin nothing more and end once its uploads are complete.
        stop_pins: ends what pins bring of the scope beside its passes.
        changes: the scope's entries that the cloud lacks a change of. clear_waits: lets those that failed
        be tried at once.
        publish: `EventLog.publish`. latest: the last event of a class that an earlier mount journaled.
        refusal: why the device lets no sync start at this moment (NoNetwork, BatteryLow), or None.
        interruption: why the device would end a running sync at this moment, or NO_ERROR.
        device_known: returns once both can say; no automatic sync begins before.
        times: `auto`, `debounce` and `interval`.
        """
        self.scope = scope
        self.event_class = _CLASSES[scope]
        self._sync_scope = sync_scope
        self._wind_down = wind_down
        self._stop_pins = stop_pins
        self._changes = changes
        self._clear_waits = clear_waits
        self._publish = publish
        self._latest = latest
        self._settings = settings
        self._readiness = readiness
        self._refusal = refusal
        self._interruption = interruption
        self._device_known = device_known
        self._times = times
        self._run = Run.IDLE
        self._progress = SyncProgress(SyncState.COMPLETED)
        self._is_held = False
        self._last_sync_time_ms = 0
        self._pass: trio.CancelScope | None = None
        self._interrupted_by = ErrorType.NO_ERROR
        self._woken = trio.Event()
        self._device_changed = trio.Event()
        # On trio's clock: when the last run ended; when local changes will have rested long enough; when
        # the first file that failed is to be tried again; when to make up for what network or power kept
        # back; when to see again whether an automatic sync may begin.
        self._ended_at = -math.inf
        self._rested_at = math.inf
        self._retry_at = math.inf
        self._recover_at = math.inf
        self._look_at = -math.inf

    @property
    def progress(self) -> SyncProgress:
        """What was said last; COMPLETED, NO_ERROR before anything was."""
        return self._progress

    @property
    def is_automatic(self) -> bool:
        """Whether syncs begin by themselves: `auto`, and not held."""
        return self._times.auto and not self._is_held

    @property
    def next_begin_ms(self) -> int | None:
        """When the next sync is due, in epoch milliseconds; None: none will begin by itself, or one runs."""
        due_in_s = self._due_at() - trio.current_time()
        if not self._times.auto or due_in_s == math.inf:
            return None
        return int((time.time() + max(due_in_s, 0.0)) * 1000)

    @property
    def is_running(self) -> bool:
        """Whether a sync is under way, or about to begin."""
        return not self._run.is_idle

    @property
    def is_held(self) -> bool:
        """Whether `stop` came after the last `start`, in this mount or an earlier one."""
        return self._is_held

    @property
    def last_sync_time_ms(self) -> int:
        """Epoch milliseconds of the last COMPLETED; 0 before the first."""
        return self._last_sync_time_ms

    @property
    def can_answer_at_once(self) -> bool:
        """Whether `start` need not ask the cloud first."""
        return self._readiness.is_ready

    async def start(self, told: Callable[[], Awaitable[None]] = _tell_nobody) -> None:
        """Ask for a sync; returns once it is accepted. In mid-run that makes one rerun.

        told: returns once who asks was told what syncs said until now: what he hears later is of this one.
        It overrides the waiting times of what failed. Raises NoNetwork, CloudNotReady (the cloud was asked
        just now), BatteryLow, in this order; LocalStorageFull, LocalIOError.
        """
        await self._accept()
        await told()
        self._is_held = False
        self._advance(Happening.START)
        await self._save_held()

    async def begin(self) -> None:
        """`start`, but for this one sync: what `stop` holds stays held. Raises what `start` raises."""
        await self._accept()
        self._advance(Happening.START)

    async def stop(self) -> None:
        """End the run under way and hold the automatic ones; an idle scope is held, and nothing is said.

        What is pinned comes no further either, until a sync takes it up. Returns once that is durable;
        STOPPED follows as soon as the pass has ended its transfers.
        """
        self._is_held = True
        self._advance(Happening.STOP)
        self._stop_pins(self.scope)
        await self._save_held()

    def end(self) -> None:
        """Who asked for a sync by `begin` waits no more: it ends, unless it would have come by itself."""
        if not self.is_automatic:
            self._advance(Happening.STOP)

    async def wait_idle(self) -> None:
        """Return once no sync is under way."""
        while not self._run.is_idle:
            await self._woken.wait()

    def local_change(self) -> None:
        """Something changed here: with `auto`, a sync begins once changes have rested for `debounce`."""
        is_first = self._rested_at == math.inf
        self._rested_at = trio.current_time() + self._times.debounce
        if is_first:  # else the one that waits for the rest looks again by itself; many come a second
            self._wake()

    def cloud_returned(self) -> None:
        """The cloud answers after a while in which it did not: with `auto`, what it kept back goes now."""
        if self._progress.state in _FAILED or self._waiting():
            self._recover_at = max(trio.current_time(), self._ended_at + LOOK_AGAIN_S)
            self._wake()

    def device_changed(self) -> None:
        """Battery or network may be others now: what that ends or lets begin does so at once."""
        self._look_at = -math.inf
        self._device_changed.set()
        self._device_changed = trio.Event()
        self._wake()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the passes until cancelled; the end of one that is cancelled so is said by the next mount."""
        self._recall()
        async with trio.open_nursery() as nursery:
            if self._times.auto:
                nursery.start_soon(self._begin_automatically)
            task_status.started()
            await self._run_passes()

    # --- what was before this mount ---

    def _recall(self) -> None:
        self._is_held = bool(self._settings.get(self._key("held")))
        self._last_sync_time_ms = int(self._settings.get(self._key("last sync time")) or 0)
        last = self._latest(self.event_class)
        if last is None or not isinstance(last.progress, SyncProgress):
            return
        self._progress = last.progress
        if not last.progress.state.is_end:  # the daemon ended in mid-run, and every run has an end
            self._say(_STOPPED)

    async def _save_held(self) -> None:
        await self._settings.set(self._key("held"), int(self._is_held))

    def _key(self, fact: str) -> str:
        return f"{fact} of {self.scope}"

    # --- the run ---

    async def _accept(self) -> None:
        """What refuses a start, in its order; then what failed need not wait any more."""
        refusal = self._refusal()
        if isinstance(refusal, NoNetwork):
            raise refusal
        await self._readiness.check()
        if refusal is not None:
            raise refusal
        await self._clear_waits(self.scope)

    def _advance(self, happening: Happening, outcome: SyncProgress = _STOPPED) -> None:
        """Take the table's step. No await: what was checked before still holds."""
        step = STEPS[self._run, happening]
        self._run = step.run
        for says in step.says:
            self._say(outcome if says is Outcome.OF_THE_PASS else SyncProgress(SyncState(says)))
        if step.run.is_stopping and self._pass is not None:
            self._pass.cancel()
        self._wake()

    def _say(self, progress: SyncProgress) -> None:
        self._progress = progress
        if progress.state is SyncState.COMPLETED:
            self._last_sync_time_ms = time.time_ns() // 1_000_000
        self._publish(self.event_class, progress)

    async def _run_passes(self) -> None:
        while True:
            while self._run.is_idle:
                await self._woken.wait()
            self._rested_at = self._retry_at = self._recover_at = math.inf
            outcome = await self._run_pass()
            self._ended_at = trio.current_time()
            self._retry_at = self._ended_at + self._wait_for_retry()
            if self._interrupted_by:  # it begins again as soon as the device lets it
                self._recover_at = self._ended_at + LOOK_AGAIN_S
            self._advance(Happening.END, outcome)
            if outcome.state is SyncState.COMPLETED:
                await self._save_last_sync_time()

    async def _save_last_sync_time(self) -> None:
        try:
            await self._settings.set(self._key("last sync time"), self._last_sync_time_ms)
        except CloudfsError as error:
            log.warning("the time of this sync of %s is forgotten at the end: %s", self.scope, error.reason)

    async def _run_pass(self) -> SyncProgress:
        """One pass to its outcome; STOPPED where `stop` cut it short."""
        outcome = _STOPPED
        self._interrupted_by = ErrorType.NO_ERROR
        with trio.CancelScope() as self._pass:
            if self._run.is_stopping:  # the stop came before the pass did
                self._pass.cancel()
            await trio.lowlevel.checkpoint()
            outcome = await self._run_watched()
        self._pass = None
        return outcome

    async def _run_watched(self) -> SyncProgress:
        """One pass to its outcome, or to the condition that ends it."""
        self._interrupted_by = self._interruption()
        outcome = _STOPPED
        if not self._interrupted_by:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch, nursery.cancel_scope)
                outcome = await self._pull_and_push()
                nursery.cancel_scope.cancel()
        if not self._interrupted_by:
            return outcome
        is_pull = self._interrupted_by in _NO_WAY and not self._run.is_pushing
        state = SyncState.DOWNLOAD_FAILED if is_pull else SyncState.UPLOAD_FAILED
        return SyncProgress(state, self._interrupted_by)

    async def _watch(self, running: trio.CancelScope) -> None:
        """Without a way to the cloud the pass ends at once, with a low battery after its uploads."""
        while True:
            cause = self._interruption()
            if cause in _NO_WAY:
                self._interrupted_by = cause
                running.cancel()
            elif cause and not self._interrupted_by:
                self._interrupted_by = cause
                self._wind_down(self.scope)
            with trio.move_on_after(WATCH_EVERY_S):
                await self._device_changed.wait()

    async def _pull_and_push(self) -> SyncProgress:
        try:
            outcome = await self._sync_scope(self.scope, self._report)
        except CloudfsError as error:
            log.warning("the sync of %s failed: %s", self.scope, error.reason)
            return SyncProgress(SyncState.DOWNLOAD_FAILED, error.sync_error)
        except Exception:
            log.exception("the sync of %s met a bug", self.scope)
            return SyncProgress(SyncState.DOWNLOAD_FAILED)
        return SyncProgress(outcome.state, outcome.error)

    def _report(self, state: SyncState) -> None:
        """What the pass says of itself; that it pulls at first is the table's to say."""
        if state is SyncState.UPLOADING:
            self._advance(Happening.PUSH)

    # --- automatic syncs ---

    async def _begin_automatically(self) -> None:
        """Begin the first sync at once, the next `interval` after the end of the last, or as changes rest."""
        await self._device_known()
        while True:
            now = trio.current_time()
            if now >= max(self._due_at(), self._look_at):
                if self._may_begin():
                    self._advance(Happening.START)
                else:
                    self._look_at = now + LOOK_AGAIN_S
            woken = self._woken
            with trio.move_on_at(max(self._due_at(), self._look_at)):
                await woken.wait()

    def _due_at(self) -> float:
        if self._is_held or not self._run.is_idle:
            return math.inf
        every = self._ended_at + self._times.interval
        return min(every, self._rested_at, self._retry_at, self._recover_at)

    def _wait_for_retry(self) -> float:
        """Seconds until the first of the files that failed is to be tried again; inf where none waits."""
        waits = [node.next_try_ms for node in self._waiting() if node.next_try_ms is not None]
        return max(min(waits) / 1000 - time.time(), RETRY_FLOOR_S) if waits else math.inf

    def _waiting(self) -> list[Node]:
        """The scope's changes that the cloud lacks; those that can't be read wait for the interval."""
        try:
            return list(self._changes(self.scope))
        except CloudfsError as error:
            log.warning("the changes of %s can't be read: %s", self.scope, error.reason)
            return []

    def _may_begin(self) -> bool:
        return (
            self._refusal() is None
            and self._readiness.is_ready
            and self._interruption() is ErrorType.NO_ERROR
        )

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()
