"""Waits end by an answer, by time, or by the waiting program's own end."""

from __future__ import annotations

import os
import signal

import pytest
import trio
from trio.testing import MockClock

from cloudfs.fuse.waits import NetworkWaits
from cloudfs.model.errors import Interrupted, NetworkTimeout, NetworkUnavailable, TryAgain
from tests.fuse.programs import stopped_program


async def test_the_answer_is_handed_on() -> None:
    waits = NetworkWaits(timeout_s=30, capacity=1)

    async def wait() -> int:
        await trio.sleep(0)
        return 7

    assert await waits.bounded(wait) == 7
    assert await waits.interruptible(wait, pid=0) == 7
    assert waits.waiting == 0


async def test_the_cause_is_handed_on() -> None:
    waits = NetworkWaits(timeout_s=30, capacity=1)

    async def wait() -> None:
        raise NetworkUnavailable("no route")

    with pytest.raises(NetworkUnavailable, match="no route"):
        await waits.bounded(wait)
    with pytest.raises(NetworkUnavailable, match="no route"):
        await waits.interruptible(wait, pid=0)
    assert waits.waiting == 0


async def test_both_end_at_the_deadline(autojump_clock: MockClock) -> None:
    waits = NetworkWaits(timeout_s=30, capacity=1)
    start = trio.current_time()
    with pytest.raises(NetworkTimeout):
        await waits.bounded(trio.sleep_forever)
    assert trio.current_time() - start == pytest.approx(30)
    with pytest.raises(NetworkTimeout):
        await waits.interruptible(trio.sleep_forever, pid=0)
    assert trio.current_time() - start == pytest.approx(60)


async def test_a_wait_longer_than_a_look_is_joined_again(autojump_clock: MockClock) -> None:
    waits = NetworkWaits(timeout_s=30, capacity=1)
    done = trio.Event()

    async def finish() -> None:
        await trio.sleep(10)
        done.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(finish)
        await waits.interruptible(done.wait, pid=0)
        assert trio.current_time() >= 10


async def test_a_program_that_shall_end_is_let_go() -> None:
    with stopped_program() as pid:
        os.kill(pid, signal.SIGTERM)
        with pytest.raises(Interrupted):
            await NetworkWaits(timeout_s=30, capacity=1).interruptible(trio.sleep_forever, pid)


async def test_no_more_wait_than_there_is_room_for(autojump_clock: MockClock) -> None:
    waits = NetworkWaits(timeout_s=30, capacity=2)

    async def wait() -> None:
        with pytest.raises(NetworkTimeout):
            await waits.bounded(trio.sleep_forever)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(TryAgain):
            await waits.bounded(trio.sleep_forever)
        assert waits.waiting == 2
    assert waits.waiting == 0
