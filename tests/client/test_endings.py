"""Which event is the end of what a `start` began."""

from __future__ import annotations

import pytest

from cloudfs.client.endings import DownloadEnding, SyncEnding
from cloudfs.model.enums import State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

D, U, END, STOPPED = SyncState.DOWNLOADING, SyncState.UPLOADING, SyncState.COMPLETED, SyncState.STOPPED


@pytest.mark.parametrize(
    ("before", "after", "ends_with"),
    [
        pytest.param([END], [D, U, END], 2, id="idle"),
        pytest.param([], [END, D, END], 2, id="the repeated one comes late"),
        pytest.param([D], [D, END], 1, id="a run under way goes on into a rerun"),
        pytest.param([D], [STOPPED], 0, id="a run under way is stopped"),
        pytest.param([D, END], [D, STOPPED], 1, id="a run under way ended just before"),
    ],
)
def test_of_a_sync(before: list[SyncState], after: list[SyncState], ends_with: int) -> None:
    ending = SyncEnding()
    assert [ending.is_met_by(SyncProgress(state)) for state in before].count(True) == 0
    ending.accepted()
    met = [ending.is_met_by(SyncProgress(state)) for state in after]
    assert met.index(True) == ends_with


def test_of_a_download() -> None:
    def told(state: State, uri: str = "file://a") -> bool:
        return ending.is_met_by(DownloadProgress(state, 0, 1, uri))

    ending = DownloadEnding("file://a")
    assert not told(State.STOPPED)
    ending.accepted()
    assert not told(State.RUNNING)
    assert not told(State.COMPLETED, "file://b")
    assert told(State.FAILED)
