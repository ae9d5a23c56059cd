"""Content against a set of byte numbers, and its table of transitions whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.cache.content import TRANSITIONS, Change, Content, ContentState
from cloudfs.model.entry import Version

SIZE = 40
VERSION = Version(etag='"a"', mtime_ns=None, size=SIZE)


def state_of(held: set[int]) -> ContentState:
    if not held:
        return ContentState.PLACEHOLDER
    return ContentState.WHOLE if len(held) == SIZE else ContentState.PARTIAL


RANGES = st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)).map(lambda pair: (min(pair), max(pair)))


@given(st.lists(st.tuples(st.sampled_from(["add", "drop", "clip"]), RANGES), max_size=30))
def test_it_holds_what_a_set_of_bytes_would(steps: list[tuple[str, tuple[int, int]]]) -> None:
    content = Content(1, VERSION)
    model: set[int] = set()
    for verb, (start, stop) in steps:
        before = len(model)
        if verb == "add":
            model |= set(range(start, stop))
            assert content.add(start, stop) == len(model) - before
        elif verb == "drop":
            model -= set(range(start, stop))
            assert content.drop(start, stop) == before - len(model)
        else:
            model -= set(range(stop, SIZE))
            assert content.clip(stop) == before - len(model)
        assert content.held_bytes == len(model)
        assert content.state is state_of(model)
        assert content.is_whole == (len(model) == SIZE)
        missing = {byte for first, last in content.missing(start, stop) for byte in range(first, last)}
        assert missing == set(range(start, stop)) - model
        assert content.holds(start, stop) == (not missing)


@given(st.lists(RANGES, max_size=12), st.lists(RANGES, max_size=3), st.integers(1, SIZE))
def test_the_oldest_are_held_unwanted_and_enough(
    added: list[tuple[int, int]], wanted: list[tuple[int, int]], count: int
) -> None:
    content = Content(1, VERSION)
    for start, stop in added:
        content.add(start, stop)
    content.wanted.extend(wanted)
    kept = {byte for first, last in wanted for byte in range(first, last)}
    held = {byte for first, last in content.held for byte in range(first, last)}
    oldest = {byte for first, last in content.oldest(count) for byte in range(first, last)}
    assert oldest <= held - kept
    assert len(oldest) >= min(count, len(held - kept))


def test_what_came_first_goes_first() -> None:
    content = Content(1, VERSION)
    content.add(20, 30)
    content.add(0, 10)
    assert content.oldest(10) == [(20, 30)]
    content.drop(20, 30)
    assert content.oldest(5) == [(0, 5)]


@pytest.mark.parametrize("state", list(ContentState))
@pytest.mark.parametrize("change", list(Change))
def test_every_change_in_every_state(state: ContentState, change: Change) -> None:
    content = Content(1, VERSION)
    content.state = state
    if (state, change) in TRANSITIONS:
        content._change(change)
        assert content.state is TRANSITIONS[state, change]
    else:
        with pytest.raises(RuntimeError, match=change.name):
            content._change(change)
        assert content.state is state


def test_nothing_is_added_while_it_is_evicted() -> None:
    content = Content(1, VERSION)
    content.add(0, 10)
    content.leave()
    with pytest.raises(RuntimeError, match="takes no bytes"):
        content.add(10, 20)
    content.gone()
    assert content.state is ContentState.PLACEHOLDER
    assert content.held_bytes == 0


def test_bytes_outside_of_the_file_are_refused() -> None:
    with pytest.raises(ValueError, match="outside"):
        Content(1, VERSION).add(0, SIZE + 1)


def test_another_version_only_before_the_first_byte() -> None:
    content = Content(1, VERSION)
    longer = Version(etag='"b"', mtime_ns=None, size=SIZE * 2)
    content.rebase(longer)
    content.add(SIZE, SIZE * 2)
    with pytest.raises(ValueError, match="another version"):
        content.rebase(VERSION)
    assert content.version is longer


def test_an_empty_file_is_whole() -> None:
    assert Content(1, Version(etag=None, mtime_ns=None, size=0)).state is ContentState.WHOLE
