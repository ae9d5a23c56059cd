"""FileSync over a pass that the test steers: grammar, rerun, stop, held, automatic syncs, refusals."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cloudfs.cloudsync.file_sync import LOOK_AGAIN_S, RETRY_FLOOR_S, WATCH_EVERY_S, FileSync
from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.config.quantities import Duration
from cloudfs.config.settings import SyncSettings
from cloudfs.database.settings import Settings, Value
from cloudfs.model.enums import ErrorType, EventClass, Scope, SyncState
from cloudfs.model.errors import BatteryLow, CloudfsError, CloudNotReady, NoNetwork, ServerError, Unauthorized
from cloudfs.model.node import Node
from cloudfs.model.progress import Event, SyncProgress
from cloudfs.sync.engine import SyncOutcome
from tests.nodes import NEW_FILE

CHANGED = replace(NEW_FILE, name=b"changed", generation=1)
COMPLETED = SyncOutcome(SyncState.COMPLETED)
INTERVAL_S = 60.0
DEBOUNCE_S = 5.0


class MemorySettings(Settings):
    def __init__(self) -> None:
        self.values: dict[str, Value] = {}

    def get(self, key: str) -> Value | None:
        return self.values.get(key)

    async def set(self, key: str, value: Value | None) -> None:
        await trio.lowlevel.checkpoint()
        assert value is not None
        self.values[key] = value


class Bench:
    """One FileSync with all around it in the test's hands."""

    def __init__(self, *, auto: bool, settings: MemorySettings | None = None) -> None:
        self.said: list[SyncProgress] = []
        self.begun_at: list[float] = []
        self.cancelled = 0
        self.takes_s = 1.0
        self.uploads = False
        self.upload_takes_s = 1.0
        self.changes: list[Node] = []
        self.cleared = 0
        self.winding = trio.Event()
        self.pins_stopped: list[Scope] = []
        self.outcome: SyncOutcome | Exception = COMPLETED
        self.latest: Event | None = None
        self.refusal: CloudfsError | None = None
        self.interruption = ErrorType.NO_ERROR
        self.device_known = trio.Event()
        self.device_known.set()
        self.settings = settings or MemorySettings()
        self.root_answer: CloudfsError | None = None
        self.readiness = CloudReadiness(self._ask_root)
        self.sync = FileSync(
            Scope.FILES,
            self._pass,
            wind_down=lambda scope: self.winding.set(),
            stop_pins=self.pins_stopped.append,
            changes=lambda scope: self.changes,
            clear_waits=self._clear_waits,
            publish=self._publish,
            latest=lambda source: self.latest,
            settings=self.settings,
            readiness=self.readiness,
            refusal=lambda: self.refusal,
            interruption=lambda: self.interruption,
            device_known=lambda: self.device_known.wait(),
            times=SyncSettings(auto=auto, debounce=Duration(DEBOUNCE_S), interval=Duration(INTERVAL_S)),
        )

    @property
    def states(self) -> list[str]:
        return [progress.state.name for progress in self.said]

    def _publish(self, source: EventClass, progress: SyncProgress) -> None:
        assert source is EventClass.FILE_SYNC
        self.said.append(progress)

    async def _ask_root(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.root_answer is not None:
            raise self.root_answer

    async def _clear_waits(self, scope: Scope) -> None:
        await trio.lowlevel.checkpoint()
        self.cleared += 1

    async def _pass(self, scope: Scope, report: Callable[[SyncState], None]) -> SyncOutcome:
        self.begun_at.append(trio.current_time())
        try:
            report(SyncState.DOWNLOADING)
            with trio.move_on_after(self.takes_s):
                await self.winding.wait()
            if self.uploads:
                report(SyncState.UPLOADING)
                await trio.sleep(self.upload_takes_s)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
async def bench(nursery: trio.Nursery) -> Bench:
    bench = Bench(auto=False)
    await nursery.start(bench.sync.run)
    return bench


async def settle() -> None:
    """Long enough for every pass of these tests, shorter than an interval."""
    await trio.sleep(20)


async def test_a_sync_goes_down_then_up_then_ends(autojump_clock: MockClock, bench: Bench) -> None:
    assert bench.sync.progress == SyncProgress(SyncState.COMPLETED)
    bench.uploads = True
    await bench.sync.start()
    await settle()
    assert bench.states == ["DOWNLOADING", "UPLOADING", "COMPLETED"]


async def test_no_upload_without_work(autojump_clock: MockClock, bench: Bench) -> None:
    await bench.sync.start()
    await settle()
    assert bench.states == ["DOWNLOADING", "COMPLETED"]


async def test_starts_in_mid_run_make_one_rerun(autojump_clock: MockClock, bench: Bench) -> None:
    bench.uploads = True
    await bench.sync.start()
    await trio.sleep(0.5)
    for _ in range(5):
        await bench.sync.start()
    await settle()
    assert bench.states == ["DOWNLOADING", "UPLOADING", "DOWNLOADING", "UPLOADING", "COMPLETED"]
    assert len(bench.begun_at) == 2


async def test_stop_ends_the_pass_at_once_and_drops_the_rerun(
    autojump_clock: MockClock, bench: Bench
) -> None:
    bench.takes_s = 10
    await bench.sync.start()
    await bench.sync.start()
    await trio.sleep(1)
    await bench.sync.stop()
    await wait_all_tasks_blocked()
    assert bench.states == ["DOWNLOADING", "STOPPED"]
    await settle()
    assert bench.cancelled == len(bench.begun_at) == 1


async def test_stop_right_after_start(autojump_clock: MockClock, bench: Bench) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.sync.start)
        nursery.start_soon(bench.sync.stop)
    await settle()
    assert bench.states in (["DOWNLOADING", "STOPPED"], ["DOWNLOADING", "COMPLETED"])


