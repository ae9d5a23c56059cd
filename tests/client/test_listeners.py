"""What a listener is told that takes its time."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs.client.listeners import Listening
from cloudfs.client.wire import Skipped
from cloudfs.model.enums import ErrorType, State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

EVENTS = st.lists(
    st.builds(
        DownloadProgress,
        st.sampled_from([State.RUNNING, State.RUNNING, State.COMPLETED, State.FAILED]),
        st.integers(0, 99),
        st.just(99),
        st.sampled_from(["file://a", "file://b"]),
    )
)


def told(events: list[Any], *, at_once: int) -> list[Any]:
    """What comes of events that arrive while the listener is busy, `at_once` at a time."""
    seen: list[Any] = []

    async def main() -> None:
        listening: Listening[Any] = Listening(seen.append, lambda first, last: seen.append((first, last)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listening.run)
            for start in range(0, len(events), at_once):
                for event in events[start : start + at_once]:
                    listening.put(event)
                await trio.testing.wait_all_tasks_blocked()
            listening.end()

    trio.run(main)
    return seen


@settings(deadline=None)
@given(EVENTS, st.integers(1, 8))
def test_no_end_is_left_out_and_the_latest_comes(events: list[DownloadProgress], at_once: int) -> None:
    seen = told(events, at_once=at_once)
    for uri in ("file://a", "file://b"):
        put = [event for event in events if event.uri == uri]
        got = [event for event in seen if event.uri == uri]
        assert [event for event in got if event.state.is_end] == [
            event for event in put if event.state.is_end
        ]
        assert got[-1:] == put[-1:]
        remaining = iter(put)
        assert all(event in remaining for event in got), "in order"


def test_nothing_is_left_out_where_there_is_time() -> None:
    events = [DownloadProgress(State.RUNNING, n, 99, "file://a") for n in range(5)]
    assert told(events, at_once=1) == events


def test_syncs_and_notices_come_whole() -> None:
    states = [SyncState.DOWNLOADING, SyncState.DOWNLOADING, SyncState.COMPLETED]
    events = [SyncProgress(state, ErrorType.NO_ERROR) for state in states]
    assert told([*events, Skipped(4, 9), *events], at_once=10) == [*events, (4, 9), *events]


async def test_a_listener_that_ends_itself() -> None:
    seen: list[Any] = []

    async def listen(progress: SyncProgress) -> None:
        seen.append(progress)
        listening.end()
        await trio.sleep(0)
        seen.append("whole")

    listening: Listening[SyncProgress] = Listening(listen, None)
    first = SyncProgress(SyncState.DOWNLOADING)
    for item in (Skipped(1, 2), first, SyncProgress(SyncState.COMPLETED)):
        listening.put(item)
    await listening.run()
    assert seen == [first, "whole"]
