"""The event log: numbers without gaps, thinning, slow readers, replay that goes over into live."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs import events as module
from cloudfs.database.bridge import Database
from cloudfs.database.journal import Journal
from cloudfs.events import EventLog, EventSubscription, Skipped, Topic
from cloudfs.model.enums import DownloadErrorType, ErrorType, EventClass, State, SyncState
from cloudfs.model.errors import LocalStorageFull
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress

CACHE = EventClass.CLOUD_FILE_CACHE
SYNC = EventClass.FILE_SYNC


class MemoryJournal:
    """A journal in a list; `broken` makes it refuse."""

    def __init__(self, kept: int = 100_000) -> None:
        self.events: list[Event] = []
        self.kept = kept
        self.broken = False

    def last_seq(self) -> int:
        return self.events[-1].seq if self.events else 0

    def load(self, after: int, limit: int) -> Sequence[Event]:
        return [event for event in self.events if event.seq > after][:limit]

    def latest(self, source: EventClass) -> Event | None:
        return next((event for event in reversed(self.events) if event.source is source), None)

    async def append(self, events: Sequence[Event]) -> None:
        await trio.lowlevel.checkpoint()
        if self.broken:
            raise LocalStorageFull("full")
        self.events = [*self.events, *events][-self.kept :]


def running(processed: int, uri: str = "file://a") -> DownloadProgress:
    return DownloadProgress(State.RUNNING, processed, 100, uri)


def ended(uri: str = "file://a") -> DownloadProgress:
    return DownloadProgress(State.COMPLETED, 100, 100, uri)


async def start(log: EventLog, nursery: trio.Nursery) -> EventLog:
    await nursery.start(lambda task_status: log.run(task_status=task_status))
    return log


async def take(reader: EventSubscription, count: int) -> list[Event | Skipped]:
    return [await anext(reader) for _ in range(count)]


def seqs(items: Sequence[Event | Skipped]) -> list[int | tuple[int, int]]:
    return [(item.first, item.last) if isinstance(item, Skipped) else item.seq for item in items]


def only_events(items: Sequence[Event | Skipped]) -> list[Event]:
    assert all(isinstance(item, Event) for item in items)
    return [item for item in items if isinstance(item, Event)]


async def assert_nothing_more(reader: EventSubscription) -> None:
    with trio.move_on_after(0.5) as scope:
        await anext(reader)
    assert scope.cancelled_caught


async def test_a_topic_hands_every_item_to_every_subscriber_until_it_leaves() -> None:
    topic = Topic[int]()
    topic.publish(0)
    with topic.subscribe() as first:
        topic.publish(1)
        with topic.subscribe() as second:
            topic.publish(2)
        topic.publish(3)
        assert [await first.receive() for _ in range(3)] == [1, 2, 3]
        with pytest.raises(trio.ClosedResourceError):
            await second.receive()


async def test_events_are_committed_before_anyone_sees_them(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    journal = MemoryJournal()
    log = await start(EventLog(journal, now_ms=lambda: 7), nursery)
    reader = log.subscribe()
    log.publish(SYNC, SyncProgress(SyncState.DOWNLOADING))
    event = await anext(reader)
    assert event == Event(1, 7, SYNC, SyncProgress(SyncState.DOWNLOADING))
    assert journal.events == [event]

    journal.broken = True
    log.publish(SYNC, SyncProgress(SyncState.COMPLETED))
    await assert_nothing_more(reader)
    assert log.latest(SYNC) == event
    journal.broken = False
    assert seqs([await anext(reader)]) == [2], "it was tried again, under its number"
    assert log.latest(SYNC) == journal.events[1]


async def test_numbers_go_on_after_a_restart_and_pending_events_are_not_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    journal = MemoryJournal()
    for _ in range(3):
        async with trio.open_nursery() as nursery:
            log = await start(EventLog(journal), nursery)
            log.publish(CACHE, running(1), 5)
            log.publish(CACHE, running(2), 5)
            log.publish(CACHE, ended(), 5)
            nursery.cancel_scope.cancel()
    assert [event.seq for event in journal.events] == [1, 2, 3, 4, 5, 6]
    assert [event.progress.state for event in journal.events] == [State.RUNNING, State.COMPLETED] * 3


async def test_running_is_thinned_to_one_a_file_in_100_ms_and_the_latest_comes(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    log = await start(EventLog(MemoryJournal()), nursery)
    reader = log.subscribe()
    for processed in range(50):
        log.publish(CACHE, running(processed), 5)
        log.publish(CACHE, running(processed, "file://b"), 6)
        await trio.sleep(0.01)
    log.publish(CACHE, ended(), 5)
    await trio.sleep(1)
    items = only_events(await take(reader, log.last_seq))
    assert seqs(items) == list(range(1, len(items) + 1))
    of_file = [item.progress for item in items if item.inode == 5]
    assert 6 <= len(of_file) <= 8
    assert of_file[-1] == ended()
    processed_b = [
        p.processed for e in items if isinstance(p := e.progress, DownloadProgress) and e.inode == 6
    ]
    assert processed_b == sorted(processed_b)
    assert processed_b[-1] == 49, "the last one held must go out though nothing follows"


async def test_an_end_drops_the_running_that_waits_and_a_new_transfer_starts_afresh(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    log = await start(EventLog(MemoryJournal()), nursery)
    reader = log.subscribe()
    for progress in (running(10), running(20), ended(), running(5), ended()):
        log.publish(CACHE, progress, 5)
    items = only_events(await take(reader, 4))
    assert [item.progress for item in items] == [running(10), ended(), running(5), ended()]
    await assert_nothing_more(reader)


async def test_processed_never_falls_within_a_transfer(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    log = await start(EventLog(MemoryJournal()), nursery)
    reader = log.subscribe()
    for processed in (30, 10, 40):
        log.publish(CACHE, running(processed), 5)
        await trio.sleep(0.2)
    log.publish(CACHE, replace(running(20), state=State.STOPPED), 5)
    shown = [event.progress for event in only_events(await take(reader, 4))]
    assert shown == [running(30), running(30), running(40), replace(running(40), state=State.STOPPED)]
    log.publish(CACHE, replace(running(20), state=State.STOPPED), 5)
    [another] = only_events(await take(reader, 1))
    assert another.progress == replace(running(20), state=State.STOPPED), "of another transfer"


async def test_since_replays_and_goes_on_live_without_gap_or_double(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 8)
    monkeypatch.setattr(module, "_PAGE", 5)
    log = await start(EventLog(MemoryJournal()), nursery)

    async def publish(count: int) -> None:
        for number in range(count):
            log.publish(CACHE, ended(str(number)), number)
            await trio.sleep(0.001)

    await publish(40)
    reader = log.subscribe(since=10)
    nursery.start_soon(publish, 60)
    assert seqs(await take(reader, 90)) == list(range(11, 101))
    await assert_nothing_more(reader)
    assert seqs(await take(log.subscribe(since=0), 100)) == list(range(1, 101))
    await assert_nothing_more(log.subscribe(since=1_000_000))


async def test_a_slow_live_reader_loses_running_events_but_no_end(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 8)
    monkeypatch.setattr(module, "_PAGE", 16)
    log = await start(EventLog(MemoryJournal()), nursery)
    slow = log.subscribe()
    log.publish(SYNC, SyncProgress(SyncState.DOWNLOADING))
    assert seqs(await take(slow, 1)) == [1]
    for number in range(30):
        log.publish(CACHE, running(1, str(number)), number)
        log.publish(CACHE, ended(str(number)), number)
    log.publish(SYNC, SyncProgress(SyncState.UPLOADING))
    await trio.sleep(1)
    items: list[Event | Skipped] = []
    while not items or items[-1] != log.latest(SYNC):
        items.append(await anext(slow))
    covered = [
        seq
        for item in items
        for seq in (range(item.first, item.last + 1) if isinstance(item, Skipped) else [item.seq])
    ]
    assert covered == list(range(2, log.last_seq + 1)), "neither gap nor double"
    ends = [e for e in items if isinstance(e, Event) and e.progress.state is State.COMPLETED]
    assert len(ends) == 30
    assert any(isinstance(item, Skipped) for item in items)
    log.publish(SYNC, SyncProgress(SyncState.COMPLETED))
    assert seqs([await anext(slow)]) == [log.last_seq]


async def test_a_replay_is_whole_but_once_caught_up_its_reader_is_a_live_one(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 8)
    log = await start(EventLog(MemoryJournal()), nursery)

    async def publish(first: int) -> None:
        for number in range(first, first + 20):
            log.publish(CACHE, running(1, str(number)), number)
            log.publish(CACHE, ended(str(number)), number)
        await trio.sleep(1)

    await publish(0)
    reader = log.subscribe(since=0)
    assert seqs(await take(reader, 40)) == list(range(1, 41))
    await assert_nothing_more(reader)
    await publish(20)
    assert seqs(await take(reader, 4)) == [(41, 41), 42, (43, 43), 44]


async def test_what_the_journal_no_longer_has_is_told_as_skipped(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RECENT", 4)
    log = await start(EventLog(MemoryJournal(kept=10)), nursery)
    for number in range(30):
        log.publish(CACHE, ended(str(number)), number)
        await trio.sleep(0.001)
    assert seqs(await take(log.subscribe(since=0), 11)) == [(1, 20), *range(21, 31)]
    assert seqs(await take(log.subscribe(since=25), 5)) == [26, 27, 28, 29, 30]


async def test_a_reader_that_is_cancelled_while_it_waits_loses_nothing(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    log = await start(EventLog(MemoryJournal()), nursery)
    reader = log.subscribe()
    await assert_nothing_more(reader)
    log.publish(CACHE, ended(), 5)
    await trio.sleep(0.1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await anext(reader)
    assert seqs([await anext(reader)]) == [1]


@asynccontextmanager
async def log_over(path: Path) -> AsyncIterator[EventLog]:
    async with trio.open_nursery() as nursery:
        database = Database(path)
        await nursery.start(lambda task_status: database.run(task_status=task_status))
        async with trio.open_nursery() as inner:
            yield await start(EventLog(Journal(database, kept=5)), inner)
            inner.cancel_scope.cancel()
        nursery.cancel_scope.cancel()


async def test_events_come_back_from_the_real_journal_as_they_were(tmp_path: Path) -> None:
    last = SyncProgress(SyncState.DOWNLOAD_FAILED, ErrorType.LOCAL_STORAGE_FULL)
    error = DownloadErrorType.FREQUENT_USER_REQUESTS
    failed = DownloadProgress(State.FAILED, 3, 9, "file://x/\u00e4 b", error)
    async with log_over(tmp_path / "tree.db") as log:
        assert (log.last_seq, log.latest(SYNC)) == (0, None)
        log.publish(CACHE, running(0), 7)
        log.publish(SYNC, last)
        log.publish(CACHE, failed, 7)
    async with log_over(tmp_path / "tree.db") as log:
        assert log.last_seq == 3
        latest = log.latest(SYNC)
        assert latest is not None
        assert (latest.seq, latest.progress) == (2, last)
        reader = log.subscribe(since=0)
        replayed = only_events(await take(reader, 3))
        assert [(e.seq, e.progress, e.inode) for e in replayed] == [
            (1, running(0), 7),
            (2, last, None),
            (3, failed, 7),
        ]
        for inode in range(6):
            log.publish(CACHE, ended(), inode)
        assert seqs(await take(reader, 6)) == [4, 5, 6, 7, 8, 9]
    async with log_over(tmp_path / "tree.db") as log:
        kept = await take(log.subscribe(since=0), 8)
        assert seqs(kept) == [(1, 1), 2, (3, 4), 5, 6, 7, 8, 9], "trimmed to five, and the last of each class"
        latest = log.latest(SYNC)
        assert latest is not None
        assert (latest.seq, latest.progress) == (2, last), "a sync's state outlives any number of downloads"
