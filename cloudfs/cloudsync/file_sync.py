"""When a scope's sync runs: FileSync and GallerySync of the reference, the same class over two scopes.

Invariants: at most one pass runs. What is said follows the table of `sync_run`. While held (after `stop`,
across remounts) nothing begins but by `start`. The last sync time moves on COMPLETED only.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable

import trio

from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.cloudsync.sync_run import STEPS, Happening, Outcome, Run
from cloudfs.config.settings import SyncSettings
from cloudfs.database.settings import Settings
from cloudfs.model.enums import ErrorType, EventClass, Scope, SyncState
from cloudfs.model.errors import CloudfsError, NoNetwork
from cloudfs.model.progress import Event, SyncProgress
from cloudfs.sync.engine import SyncOutcome

log = logging.getLogger(__name__)

# How soon an automatic sync that could not begin looks at the conditions again.
LOOK_AGAIN_S = 5.0

_CLASSES = {Scope.FILES: EventClass.FILE_SYNC, Scope.GALLERY: EventClass.GALLERY_SYNC}
_NO_WAY = (ErrorType.NETWORK_UNAVAILABLE, ErrorType.WIFI_UNAVAILABLE)
_STOPPED = SyncProgress(SyncState.STOPPED)

Pass = Callable[[Scope, Callable[[SyncState], None]], Awaitable[SyncOutcome]]


class FileSync:
    """Starts, stops and repeats the sync of one scope, and says how it goes."""

    def __init__(
        self,
        scope: Scope,
        sync_scope: Pass,
        *,
        publish: Callable[[EventClass, SyncProgress], None],
        latest: Callable[[EventClass], Event | None],
        settings: Settings,
        readiness: CloudReadiness,
        refusal: Callable[[], CloudfsError | None],
        interruption: Callable[[], ErrorType],
        times: SyncSettings,
    ) -> None:
        """sync_scope: one pass, `Engine.sync_scope`; it may be cancelled at any await.
        publish: `EventLog.publish`. latest: the last event of a class that an earlier mount journaled.
        refusal: why the device lets no sync start at this moment (NoNetwork, BatteryLow), or None.
        interruption: why the device would end a running sync at this moment, or NO_ERROR.
        times: `auto`, `debounce` and `interval`.
        """
        self.scope = scope
        self.event_class = _CLASSES[scope]
        self._sync_scope = sync_scope
        self._publish = publish
        self._latest = latest
        self._settings = settings
        self._readiness = readiness
        self._refusal = refusal
        self._interruption = interruption
        self._times = times
        self._run = Run.IDLE
        self._progress = SyncProgress(SyncState.COMPLETED)
        self._is_held = False
        self._last_sync_time_ms = 0
        self._pass: trio.CancelScope | None = None
        self._woken = trio.Event()
        # On trio's clock: when the last run ended, and when local changes will have rested long enough.
        self._ended_at = -math.inf
        self._rested_at = math.inf

    @property
    def progress(self) -> SyncProgress:
        """What was said last; COMPLETED, NO_ERROR before anything was."""
        return self._progress

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

    async def start(self) -> None:
        """Ask for a sync; returns once it is accepted. In mid-run that makes one rerun.

        Raises NoNetwork, CloudNotReady (the cloud was asked just now), BatteryLow, in this order.
        """
        refusal = self._refusal()
        if isinstance(refusal, NoNetwork):
            raise refusal
        await self._readiness.check()
        if refusal is not None:
            raise refusal
        self._is_held = False
        self._advance(Happening.START)
        await self._save_held()

    async def stop(self) -> None:
        """End the run under way and hold the automatic ones; an idle scope is held, and nothing is said.

        Returns once that is durable; STOPPED follows as soon as the pass has ended its transfers.
        """
        self._is_held = True
        self._advance(Happening.STOP)
        await self._save_held()

    def local_change(self) -> None:
        """Something changed here: with `auto`, a sync begins once changes have rested for `debounce`."""
        self._rested_at = trio.current_time() + self._times.debounce
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
            self._rested_at = math.inf
            outcome = await self._run_pass()
            self._ended_at = trio.current_time()
            self._advance(Happening.END, outcome)
            if outcome.state is SyncState.COMPLETED:
                await self._settings.set(self._key("last sync time"), self._last_sync_time_ms)

    async def _run_pass(self) -> SyncProgress:
        """One pass to its outcome; STOPPED where `stop` cut it short."""
        outcome = _STOPPED
        with trio.CancelScope() as self._pass:
            if self._run.is_stopping:  # the stop came before the pass did
                self._pass.cancel()
            await trio.lowlevel.checkpoint()
            outcome = await self._pull_and_push()
        self._pass = None
        return outcome

    async def _pull_and_push(self) -> SyncProgress:
        cause = self._interruption()
        if cause in _NO_WAY:
            return SyncProgress(SyncState.DOWNLOAD_FAILED, cause)
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
        look_at = -math.inf
        while True:
            now = trio.current_time()
            if now >= max(self._due_at(), look_at):
                if self._may_begin():
                    self._advance(Happening.START)
                else:
                    look_at = now + LOOK_AGAIN_S
            woken = self._woken
            with trio.move_on_at(max(self._due_at(), look_at)):
                await woken.wait()

    def _due_at(self) -> float:
        if self._is_held or not self._run.is_idle:
            return math.inf
        return min(self._ended_at + self._times.interval, self._rested_at)

    def _may_begin(self) -> bool:
        return (
            self._refusal() is None
            and self._readiness.is_ready
            and self._interruption() is ErrorType.NO_ERROR
        )

    def _wake(self) -> None:
        self._woken.set()
        self._woken = trio.Event()
