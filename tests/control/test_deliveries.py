"""Whatever is published, and however slowly it is read: what each reader of a connection gets (section 7).

Drawn: downloads and syncs as they come, pauses, and for each reader when it takes how many lines. The log's
memory and its pages are small here, so that readers fall behind within a few events.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs import events as module
from cloudfs.control.subscriptions import FOLLOWERS_MAX, Subscriptions
from cloudfs.events import EventLog
from cloudfs.model.enums import DownloadErrorType, EventClass, State, SyncState
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress
from tests.control.event_grammar import Grammar, download_progress
from tests.test_events import MemoryJournal

SIZE = 100
CACHE, SYNC = EventClass.CLOUD_FILE_CACHE, EventClass.FILE_SYNC
NEXT_SYNC = {
    SyncState.COMPLETED: SyncState.DOWNLOADING,
    SyncState.DOWNLOADING: SyncState.UPLOADING,
    SyncState.UPLOADING: SyncState.COMPLETED,
}
ENDS = {
    State.COMPLETED: DownloadErrorType.NO_ERROR,
    State.STOPPED: DownloadErrorType.NO_ERROR,
    State.FAILED: DownloadErrorType.CONTENT_NOT_FOUND,
}

files = st.integers(0, 2)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), files, st.integers(0, SIZE)),
        st.tuples(st.just("end"), files, st.sampled_from(list(ENDS))),
        st.tuples(st.just("sync")),
        st.tuples(st.just("pause"), st.sampled_from([0.0, 0.05, 0.2])),
        st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 8)),
        st.tuples(st.just("follow"), st.none() | st.integers(0, 60)),
    ),
    max_size=60,
)


class Reader:
    """A connection that takes as many lines as it is let."""

    def __init__(self, log: EventLog) -> None:
        self.lines: list[dict[str, Any]] = []
        self.begins: dict[int, int] = {}  # by subscription: the last number that it does not get
        self.subscriptions = Subscriptions(log, lambda inode: True, self._take)
        self._log = log
        self._may = trio.Semaphore(0)

    def follow(self, since: int | None) -> None:
        last = self._log.last_seq
        begin = last if since is None else min(since, last)
        self.begins[self.subscriptions.follow(since, _answered())] = begin

    def on(self, source: EventClass) -> None:
        self.begins[self.subscriptions.on(source, "all", _answered())] = self._log.last_seq

    def read(self, count: int) -> None:
        for _ in range(count):
            self._may.release()

    def of(self, number: int) -> list[dict[str, Any]]:
        return [line["params"] for line in self.lines if line["params"]["subscription"] == number]

    async def _take(self, line: bytes) -> None:
        await self._may.acquire()
        self.lines.append(json.loads(line))


def _answered() -> trio.Event:
    event = trio.Event()
    event.set()
    return event


class Source:
    """Publishes what fits what came before it."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._sync = SyncState.COMPLETED
        self.ends: list[tuple[int, State]] = []

    def run(self, file: int, processed: int) -> None:
        self._log.publish(CACHE, DownloadProgress(State.RUNNING, processed, SIZE, f"file://{file}"), file)

    def end(self, file: int, state: State) -> None:
        processed = SIZE if state is State.COMPLETED else 0  # less than was said: the log is to mend it
        progress = DownloadProgress(state, processed, SIZE, f"file://{file}", ENDS[state])
        self.ends.append((file, state))
        self._log.publish(CACHE, progress, file)

    def sync(self) -> None:
        self._sync = NEXT_SYNC[self._sync]
        self._log.publish(SYNC, SyncProgress(self._sync))


