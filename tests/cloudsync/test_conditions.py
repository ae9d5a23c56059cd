"""Battery and network in the middle of a sync that has work, with all that a mount is made of but FUSE."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from cloudfs.cloudsync import file_sync
from cloudfs.model.enums import ErrorType, Scope, SyncState
from cloudfs.model.progress import SyncProgress
from tests.control.desk import Desk, open_desk
from tests.servers.memory_cloud import MemoryCloud

PATIENCE_S = 20
FILES = [f"file-{number}".encode() for number in range(200)]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Files that wait for a sync, and a cloud that takes its time."""
    monkeypatch.setattr(file_sync, "WATCH_EVERY_S", 0.02)
    async with open_desk(tmp_path, MemoryCloud(max_connections=4)) as desk:
        for name in FILES:
            await desk.write(name, b"mine")
        yield desk


async def run_until_it_uploads(desk: Desk) -> None:
    desk.cloud.chunk_latency_s = 0.1
    await desk.syncs[Scope.FILES].start()
    with trio.fail_after(PATIENCE_S):
        while not desk.cloud.bytes_taken:
            await trio.sleep(0.01)


async def end_of_sync(desk: Desk) -> SyncProgress:
    with trio.fail_after(PATIENCE_S):
        await desk.syncs[Scope.FILES].wait_idle()
    return desk.syncs[Scope.FILES].progress


async def test_a_low_battery_completes_what_is_under_way_and_begins_no_more(desk: Desk) -> None:
    await run_until_it_uploads(desk)
    begun = desk.cloud.bytes_taken // len(b"mine")
    desk.device.interruption = ErrorType.BATTERY_LEVEL_LOW
    assert await end_of_sync(desk) == SyncProgress(SyncState.UPLOAD_FAILED, ErrorType.BATTERY_LEVEL_LOW)
    sent = set(desk.cloud.paths())
    assert 0 < begun <= len(sent) < len(FILES)
    assert desk.cloud.paths() == dict.fromkeys(sent, b"mine")  # none was cut
    asked = {call.path for call in desk.cloud.calls if call.method == "write"}
    assert sent <= asked < set(FILES)  # of which those whose first byte was not out are left
    assert desk.tree.count_changes() == len(FILES) - len(sent)
    desk.device.interruption = ErrorType.NO_ERROR
    desk.cloud.chunk_latency_s = 0
    await desk.syncs[Scope.FILES].start()
    assert await end_of_sync(desk) == SyncProgress(SyncState.COMPLETED)
    assert sorted(desk.cloud.paths()) == sorted(FILES)


async def test_a_low_battery_ends_a_sync_without_uploads_at_once(desk: Desk) -> None:
    desk.cloud.gate = trio.Event()
    await desk.syncs[Scope.FILES].start()
    desk.device.interruption = ErrorType.BATTERY_LEVEL_WARNING
    assert await end_of_sync(desk) == SyncProgress(SyncState.UPLOAD_FAILED, ErrorType.BATTERY_LEVEL_WARNING)
    assert desk.cloud.bytes_taken == 0


@pytest.mark.parametrize("cause", [ErrorType.NETWORK_UNAVAILABLE, ErrorType.WIFI_UNAVAILABLE])
async def test_a_network_that_goes_ends_it_at_once_and_loses_nothing(desk: Desk, cause: ErrorType) -> None:
    await run_until_it_uploads(desk)
    desk.device.interruption = cause
    assert await end_of_sync(desk) == SyncProgress(SyncState.UPLOAD_FAILED, cause)
    desk.device.interruption = ErrorType.NO_ERROR
    desk.cloud.chunk_latency_s = 0
    await desk.syncs[Scope.FILES].start()
    assert await end_of_sync(desk) == SyncProgress(SyncState.COMPLETED)
    assert desk.cloud.paths() == dict.fromkeys(FILES, b"mine")