async def test_start_after_stop_is_a_sync_of_its_own(autojump_clock: MockClock, bench: Bench) -> None:
    await bench.sync.start()
    await trio.sleep(0.5)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.sync.stop)
        await wait_all_tasks_blocked()
        nursery.start_soon(bench.sync.start)
    await settle()
    assert bench.states == ["DOWNLOADING", "STOPPED", "DOWNLOADING", "COMPLETED"]


async def test_stopping_an_idle_scope_says_nothing(autojump_clock: MockClock, bench: Bench) -> None:
    await bench.sync.stop()
    await settle()
    assert bench.said == []
    assert bench.sync.is_held
    assert bench.pins_stopped == [Scope.FILES]  # which come without a sync as well
    await bench.sync.start()
    assert not bench.sync.is_held


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (
            SyncOutcome(SyncState.DOWNLOAD_FAILED, ErrorType.NETWORK_UNAVAILABLE),
            SyncProgress(SyncState.DOWNLOAD_FAILED, ErrorType.NETWORK_UNAVAILABLE),
        ),
        (
            SyncOutcome(SyncState.UPLOAD_FAILED, ErrorType.CLOUD_STORAGE_FULL),
            SyncProgress(SyncState.UPLOAD_FAILED, ErrorType.CLOUD_STORAGE_FULL),
        ),
        (ServerError("broken"), SyncProgress(SyncState.DOWNLOAD_FAILED)),
        (ZeroDivisionError("a bug"), SyncProgress(SyncState.DOWNLOAD_FAILED)),
    ],
)
async def test_failures(
    autojump_clock: MockClock, bench: Bench, outcome: SyncOutcome | Exception, end: SyncProgress
) -> None:
    bench.outcome = outcome
    await bench.sync.start()
    await settle()
    assert bench.said == [SyncProgress(SyncState.DOWNLOADING), end]
    assert bench.sync.progress == end
    assert bench.sync.last_sync_time_ms == 0
    bench.outcome = COMPLETED
    await bench.sync.start()
    await settle()
    assert bench.sync.progress == SyncProgress(SyncState.COMPLETED)


async def test_the_last_sync_time_moves_on_completed_only(autojump_clock: MockClock, bench: Bench) -> None:
    assert bench.sync.last_sync_time_ms == 0
    await bench.sync.start()
    await settle()
    first = bench.sync.last_sync_time_ms
    assert first > 1_600_000_000_000
    bench.outcome = SyncOutcome(SyncState.DOWNLOAD_FAILED)
    await bench.sync.start()
    await settle()
    await bench.sync.start()
    await bench.sync.stop()
    await settle()
    assert bench.sync.last_sync_time_ms == first
    assert bench.settings.values["last sync time of files"] == first


@pytest.mark.parametrize(
    ("refusal", "root", "code"),
    [
        (NoNetwork("none"), Unauthorized("401", status=401), 22400002),
        (BatteryLow("14 %"), Unauthorized("401", status=401), 22400001),
        (BatteryLow("14 %"), None, 22400003),
        (None, Unauthorized("401", status=401), 22400001),
    ],
)
async def test_refusals_in_order(
    autojump_clock: MockClock,
    bench: Bench,
    refusal: CloudfsError | None,
    root: Unauthorized | None,
    code: int,
) -> None:
    bench.refusal, bench.root_answer = refusal, root
    if root is not None:
        bench.readiness.unauthorized(root)
    with pytest.raises(CloudfsError) as error:
        await bench.sync.start()
    assert error.value.code == code
    await settle()
    assert bench.said == []


