"""Which range of a file is fetched next. No I/O: takes what is held, coming and wanted, gives a Fetch.

What a program waits for goes first, in the order of waiting; then the rest of the file, or what read-ahead
asks for. A byte that is held or coming is never asked for again. A demand inside a range that is coming
waits for it if the bytes before it come soon; else it is carved out: the range ends early, at the demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloudfs.model.ranges import Range, RangeSet

PAGE = 4096
KIB = 1024
MIB = 1024 * KIB

# A demand this far behind the position of a range that is coming, and what comes in a round trip, waits.
NEAR_BYTES = MIB
ROUND_TRIP_S = 0.1

# One request carries no more than this (DESIGN section 6: 4 MiB beats 1 MiB over 16 connections).
LARGEST_FETCH = 4 * MIB
FIRST_FETCH = MIB
SMALLEST_FETCH = 256 * KIB


@dataclass(slots=True)
class Flight:
    """A range that is coming: [position, stop) is still under way. `rate` is in bytes a second.

    urgent: a program waits for it. stop may be lowered while it flies.
    """

    position: int
    stop: int
    urgent: bool = False
    rate: float = 0.0

    def reaches_soon(self, offset: int) -> bool:
        """Whether waiting for `offset` costs about as little as a request of its own."""
        return offset - self.position <= NEAR_BYTES + self.rate * ROUND_TRIP_S


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for [start, stop). `carved_from` then has to end at `start`."""

    start: int
    stop: int
    urgent: bool
    carved_from: Flight | None = None


def demanded(size: int, held: RangeSet, flights: Sequence[Flight], demands: Sequence[Range]) -> Fetch | None:
    """The next fetch for somebody who waits; None where all that is waited for is held or comes soon.

    demands: ranges in the order of waiting. Neighbouring demands are fetched as one.
    """
    pages = RangeSet(_pages(demand, size) for demand in demands)
    for demand in demands:
        for start, stop in held.missing(*_pages(demand, size)):
            fetch = _first_gap(start, pages.held_from(start), stop, held, flights)
            if fetch is not None:
                return fetch
    return None


def filling(size: int, held: RangeSet, flights: Sequence[Flight], cursor: int, largest: int) -> Fetch | None:
    """The next fetch towards the whole file: first after `cursor`, then from the beginning."""
    return ahead(held, flights, [(cursor, size), (0, cursor)], largest)


def ahead(held: RangeSet, flights: Sequence[Flight], windows: Iterable[Range], largest: int) -> Fetch | None:
    """The next fetch into one of the windows, of `largest` bytes at most."""
    for start, stop in windows:
        for gap_start, gap_stop in held.missing(start, stop):
            for free_start, free_stop in _without_flights(gap_start, gap_stop, flights):
                return Fetch(free_start, min(free_stop, free_start + largest), urgent=False)
    return None


def streaming(size: int, held: RangeSet, flights: Sequence[Flight], *, urgent: bool) -> Fetch | None:
    """The one fetch of a server without ranges: from the beginning to the end."""
    if flights or not held.missing(0, size):
        return None
    return Fetch(0, size, urgent)


class Pace:
    """How much is asked for at once: grows while ranges come fast, shrinks while they come slowly.

    So a fast link is filled within some round trips, and on a slow one what a program waits for shares
    it with few others.
    """

    FAST_S = 1.0
    SLOW_S = 4.0

    def __init__(self) -> None:
        self.parallel = 4
        self.fetch_bytes = FIRST_FETCH

    def landed(self, count: int, seconds: float, most: int) -> None:
        """A range of `count` bytes took so long; `most` is how many may be under way at all."""
        if seconds > self.SLOW_S:
            self.parallel = max(2, min(self.parallel, most) // 2)
            self.fetch_bytes = max(SMALLEST_FETCH, self.fetch_bytes // 2)
        elif seconds < self.FAST_S:
            self.parallel = min(most, self.parallel + 1)
            if count >= self.fetch_bytes:
                self.fetch_bytes = min(LARGEST_FETCH, self.fetch_bytes * 2)

    def share(self, remaining: int) -> int:
        """The largest fetch that leaves work for every connection until the end of a file."""
        share = -(-remaining // max(1, self.parallel))
        return max(SMALLEST_FETCH, min(self.fetch_bytes, -(-share // PAGE) * PAGE))


def _pages(demand: Range, size: int) -> Range:
    """Grown to whole pages, as the kernel's cache takes them, within the file."""
    start, stop = demand
    return start // PAGE * PAGE, min(size, -(-stop // PAGE) * PAGE)


def _first_gap(
    start: int, run_stop: int, stop: int, held: RangeSet, flights: Sequence[Flight]
) -> Fetch | None:
    """The first part of the missing [start, stop) that has to be asked for.

    run_stop: how far demands reach without a break, so that neighbours go along.
    """
    while start < stop:
        flight = next((flight for flight in flights if flight.position <= start < flight.stop), None)
        if flight is None or not flight.reaches_soon(start):
            limit = _next_obstacle(start, max(stop, run_stop), held, flights)
            return Fetch(start, min(limit, start + LARGEST_FETCH), urgent=True, carved_from=flight)
        start = flight.stop
    return None


def _next_obstacle(start: int, stop: int, held: RangeSet, flights: Sequence[Flight]) -> int:
    """How far one may fetch from `start` without asking for what is held or coming from elsewhere."""
    stop = held.missing(start, stop)[0][1]
    return min([stop, *(flight.position for flight in flights if start < flight.position < stop)])


def _without_flights(start: int, stop: int, flights: Sequence[Flight]) -> list[Range]:
    """The parts of [start, stop) that are not coming."""
    coming = RangeSet((flight.position, flight.stop) for flight in flights)
    return coming.missing(start, stop)
