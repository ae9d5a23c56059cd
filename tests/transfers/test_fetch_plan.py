"""The plan against a link that delivers as it likes: everything comes, nothing twice."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model.ranges import RangeSet
from cloudfs.transfers.fetch_plan import (
    FIRST_FETCH,
    LARGEST_FETCH,
    MIB,
    NEAR_BYTES,
    PAGE,
    SMALLEST_FETCH,
    Fetch,
    Flight,
    Pace,
    ahead,
    demanded,
    filling,
    streaming,
)


class Link:
    """Carries out fetches, at most `most` at a time, some bytes of a random one at each step."""

    def __init__(self, size: int, seed: int, most: int) -> None:
        self.size = size
        self.held = RangeSet()
        self.flights: list[Flight] = []
        self.random = random.Random(seed)
        self.most = most
        self.sent = 0

    def take(self, fetch: Fetch) -> None:
        assert 0 <= fetch.start < fetch.stop <= self.size
        assert fetch.stop - fetch.start <= LARGEST_FETCH
        if fetch.carved_from is not None:
            assert fetch.carved_from.position < fetch.start
            fetch.carved_from.stop = fetch.start
        for flight in self.flights:
            assert flight.stop <= fetch.start or fetch.stop <= flight.position, "asked for what is coming"
        assert self.held.missing(fetch.start, fetch.stop) == [(fetch.start, fetch.stop)], (
            "asked for what is held"
        )
        self.flights.append(Flight(fetch.start, fetch.stop, fetch.urgent))

    def step(self) -> None:
        flight = self.random.choice(self.flights)
        count = min(self.random.randrange(1, MIB), flight.stop - flight.position)
        assert not self.held.covers(flight.position, flight.position + 1)
        self.held.add(flight.position, flight.position + count)
        self.sent += count
        flight.position += count
        if flight.position == flight.stop:
            self.flights.remove(flight)


SIZES = st.integers(1, 40 * MIB)
DEMANDS = st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 2 * MIB)), max_size=6)


@given(SIZES, DEMANDS, st.integers(1, 16), st.integers(0, 2**32))
def test_the_whole_file_comes_and_no_byte_twice(
    size: int, wishes: list[tuple[float, int]], most: int, seed: int
) -> None:
    link = Link(size, seed, most)
    waiting: list[tuple[int, int]] = []
    cursor = 0
    while not link.held.covers(0, size):
        if wishes and link.random.random() < 0.3:
            place, length = wishes.pop()
            start = int(place * size)
            waiting.append((start, min(size, start + length)))
            cursor = waiting[-1][1]
        waiting = [demand for demand in waiting if not link.held.covers(*demand)]
        while fetch := demanded(size, link.held, link.flights, waiting):
            link.take(fetch)
        while len(link.flights) < most:
            fetch = filling(size, link.held, link.flights, cursor, LARGEST_FETCH)
            if fetch is None:
                break
            link.take(fetch)
        link.step()
    assert link.sent == size


@given(SIZES, DEMANDS, st.integers(0, 2**32))
def test_demands_alone_fetch_their_pages_and_no_more(
    size: int, wishes: list[tuple[float, int]], seed: int
) -> None:
    link = Link(size, seed, 99)
    demands = [(int(place * size), min(size, int(place * size) + length)) for place, length in wishes]
    while fetch := demanded(size, link.held, link.flights, demands):
        assert fetch.urgent
        link.take(fetch)
    while link.flights:
        link.step()
    pages = RangeSet((start // PAGE * PAGE, min(size, -(-stop // PAGE) * PAGE)) for start, stop in demands)
    assert link.held == pages


def test_who_waited_longest_goes_first() -> None:
    fetch = demanded(20 * MIB, RangeSet(), [], [(8 * MIB, 8 * MIB + 10), (0, 10)])
    assert fetch == Fetch(8 * MIB, 8 * MIB + PAGE, urgent=True)


def test_neighbouring_demands_are_one_request() -> None:
    demands = [(0, 128 * 1024), (256 * 1024, 384 * 1024), (128 * 1024, 256 * 1024)]
    assert demanded(MIB, RangeSet(), [], demands) == Fetch(0, 384 * 1024, urgent=True)


def test_a_demand_waits_for_a_range_that_reaches_it_soon() -> None:
    flight = Flight(0, 4 * MIB)
    assert demanded(8 * MIB, RangeSet(), [flight], [(NEAR_BYTES, NEAR_BYTES + PAGE)]) is None


def test_a_demand_far_inside_a_range_is_carved_out() -> None:
    flight = Flight(0, 4 * MIB)
    fetch = demanded(8 * MIB, RangeSet(), [flight], [(3 * MIB, 3 * MIB + PAGE)])
    assert fetch == Fetch(3 * MIB, 3 * MIB + PAGE, urgent=True, carved_from=flight)


def test_a_fast_range_is_waited_for_over_a_longer_way() -> None:
    flight = Flight(0, 4 * MIB, rate=25e6)
    assert demanded(8 * MIB, RangeSet(), [flight], [(3 * MIB, 3 * MIB + PAGE)]) is None


def test_a_demand_across_the_end_of_a_range_asks_for_the_rest() -> None:
    flight = Flight(0, MIB)
    fetch = demanded(8 * MIB, RangeSet(), [flight], [(MIB - PAGE, MIB + PAGE)])
    assert fetch == Fetch(MIB, MIB + PAGE, urgent=True)


def test_filling_goes_on_behind_the_reader_and_then_from_the_beginning() -> None:
    held = RangeSet([(5 * MIB, 6 * MIB)])
    assert filling(8 * MIB, held, [], 5 * MIB, MIB) == Fetch(6 * MIB, 7 * MIB, urgent=False)
    held.add(6 * MIB, 8 * MIB)
    assert filling(8 * MIB, held, [], 5 * MIB, MIB) == Fetch(0, MIB, urgent=False)
    assert filling(8 * MIB, RangeSet([(0, 8 * MIB)]), [], 5 * MIB, MIB) is None


def test_ahead_stays_in_its_windows() -> None:
    windows = [(4 * MIB, 5 * MIB), (0, MIB)]
    flights = [Flight(4 * MIB, 5 * MIB)]
    assert ahead(RangeSet(), flights, windows, 4 * MIB) == Fetch(0, MIB, urgent=False)
    assert ahead(RangeSet([(0, MIB)]), flights, windows, 4 * MIB) is None


def test_without_ranges_there_is_one_stream() -> None:
    fetch = streaming(8 * MIB, RangeSet([(0, MIB)]), [], urgent=True)
    assert fetch == Fetch(0, 8 * MIB, urgent=True)
    assert streaming(8 * MIB, RangeSet(), [Flight(MIB, 8 * MIB)], urgent=True) is None
    assert streaming(8 * MIB, RangeSet([(0, 8 * MIB)]), [], urgent=False) is None


def test_the_pace_fills_a_fast_link_and_eases_on_a_slow_one() -> None:
    pace = Pace()
    for _ in range(20):
        pace.landed(pace.fetch_bytes, 0.1, 14)
    assert (pace.parallel, pace.fetch_bytes) == (14, LARGEST_FETCH)
    for _ in range(6):
        pace.landed(pace.fetch_bytes, 9.0, 14)
    assert (pace.parallel, pace.fetch_bytes) == (2, SMALLEST_FETCH)


def test_small_files_landing_fast_do_not_make_the_ranges_grow() -> None:
    pace = Pace()
    pace.landed(PAGE, 0.02, 14)
    assert pace.fetch_bytes == FIRST_FETCH


@given(st.integers(1, 10**12))
def test_the_end_of_a_file_is_shared_out(remaining: int) -> None:
    pace = Pace()
    share = pace.share(remaining)
    assert SMALLEST_FETCH <= share <= pace.fetch_bytes
    assert share == SMALLEST_FETCH or share >= min(pace.fetch_bytes, remaining // pace.parallel)