async def play(history: list[Any], journal: MemoryJournal) -> tuple[Source, list[Reader]]:
    """All of it, and then each reader reads to the end."""
    async with trio.open_nursery() as nursery:
        log = EventLog(journal)
        await nursery.start(log.run)
        source, readers = Source(log), [Reader(log) for _ in range(3)]
        for reader in readers:
            nursery.start_soon(reader.subscriptions.run)
            reader.on(SYNC)
            reader.on(CACHE)
            reader.follow(None)
        act: dict[str, Callable[..., object]] = {
            "run": source.run,
            "end": source.end,
            "sync": source.sync,
            "read": lambda which, count: readers[which].read(count),
            "follow": readers[0].follow,
        }
        for kind, *rest in _within_limits(history):
            if kind == "pause":
                await trio.sleep(*rest)
            else:
                act[kind](*rest)
        for reader in readers:
            reader.read(10_000)
        await trio.sleep(1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return source, readers


def _within_limits(history: list[Any]) -> Iterator[Any]:
    """Without the followers that a connection may not have."""
    followers = 1
    for step in history:
        followers += step[0] == "follow"
        if step[0] != "follow" or followers <= FOLLOWERS_MAX:
            yield step


def run(history: list[Any], kept: int) -> tuple[MemoryJournal, Source, list[Reader]]:
    journal = MemoryJournal(kept)
    source, readers = trio.run(play, history, journal, clock=trio.testing.MockClock(autojump_threshold=0))
    return journal, source, readers


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    found: list[int] = []
    for line in lines:
        first, last = line.get("skipped") or (line["seq"], line["seq"])
        found += range(first, last + 1)
    return found


@pytest.fixture(autouse=True, scope="module")
def small_memory() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RECENT", 6)
        patch.setattr(module, "_PAGE", 4)
        yield


@settings(max_examples=150, deadline=None)
@given(steps)
def test_every_reader_gets_each_number_once_and_every_end(history: list[Any]) -> None:
    journal, source, readers = run(history, kept=10_000)
    last = journal.last_seq()
    of_log = Grammar()
    for event in journal.events:
        of_log.take(event.seq, event.source, event.progress)
    assert [(e.inode, e.progress.state) for e in journal.events if is_end_of_download(e)] == source.ends
    for reader in readers:
        for number, begin in reader.begins.items():
            if number > 2:  # the followers of the journal
                assert numbers(reader.of(number)) == list(range(begin + 1, last + 1))
        check_sync(reader, journal)
        check_downloads(reader, journal)


def check_sync(reader: Reader, journal: MemoryJournal) -> None:
    """The current one with its number, and then every one of its class."""
    first, *others = reader.of(1)
    assert (first["seq"], first["progress"]["state"]) == (0, SyncState.COMPLETED), "there was none"
    of_class = [event for event in journal.events if event.source is SYNC]
    shown = [(line["seq"], line["progress"]["state"]) for line in others if "seq" in line]
    assert shown == [(event.seq, event.progress.state) for event in of_class]


def check_downloads(reader: Reader, journal: MemoryJournal) -> None:
    """Each or told as skipped, the ends all; in the grammar, whatever was skipped."""
    lines, grammar = reader.of(2), Grammar()
    assert numbers(lines) == sorted(set(numbers(lines)))
    of_class = {event.seq: event for event in journal.events if event.source is CACHE}
    assert of_class.keys() <= set(numbers(lines))
    told = {line["seq"]: line["progress"] for line in lines if "seq" in line}
    assert {seq for seq, event in of_class.items() if is_end_of_download(event)} <= told.keys()
    for seq, shown in told.items():
        assert download_progress(shown) == of_class[seq].progress
        grammar.take_download(download_progress(shown))


def is_end_of_download(event: Event) -> bool:
    return event.source is CACHE and event.progress.state.is_end


@settings(max_examples=75, deadline=None)
@given(steps)
def test_what_was_trimmed_is_told_as_skipped(history: list[Any]) -> None:
    journal, _, readers = run(history, kept=5)
    last = journal.last_seq()
    assert len(journal.events) <= 5
    for reader in readers:
        for number, begin in reader.begins.items():
            if number > 2:
                assert numbers(reader.of(number)) == list(range(begin + 1, last + 1))
        seen = numbers(reader.of(2))
        assert seen == sorted(set(seen))
