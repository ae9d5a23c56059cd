"""News that travels upward: topics inside the daemon, and the numbered log that programs follow.

The log's invariants: numbers have no gaps and are never used again, also across remounts; nobody sees
an event before the journal has it; of one transfer `processed` never falls, and nothing follows its end.
"""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Generic, Protocol, TypeVar

import trio

from cloudfs.model.enums import EventClass
from cloudfs.model.errors import CloudfsError
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress

logger = logging.getLogger(__name__)

T = TypeVar("T")

RUNNING_INTERVAL_S = 0.1  # at most one RUNNING of a file in this time gets a number
RECENT = 1024  # events kept in memory; a live reader further behind loses RUNNING ones
_PAGE = 256  # events that a reader takes from the journal at once
_RETRY_S = 1.0  # pause before the journal is tried again


class Topic(Generic[T]):
    """Fan-out of news to the daemon's own tasks, in order and without loss; unbounded, as they keep up."""

    def __init__(self) -> None:
        self._subscribers: set[trio.MemorySendChannel[T]] = set()

    def publish(self, item: T) -> None:
        """Hand an item to every subscriber; never blocks. Without any it is dropped."""
        for subscriber in self._subscribers:
            subscriber.send_nowait(item)

    @contextmanager
    def subscribe(self) -> Iterator[trio.MemoryReceiveChannel[T]]:
        """What is published from here on, as an async iterator that lasts as long as the context."""
        send, receive = trio.open_memory_channel[T](math.inf)
        self._subscribers.add(send)
        try:
            yield receive
        finally:
            self._subscribers.remove(send)
            send.close()
            receive.close()


@dataclass(frozen=True, slots=True)
class Skipped:
    """In place of the events from `first` to `last`, both included, which this reader does not get."""

    first: int
    last: int


class EventJournal(Protocol):
    """Where events are kept: `database.journal.Journal`, which lies above this module."""

    def last_seq(self) -> int:
        """0 before the first event."""
        ...

    def load(self, after: int, limit: int) -> Sequence[Event]:
        """In order; the first may lie higher than `after + 1` where older ones were trimmed."""
        ...

    def latest(self, source: EventClass) -> Event | None: ...

    async def append(self, events: Sequence[Event]) -> None:
        """All or none."""
        ...


@dataclass(frozen=True, slots=True)
class _Draft:
    """An event that has no number yet."""

    source: EventClass
    progress: SyncProgress | DownloadProgress
    inode: int | None


_TransferKey = tuple[EventClass, int | None, str | None]


@dataclass(slots=True)
class _RunningTransfer:
    processed: int
    next_at: float  # trio's clock: when the next RUNNING may go out
    held: _Draft | None = None


class _Thinner:
    """Which drafts go out: all, but RUNNING ones of a file at most once an interval, the latest then."""

    def __init__(self) -> None:
        self._ready: list[_Draft] = []
        self._transfers: dict[_TransferKey, _RunningTransfer] = {}

    def add(self, draft: _Draft, now: float) -> None:
        progress = draft.progress
        if not isinstance(progress, DownloadProgress):
            self._ready.append(draft)
            return
        key = (draft.source, draft.inode, None if draft.inode is not None else progress.uri)
        if progress.state.is_end:
            transfer = self._transfers.pop(key, None)
            self._ready.append(
                draft if transfer is None else _not_behind(draft, progress, transfer.processed)
            )
        else:
            self._add_running(key, draft, progress, now)

    def _add_running(self, key: _TransferKey, draft: _Draft, progress: DownloadProgress, now: float) -> None:
        transfer = self._transfers.setdefault(key, _RunningTransfer(progress.processed, now))
        transfer.held = _not_behind(draft, progress, transfer.processed)
        transfer.processed = max(transfer.processed, progress.processed)
        self._release(transfer, now)

    def _release(self, transfer: _RunningTransfer, now: float) -> None:
        if transfer.held is not None and transfer.next_at <= now:
            self._ready.append(transfer.held)
            transfer.held = None
            transfer.next_at = now + RUNNING_INTERVAL_S

    def take(self, now: float) -> list[_Draft]:
        """What may go out by now, in the order it came."""
        for transfer in self._transfers.values():
            self._release(transfer, now)
        ready, self._ready = self._ready, []
        return ready

    def next_at(self) -> float:
        """When `take` has something, if nothing more is added: -inf at once, inf never."""
        if self._ready:
            return -math.inf
        return min((t.next_at for t in self._transfers.values() if t.held is not None), default=math.inf)


def _not_behind(draft: _Draft, progress: DownloadProgress, processed: int) -> _Draft:
    """The draft, saying no less than was said before; no more than the size, which a program may have cut."""
    processed = min(progress.size, max(processed, progress.processed))
    return replace(draft, progress=replace(progress, processed=processed))


