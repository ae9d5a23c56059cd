"""FileSync over a pass that the test steers: grammar, rerun, stop, held, automatic syncs, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from cloudfs.cloudsync.file_sync import LOOK_AGAIN_S, FileSync
from cloudfs.cloudsync.readiness import CloudReadiness
from cloudfs.config.quantities import Duration
from cloudfs.config.settings import SyncSettings
from cloudfs.database.settings import Settings, Value
from cloudfs.model.enums import ErrorType, EventClass, Scope, SyncState
from cloudfs.model.errors import BatteryLow, CloudfsError, CloudNotReady, NoNetwork, ServerError, Unauthorized
from cloudfs.model.progress import Event, SyncProgress
from cloudfs.sync.engine import SyncOutcome

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
        self.outcome: SyncOutcome | Exception = COMPLETED
        self.latest: Event | None = None
        self.refusal: CloudfsError | None = None
        self.interruption = ErrorType.NO_ERROR
        self.settings = settings or MemorySettings()
        self.root_answer: CloudfsError | None = None
        self.readiness = CloudReadiness(self._ask_root)
        self.sync = FileSync(
            Scope.FILES,
            self._pass,
            publish=self._publish,
            latest=lambda source: self.latest,
            settings=self.settings,
            readiness=self.readiness,
            refusal=lambda: self.refusal,
            interruption=lambda: self.interruption,
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

    async def _pass(self, scope: Scope, report: Callable[[SyncState], None]) -> SyncOutcome:
        self.begun_at.append(trio.current_time())
        try:
            report(SyncState.DOWNLOADING)
            await trio.sleep(self.takes_s)
            if self.uploads:
                report(SyncState.UPLOADING)
                await trio.sleep(self.takes_s)
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