async def test_a_start_is_accepted_once_the_root_answers(autojump_clock: MockClock, bench: Bench) -> None:
    bench.readiness.unauthorized(Unauthorized("401", status=401))
    await bench.sync.start()
    await settle()
    assert bench.states == ["DOWNLOADING", "COMPLETED"]


async def test_wifi_lacking_refuses_no_start_but_ends_the_sync(
    autojump_clock: MockClock, bench: Bench
) -> None:
    bench.interruption = ErrorType.WIFI_UNAVAILABLE
    await bench.sync.start()
    await settle()
    assert bench.said[-1] == SyncProgress(SyncState.DOWNLOAD_FAILED, ErrorType.WIFI_UNAVAILABLE)
    assert bench.begun_at == []


async def test_a_start_overrides_the_waiting_times(autojump_clock: MockClock, bench: Bench) -> None:
    await bench.sync.start()
    assert bench.cleared == 1
    bench.refusal = BatteryLow("9 %")
    with pytest.raises(BatteryLow):
        await bench.sync.start()
    assert bench.cleared == 1


@pytest.mark.parametrize(
    ("cause", "uploads", "end"),
    [
        (ErrorType.NETWORK_UNAVAILABLE, False, SyncState.DOWNLOAD_FAILED),
        (ErrorType.WIFI_UNAVAILABLE, True, SyncState.UPLOAD_FAILED),
    ],
)
async def test_a_network_that_goes_ends_the_sync_at_once(
    autojump_clock: MockClock, bench: Bench, cause: ErrorType, uploads: bool, end: SyncState
) -> None:
    bench.uploads, bench.upload_takes_s = uploads, 1000
    bench.takes_s = 1 if uploads else 1000
    await bench.sync.start()
    await trio.sleep(5)
    bench.interruption = cause
    await trio.sleep(WATCH_EVERY_S + 0.1)
    assert bench.said[-1] == SyncProgress(end, cause)
    assert bench.cancelled == 1


async def test_a_low_battery_lets_the_uploads_under_way_complete(
    autojump_clock: MockClock, bench: Bench
) -> None:
    bench.uploads, bench.upload_takes_s = True, 30
    await bench.sync.start()
    await trio.sleep(5)
    bench.interruption = ErrorType.BATTERY_LEVEL_LOW
    await trio.sleep(5)
    assert bench.winding.is_set()
    bench.interruption = ErrorType.BATTERY_LEVEL_WARNING  # what came first is told
    assert bench.states == ["DOWNLOADING", "UPLOADING"]
    await trio.sleep(30)
    assert bench.said[-1] == SyncProgress(SyncState.UPLOAD_FAILED, ErrorType.BATTERY_LEVEL_LOW)
    assert bench.cancelled == 0


async def test_a_low_battery_ends_a_rerun_before_it_begins(autojump_clock: MockClock, bench: Bench) -> None:
    bench.takes_s = WATCH_EVERY_S / 4
    await bench.sync.start()
    await wait_all_tasks_blocked()
    await bench.sync.start()
    bench.interruption = ErrorType.BATTERY_LEVEL_WARNING
    await settle()
    assert bench.said[-1] == SyncProgress(SyncState.UPLOAD_FAILED, ErrorType.BATTERY_LEVEL_WARNING)
    assert len(bench.begun_at) == 1


async def test_one_sync_for_who_waits_leaves_the_scope_held(autojump_clock: MockClock, bench: Bench) -> None:
    await bench.sync.stop()
    await bench.sync.begin()
    assert bench.sync.is_running
    await bench.sync.wait_idle()
    assert bench.states == ["DOWNLOADING", "COMPLETED"]
    assert bench.sync.is_held
    assert bench.settings.values["held of files"] == 1
    await bench.sync.begin()
    await trio.sleep(0.5)
    bench.sync.end()
    await bench.sync.wait_idle()
    assert bench.states[2:] == ["DOWNLOADING", "STOPPED"]
    assert bench.sync.is_held


