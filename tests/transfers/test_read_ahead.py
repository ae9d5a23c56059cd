"""Read-ahead begins at the third read in a row, doubles, and knows readers apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloudfs.transfers.read_ahead import FIRST_WINDOW, LARGEST_WINDOW, STREAMS, Streams

KIB = 1024
MIB = 1024 * KIB
SIZE = 1024 * MIB
STEP = 128 * KIB


def test_one_small_read_with_the_kernels_own_read_ahead_is_not_sequential() -> None:
    streams = Streams()
    streams.note_read(0, 128 * KIB)
    streams.note_read(128 * KIB, 384 * KIB)
    assert streams.windows(SIZE) == []


def test_the_third_read_in_a_row_begins_it() -> None:
    streams = Streams()
    for i in range(3):
        streams.note_read(i * STEP, (i + 1) * STEP)
    assert streams.windows(SIZE) == [(3 * STEP, 3 * STEP + FIRST_WINDOW)]


def test_it_doubles_as_it_is_used_up_until_the_cap() -> None:
    streams = Streams()
    widths = []
    for i in range(4000):
        streams.note_read(i * STEP, (i + 1) * STEP)
        widths += [stop - start for start, stop in streams.windows(4 * SIZE)]
    assert max(widths) == LARGEST_WINDOW
    assert min(widths[100:]) >= FIRST_WINDOW // 2, "the reader never comes to the end of its window"


def test_it_ends_with_the_file() -> None:
    streams = Streams()
    for i in range(3):
        streams.note_read(i * STEP, (i + 1) * STEP)
    assert streams.windows(3 * STEP + 10) == [(3 * STEP, 3 * STEP + 10)]
    assert streams.windows(3 * STEP) == []


def test_requests_side_by_side_are_one_stream() -> None:
    streams = Streams()
    for i in (0, 2, 1, 4, 3, 5):
        streams.note_read(i * STEP, (i + 1) * STEP)
    assert len(streams.windows(SIZE)) == 1


def test_readers_far_apart_have_a_window_each() -> None:
    streams = Streams()
    for i in range(3):
        for place in range(STREAMS):
            start = place * 100 * MIB + i * STEP
            streams.note_read(start, start + STEP)
    assert len(streams.windows(SIZE)) == STREAMS


def test_no_more_than_what_may_be_taken() -> None:
    streams = Streams()
    for i in range(200):
        streams.note_read(i * STEP, (i + 1) * STEP, largest=MIB)
        assert all(stop - start <= MIB for start, stop in streams.windows(SIZE))


@given(st.lists(st.integers(0, 10**6), max_size=50, unique=True))
def test_random_reads_are_never_sequential(places: list[int]) -> None:
    streams = Streams()
    for place in places:
        streams.note_read(place * 10 * MIB, place * 10 * MIB + 4096)
    assert streams.windows(10**15) == []
