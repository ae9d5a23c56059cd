"""RangeSet against the plainest model there is: a set of byte numbers."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.model.ranges import RangeSet

LIMIT = 40
spans = st.tuples(st.integers(0, LIMIT), st.integers(0, LIMIT))
edits = st.lists(st.tuples(st.booleans(), spans), max_size=30)


def build(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for is_add, (start, stop) in steps:
        if is_add:
            ranges.add(start, stop)
            model |= set(range(start, stop))
        else:
            ranges.remove(start, stop)
            model -= set(range(start, stop))
    return ranges, model


@given(edits)
def test_holds_exactly_the_bytes_added_and_not_removed(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, model = build(steps)
    assert {byte for start, stop in ranges for byte in range(start, stop)} == model
    assert ranges.total == len(model)


@given(edits)
def test_is_kept_as_the_fewest_ranges(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    pairs = list(build(steps)[0])
    assert all(start < stop for start, stop in pairs)
    assert all(left[1] < right[0] for left, right in pairwise(pairs))


@given(edits, spans)
def test_answers_about_a_span_agree_with_the_bytes(
    steps: list[tuple[bool, tuple[int, int]]], span: tuple[int, int]
) -> None:
    ranges, model = build(steps)
    start, stop = span
    wanted = set(range(start, stop))
    assert ranges.covers(start, stop) == (wanted <= model)
    gaps = ranges.missing(start, stop)
    assert {byte for a, b in gaps for byte in range(a, b)} == wanted - model
    assert gaps == sorted(gaps)
    end = start
    while end in model:
        end += 1
    assert ranges.held_from(start) == end


@given(edits)
def test_survives_its_own_bytes(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges = build(steps)[0]
    assert RangeSet.from_bytes(ranges.to_bytes()) == ranges
    twin = ranges.copy()
    twin.add(LIMIT + 5, LIMIT + 6)
    assert twin != ranges


@pytest.mark.parametrize(
    "blob",
    [
        b"x",
        RangeSet([(5, 9)]).to_bytes() + RangeSet([(1, 2)]).to_bytes(),
        RangeSet([(1, 5)]).to_bytes() + RangeSet([(5, 6)]).to_bytes(),
        (7).to_bytes(8, "little") * 2,
    ],
)
def test_refuses_bytes_that_are_no_map(blob: bytes) -> None:
    with pytest.raises(ValueError, match="range map"):
        RangeSet.from_bytes(blob)