async def test_what_an_earlier_mount_left(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    settings = MemorySettings()
    settings.values = {"held of files": 1, "last sync time of files": 1234}
    bench = Bench(auto=True, settings=settings)
    bench.latest = Event(7, 0, EventClass.FILE_SYNC, SyncProgress(SyncState.DOWNLOADING))
    await nursery.start(bench.sync.run)
    await trio.sleep(10 * INTERVAL_S)
    assert bench.said == [SyncProgress(SyncState.STOPPED)]  # every run has an end
    assert bench.begun_at == []  # held
    assert bench.sync.is_held
    assert bench.sync.last_sync_time_ms == 1234
    await bench.sync.start()
    await settle()
    assert settings.values["held of files"] == 0
    assert bench.sync.last_sync_time_ms > 1234


async def test_an_end_said_by_an_earlier_mount_is_the_current_one(nursery: trio.Nursery) -> None:
    bench = Bench(auto=False)
    failed = SyncProgress(SyncState.DOWNLOAD_FAILED, ErrorType.LOCAL_STORAGE_FULL)
    bench.latest = Event(7, 0, EventClass.FILE_SYNC, failed)
    await nursery.start(bench.sync.run)
    assert bench.sync.progress == failed
    assert bench.said == []


class TestAutomatic:
    @pytest.fixture
    async def begin(self, nursery: trio.Nursery) -> Callable[..., Any]:
        async def begin(*, auto: bool = True, **facts: Any) -> tuple[Bench, float]:
            bench = Bench(auto=auto)
            for name, value in facts.items():
                setattr(bench, name, value)
            await nursery.start(bench.sync.run)
            return bench, trio.current_time()

        return begin

    async def test_first_at_once_then_every_interval_after_the_end(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin(takes_s=7)
        await trio.sleep(3 * INTERVAL_S)
        assert [at - begun for at in bench.begun_at] == [0, 7 + INTERVAL_S, 2 * (7 + INTERVAL_S)]

    async def test_none_without_auto(self, autojump_clock: MockClock, begin: Callable[..., Any]) -> None:
        bench, _ = await begin(auto=False)
        bench.sync.local_change()
        await trio.sleep(10 * INTERVAL_S)
        assert bench.begun_at == []

    async def test_none_while_held(self, autojump_clock: MockClock, begin: Callable[..., Any]) -> None:
        bench, begun = await begin()
        await settle()
        await bench.sync.stop()
        bench.sync.local_change()
        await trio.sleep(10 * INTERVAL_S)
        assert [at - begun for at in bench.begun_at] == [0]

    async def test_none_while_a_start_would_be_refused_and_soon_after(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin(refusal=BatteryLow("9 %"))
        await trio.sleep(100)
        assert bench.said == []
        bench.refusal, bench.interruption = None, ErrorType.WIFI_UNAVAILABLE
        await trio.sleep(100)
        bench.interruption = ErrorType.NO_ERROR
        bench.readiness.unauthorized(Unauthorized("401", status=401))
        await trio.sleep(100)
        bench.root_answer = Unauthorized("401", status=401)
        with pytest.raises(CloudNotReady):
            await bench.sync.start()
        assert bench.said == []
        bench.readiness.ready()
        await trio.sleep(LOOK_AGAIN_S + 1)
        assert len(bench.begun_at) == 1
        assert bench.begun_at[0] - begun >= 300

    @pytest.mark.parametrize("cause", [ErrorType.NETWORK_UNAVAILABLE, ErrorType.BATTERY_LEVEL_LOW])
    async def test_what_a_condition_ended_begins_again_once_it_has_passed(
        self, autojump_clock: MockClock, begin: Callable[..., Any], cause: ErrorType
    ) -> None:
        bench, _ = await begin(takes_s=10)
        await trio.sleep(1)
        bench.interruption = cause
        await trio.sleep(INTERVAL_S / 2)
        assert bench.said[-1].error is cause
        assert len(bench.begun_at) == 1
        bench.interruption = ErrorType.NO_ERROR
        await trio.sleep(LOOK_AGAIN_S + 1)
        assert len(bench.begun_at) == 2
        await settle()
        assert bench.said[-1].state is SyncState.COMPLETED

    async def test_none_before_the_device_is_known(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin(device_known=trio.Event(), takes_s=0)
        await trio.sleep(1)
        assert bench.begun_at == []
        await bench.sync.start()  # somebody's wish waits for nothing
        await trio.sleep(1)
        bench.device_known.set()
        await settle()
        assert [at - begun for at in bench.begun_at] == [1]
        await trio.sleep(INTERVAL_S)
        assert [at - begun for at in bench.begun_at] == [1, 1 + INTERVAL_S]

    async def test_none_begins_again_where_none_begins_by_itself(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        for is_auto in (False, True):
            bench, _ = await begin(auto=is_auto, takes_s=10)
            if not is_auto:
                await bench.sync.start()
            await trio.sleep(1)
            bench.interruption = ErrorType.BATTERY_LEVEL_LOW
            await settle()
            assert bench.said[-1].error is ErrorType.BATTERY_LEVEL_LOW
            if is_auto:
                await bench.sync.stop()
            bench.interruption = ErrorType.NO_ERROR
            bench.sync.device_changed()
            await trio.sleep(10 * INTERVAL_S)
            assert len(bench.begun_at) == 1

    async def test_news_of_the_device_count_at_once(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin(takes_s=100, interruption=ErrorType.WIFI_UNAVAILABLE)
        await trio.sleep(LOOK_AGAIN_S + 1)
        bench.interruption = ErrorType.NO_ERROR
        bench.sync.device_changed()
        await trio.sleep(0.5)
        assert [at - begun for at in bench.begun_at] == [LOOK_AGAIN_S + 1]
        bench.interruption = ErrorType.WIFI_UNAVAILABLE
        bench.sync.device_changed()
        await wait_all_tasks_blocked()
        assert bench.said[-1] == SyncProgress(SyncState.DOWNLOAD_FAILED, ErrorType.WIFI_UNAVAILABLE)

    async def test_a_local_change_starts_one_once_changes_rest(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin()
        await settle()
        for _ in range(3):
            bench.sync.local_change()
            await trio.sleep(DEBOUNCE_S - 1)
        await settle()
        assert [at - begun for at in bench.begun_at] == [0, 20 + 2 * (DEBOUNCE_S - 1) + DEBOUNCE_S]

    async def test_a_change_in_mid_run_is_synced_after_it(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, begun = await begin(takes_s=10)
        await trio.sleep(1)
        bench.sync.local_change()
        await settle()
        assert [at - begun for at in bench.begun_at] == [0, 10]

    async def test_who_waits_no_more_does_not_end_what_comes_by_itself(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        bench, _ = await begin()
        await wait_all_tasks_blocked()
        assert bench.sync.is_automatic
        bench.sync.end()
        await settle()
        assert bench.states == ["DOWNLOADING", "COMPLETED"]

    async def test_the_first_next_try_begins_one(
        self, autojump_clock: MockClock, begin: Callable[..., Any]
    ) -> None:
        def waits(seconds: float) -> Node:
            return replace(CHANGED, tries=1, next_try_ms=round((time.time() + seconds) * 1000))

        bench, begun = await begin(takes_s=0, changes=[waits(40), CHANGED, waits(20)])
        await trio.sleep(21)
        assert [at - begun for at in bench.begun_at] == pytest.approx([0, 20], abs=1)
        bench.changes = [waits(-5)]  # overdue, and failing again and again: no busy loop
        await bench.sync.start()
        before = len(bench.begun_at)
        await trio.sleep(10 * RETRY_FLOOR_S)
        assert len(bench.begun_at) - before in (10, 11)
        bench.changes = [waits(1000)]
        await trio.sleep(2 * RETRY_FLOOR_S)
        before = len(bench.begun_at)
        await trio.sleep(INTERVAL_S - 2)
        assert len(bench.begun_at) == before

    @pytest.mark.parametrize(
        ("outcome", "changes", "recovers"),
        [
            (SyncOutcome(SyncState.DOWNLOAD_FAILED, ErrorType.NETWORK_UNAVAILABLE), [], True),
            (COMPLETED, [CHANGED], True),
            (COMPLETED, [], False),
        ],
    )
    async def test_one_begins_when_the_cloud_returns(
        self,
        autojump_clock: MockClock,
        begin: Callable[..., Any],
        outcome: SyncOutcome,
        changes: list[Node],
        recovers: bool,
    ) -> None:
        bench, begun = await begin(takes_s=0, outcome=outcome, changes=changes)
        await trio.sleep(20)
        bench.sync.cloud_returned()
        await wait_all_tasks_blocked()
        assert [at - begun for at in bench.begun_at] == ([0, 20] if recovers else [0])
        bench.sync.cloud_returned()  # a connection that comes and goes starts no storm
        await trio.sleep(LOOK_AGAIN_S - 1)
        assert len(bench.begun_at) == (2 if recovers else 1)
        await trio.sleep(2)
        assert len(bench.begun_at) == (3 if recovers else 1)
