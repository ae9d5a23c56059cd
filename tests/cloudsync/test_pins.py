"""What pins bring beside the syncs, and what a stop of a scope leaves of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from cloudfs.model.enums import Scope
from cloudfs.model.node import ROOT
from tests.control.desk import Desk, open_desk
from tests.servers.memory_cloud import MemoryCloud

NAMES = [b"many/%d" % number for number in range(40)]
PHOTO = b"Photos/1.jpg"
CONTENT = bytes(100_000)
PATIENCE_S = 20


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Files that come slowly, more of them than are brought at a time."""
    cloud = MemoryCloud()
    for path in (*NAMES, PHOTO):
        cloud.put(path, CONTENT)
    async with open_desk(tmp_path, cloud) as desk:
        for path in (*NAMES, PHOTO):
            await desk.cache.resolve(path)
        yield desk


async def held(desk: Desk, path: bytes) -> int:
    return desk.store.held_bytes(await desk.cache.resolve(path))


async def whole(desk: Desk) -> list[bytes]:
    return [path for path in NAMES if await held(desk, path) == len(CONTENT)]


async def until_many_come(desk: Desk) -> None:
    with trio.fail_after(PATIENCE_S):
        while len(desk.transfers.running()) < 2:
            await trio.sleep(0.005)


async def test_a_stop_ends_what_pins_bring_of_its_scope(desk: Desk) -> None:
    desk.cloud.gate = trio.Event()
    await desk.cache.set_pin(ROOT, True)
    await until_many_come(desk)
    await desk.syncs[Scope.FILES].stop()  # which is idle
    desk.cloud.gate.set()
    with trio.fail_after(PATIENCE_S):
        while await held(desk, PHOTO) < len(CONTENT):
            await trio.sleep(0.005)
    assert await whole(desk) == []

    await desk.syncs[Scope.FILES].start()  # and the next sync takes it up
    with trio.fail_after(PATIENCE_S):
        await desk.syncs[Scope.FILES].wait_idle()
    assert await whole(desk) == NAMES
