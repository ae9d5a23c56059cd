"""What is fetched of one content at this moment: who waits, what flies, what comes next. No I/O.

Invariants: a demand is in `demands` and its range in `content.wanted` for exactly as long as its waiter
waits; every flight in `flights` has a task; the download counts as one user of its content.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from cloudfs.cache.content import Content
from cloudfs.model.enums import Priority
from cloudfs.model.errors import CloudfsError, LocalStorageFull
from cloudfs.model.ranges import Range
from cloudfs.transfers.fetch_plan import Fetch, Flight, Pace, ahead, demanded, filling, streaming
from cloudfs.transfers.read_ahead import Streams
from cloudfs.transfers.retry import Patience
from cloudfs.transfers.transfer import Transfer

# The kernel reads a failing range twice, as read-ahead and as page (DESIGN trap 6): both fail at once.
FAILURE_S = 1.0


@dataclass(slots=True, eq=False)
class Demand:
    """Somebody waits for [start, stop). `error` is set before `done` where the bytes won't come."""

    start: int
    stop: int
    done: trio.Event = field(default_factory=trio.Event)
    error: CloudfsError | None = None

    def overlaps(self, start: int, stop: int) -> bool:
        return self.start < stop and start < self.stop


@dataclass(slots=True, eq=False)
class Flying(Flight):
    """A flight with its task. on_air: a connection is in use, as against a pause before another try."""

    patience: Patience = field(kw_only=True)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    began: float = field(default_factory=trio.current_time)
    received: int = 0
    on_air: bool = True

    def came(self, count: int) -> None:
        """So many bytes more have come."""
        self.position += count
        self.received += count
        self.rate = self.received / max(trio.current_time() - self.began, 1e-3)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why [start, stop) did not come, and until when (trio's clock) that stands as the answer."""

    start: int
    stop: int
    error: CloudfsError
    until: float


@dataclass(slots=True, eq=False)
class Past:
    """What is remembered of a content between its downloads.

    begins_again: its transfer failed; the next read of an open file starts it anew.
    adoptions: how often it went over to another version before its first byte.
    """

    streams: Streams = field(default_factory=Streams)
    failures: list[Failure] = field(default_factory=list)
    begins_again: bool = False
    adoptions: int = 0

    def failure(self, start: int, stop: int) -> CloudfsError | None:
        """The error that some of these bytes met a moment ago."""
        now = trio.current_time()
        self.failures = [failure for failure in self.failures if failure.until > now]
        for failure in self.failures:
            if failure.start < stop and start < failure.stop:
                return failure.error
        return None

    def note_failure(self, start: int, stop: int, error: CloudfsError) -> None:
        self.failures.append(Failure(start, stop, error, trio.current_time() + FAILURE_S))


class Download:
    """All fetching of one content, for a transfer, for readers, or for both.

    transfer: the one that fills the file, None while only what is read is fetched.
    is_serial: the server knows no ranges, so one stream brings everything; `stream` is that flight.
    is_paused: nothing new is to be fetched (the version is being asked for).
    settling: flights that are over, but not what follows from their end.
    received: bytes that came. purpose: whom they were for, DEMAND where there was no transfer.
    has_come: whether any byte has come yet. Until then one background flight goes alone, so that the first
    byte gets the warm connection and none of the others' work is done before it.
    """

    def __init__(self, content: Content, past: Past, *, is_serial: bool = False) -> None:
        self.content = content
        self.past = past
        self.demands: list[Demand] = []
        self.flights: list[Flying] = []
        self.transfer: Transfer | None = None
        self.is_serial = is_serial
        self.stream: Flying | None = None
        self.is_paused = False
        self.settling = 0
        self.received = 0
        self.purpose = Priority.DEMAND
        self.has_come = False
        self._cursor = 0

    @property
    def is_idle(self) -> bool:
        return not (self.demands or self.flights or self.transfer or self.settling)

    @property
    def lands_by_itself(self) -> bool:
        """Whether its transfer has all it wanted without a flight that would say so."""
        waits = self.transfer is not None and not (self.transfer.is_finishing or self.flights)
        return waits and self.content.is_whole and not self.settling

    @property
    def is_wanted(self) -> bool:
        """Whether anybody has a use for bytes: a transfer, a waiter, or a program with the file open."""
        return bool(self.transfer or self.demands or self.content.users > 1)

    # --- waiting ---

    def wait_for(self, start: int, stop: int) -> Demand:
        demand = Demand(start, stop)
        self.demands.append(demand)
        self.content.wanted.append((start, stop))
        self._cursor = stop
        return demand

    def leave(self, demand: Demand) -> None:
        """Its waiter has gone, for whatever reason."""
        self.content.wanted.remove((demand.start, demand.stop))
        if demand in self.demands:
            self.demands.remove(demand)

    def arrived(self, start: int, stop: int) -> None:
        """Bytes are held: wake who has all of its own."""
        self.has_come = True
        self.received += stop - start
        for demand in [demand for demand in self.demands if demand.overlaps(start, stop)]:
            if self.content.holds(demand.start, demand.stop):
                self._wake(demand, None)

    def fail_demands(self, start: int, stop: int, error: CloudfsError) -> None:
        """These bytes won't come: tell those who wait for any of them."""
        for demand in [demand for demand in self.demands if demand.overlaps(start, stop)]:
            if not self.content.holds(demand.start, demand.stop):
                self._wake(demand, error)

    def wake_all(self) -> None:
        """Let every waiter look again at what it needs: the size may be another one."""
        for demand in list(self.demands):
            self._wake(demand, None)

    def note_edit(self) -> None:
        """A program changed the content: what it wrote or cut off needs no fetching any more."""
        content = self.content
        for flight in self.flights:
            flight.stop = min(flight.stop, content.fetch_limit)
            if content.holds(flight.position, flight.stop):
                flight.scope.cancel()
        for demand in list(self.demands):
            if content.holds(demand.start, demand.stop):
                self._wake(demand, None)
        if self.transfer is not None:
            self.transfer.resize(content.size)

    def _wake(self, demand: Demand, error: CloudfsError | None) -> None:
        demand.error = error
        self.demands.remove(demand)
        demand.done.set()

    # --- what comes next ---

    def next_demanded(self) -> Fetch | None:
        """The next fetch for somebody who waits."""
        content = self.content
        if self.is_paused or content.is_stale or not self.demands:
            return None
        if self.is_serial:
            return streaming(content.fetch_limit, content.held, self.flights, urgent=True)
        ranges = [(demand.start, demand.stop) for demand in self.demands]
        return demanded(content.fetch_limit, content.held, self.flights, ranges)

    def next_background(self, pace: Pace) -> Fetch | None:
        """The next fetch that nobody waits for: towards the whole file, or ahead of readers."""
        content = self.content
        if self.is_paused or content.is_stale or not self.is_wanted:
            return None
        if self.transfer is not None and self.transfer.is_finishing:
            return None
        if self.flights and not self.has_come:
            return None
        if self.transfer is None:
            return ahead(content.held, self.flights, self._windows(), pace.fetch_bytes)
        if self.is_serial:
            return streaming(content.fetch_limit, content.held, self.flights, urgent=False)
        largest = pace.share(content.size - content.held_bytes)
        return filling(content.fetch_limit, content.held, self.flights, self._cursor, largest)

    def _windows(self) -> list[Range]:
        return [] if self.is_serial else self.past.streams.windows(self.content.fetch_limit)

    # --- flights ---

    def take_off(self, fetch: Fetch, patience: Patience) -> Flying:
        if fetch.carved_from is not None:
            fetch.carved_from.stop = fetch.start
        flight = Flying(fetch.start, fetch.stop, fetch.urgent, patience=patience)
        self.flights.append(flight)
        return flight

    def become_serial(self, stream: Flying) -> None:
        """The server sent the whole file: this flight brings all of it, the others are of no use."""
        self.is_serial, self.stream = True, stream
        stream.position, stream.stop = 0, self.content.fetch_limit
        for flight in self.flights:
            if flight is not stream:
                flight.scope.cancel()

    def cancel_unwanted(self) -> None:
        """End the flights that nobody waits for."""
        for flight in self.flights:
            if not any(demand.overlaps(flight.position, flight.stop) for demand in self.demands):
                flight.scope.cancel()

    def cancel_all(self) -> None:
        for flight in self.flights:
            flight.scope.cancel()

    def met(self, flight: Flying, error: CloudfsError) -> None:
        """A flight has failed, past its patience.

        A full disk under background fetching is no failure of who waits: what is waited for is fetched by
        itself, and may push the file's own oldest bytes out.
        """
        start, stop = flight.position, flight.stop
        if not flight.urgent:
            self.past.streams = Streams()
        if flight.urgent or not isinstance(error, LocalStorageFull):
            self.past.note_failure(start, stop, error)
            self.fail_demands(start, stop, error)

    def cause(self) -> CloudfsError | None:
        """What its flights bear with at this moment."""
        return next((flight.patience.last for flight in self.flights if flight.patience.last), None)