class EventLog:
    """The numbered events of one mount.

    journal: keeps them; it must be open while `run` runs.
    now_ms: the wall clock in epoch milliseconds.
    """

    def __init__(
        self, journal: EventJournal, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self._journal = journal
        self._now_ms = now_ms
        self._thinner = _Thinner()
        self._published = trio.Event()
        self._delivered = trio.Event()
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._latest: dict[EventClass, Event] = {}
        self._last_seq = 0
        # Said, and not delivered yet: ends of downloads by inode, what syncs say by class.
        self._ends: Counter[int] = Counter()
        self._of_syncs: Counter[EventClass] = Counter()

    @property
    def last_seq(self) -> int:
        """The number of the last event that readers may have seen."""
        return self._last_seq

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Number, commit and deliver until cancelled; what was published by then is still committed."""
        self._last_seq = self._journal.last_seq()
        found = (self._journal.latest(source) for source in EventClass)
        self._latest = {event.source: event for event in found if event is not None}
        unsaved: list[Event] = []
        task_status.started()
        try:
            while True:
                await self._wait_for_drafts()
                unsaved = self._number(self._thinner.take(trio.current_time()))
                await self._save_at_last(unsaved)
                unsaved = []
        finally:
            with trio.CancelScope(shield=True):
                drafts = self._thinner.take(math.inf)
                await self._save([*unsaved, *self._number(drafts, after=len(unsaved))])

    def publish(
        self,
        source: EventClass,
        progress: SyncProgress | DownloadProgress,
        inode: int | None = None,
    ) -> None:
        """Say what happened; never blocks. For the trio thread only.

        RUNNING events of a file within 100 ms become one; an end always goes out, and drops the RUNNING
        that waits.
        """
        self._thinner.add(_Draft(source, progress, inode), trio.current_time())
        if isinstance(progress, SyncProgress):
            self._of_syncs[source] += 1
        elif inode is not None and progress.state.is_end:
            self._ends[inode] += 1
        self._published.set()

    def ends_on_their_way(self, inode: int) -> int:
        """How many ends of a file's downloads were said and have no number yet."""
        return self._ends[inode]

    def is_on_its_way(self, source: EventClass) -> bool:
        """Whether a sync said something that has no number yet. source: its class."""
        return self._of_syncs[source] > 0

    def latest(self, source: EventClass) -> Event | None:
        """The last event delivered of a class, also from before a remount; None: seq 0 in `on`'s first event.

        A subscription made in the same step goes on right after it.
        """
        return self._latest.get(source)

    def subscribe(self, since: int | None = None) -> EventSubscription:
        """A reader of its own pace: what is delivered from now on, or all above `since` and then on.

        It needs no closing and holds no more than a page of events. Only once `run` has started.
        """
        if since is None:
            return EventSubscription(self, self._last_seq, is_live=True)
        return EventSubscription(self, max(0, min(since, self._last_seq)), is_live=False)

    async def _wait_for_drafts(self) -> None:
        while (next_at := self._thinner.next_at()) > trio.current_time():
            self._published = trio.Event()
            with trio.move_on_at(next_at):
                await self._published.wait()

    def _number(self, drafts: Sequence[_Draft], after: int = 0) -> list[Event]:
        first, time_ms = self._last_seq + after + 1, self._now_ms()
        return [
            Event(seq, time_ms, draft.source, draft.progress, draft.inode)
            for seq, draft in enumerate(drafts, first)
        ]

    async def _save_at_last(self, events: Sequence[Event]) -> None:
        while True:
            if await self._save(events):
                return
            await trio.sleep(_RETRY_S)

    async def _save(self, events: Sequence[Event]) -> bool:
        """Commit, then deliver; False where the journal refused, and nobody saw anything."""
        if not events:
            return True
        try:
            with trio.CancelScope(shield=True):
                await self._journal.append(events)
        except CloudfsError as error:
            logger.error("%d events wait, as the journal can't be written: %s", len(events), error.reason)
            return False
        self._recent.extend(events)
        self._latest.update((event.source, event) for event in events)
        self._ends -= Counter(e.inode for e in events if e.inode is not None and e.progress.state.is_end)
        self._of_syncs -= Counter(e.source for e in events if isinstance(e.progress, SyncProgress))
        self._last_seq = events[-1].seq
        self._delivered.set()
        self._delivered = trio.Event()
        return True

    async def wait_beyond(self, seq: int) -> None:
        """Return once there is an event above `seq`."""
        while self._last_seq <= seq:
            await self._delivered.wait()

    def page(self, after: int, *, all_from_journal: bool) -> list[Event | Skipped]:
        """The next events above `after`, gaps told; there must be some.

        What is no longer in memory comes from the journal: whole, or (all_from_journal False, for a live
        reader that fell behind) without its RUNNING events.
        """
        if self._recent and self._recent[0].seq <= after + 1:
            skip = after + 1 - self._recent[0].seq
            return list(islice(self._recent, skip, skip + _PAGE))
        events = self._journal.load(after, _PAGE)
        last = events[-1].seq if events else self._last_seq
        if not all_from_journal:
            events = [event for event in events if not _is_running(event)]
        return list(_with_gaps(events, after + 1, last))


class EventSubscription:
    """One reader's place in the log, as an async iterator of events in order.

    `Skipped` stands where older events were trimmed, and where a reader that had caught up once fell so
    far behind that it does without RUNNING ones. Others get their turn once in a page, not at each event: a
    connection that has no use of what others download must keep up with all of it.
    """

    def __init__(self, log: EventLog, seen: int, *, is_live: bool) -> None:
        self._log = log
        self._seen = seen
        self._is_live = is_live
        self._page: deque[Event | Skipped] = deque()

    def __aiter__(self) -> EventSubscription:
        return self

    async def __anext__(self) -> Event | Skipped:
        if not self._page:
            await trio.lowlevel.checkpoint()
            if self._seen >= self._log.last_seq:
                self._is_live = True
                await self._log.wait_beyond(self._seen)
            self._page.extend(self._log.page(self._seen, all_from_journal=not self._is_live))
            final = self._page[-1]
            self._seen = final.last if isinstance(final, Skipped) else final.seq
        return self._page.popleft()


def _is_running(event: Event) -> bool:
    return isinstance(event.progress, DownloadProgress) and not event.progress.state.is_end


def _with_gaps(events: Sequence[Event], first: int, last: int) -> Iterator[Event | Skipped]:
    """The events, with a Skipped for every run of numbers between `first` and `last` that they lack."""
    for event in events:
        if first < event.seq:
            yield Skipped(first, event.seq - 1)
        yield event
        first = event.seq + 1
    if first <= last:
        yield Skipped(first, last)
