"""Requests below a folder and the move of that folder keep apart, and never wait for each other."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from cloudfs.sync.gate import Gate


async def test_a_move_waits_for_who_passes_and_holds_up_who_comes() -> None:
    gate = Gate()
    said: list[str] = []
    first_may_leave = trio.Event()

    async def first() -> None:
        async with gate.passing([1, 7]):
            await first_may_leave.wait()
            said.append("first is through")

    async def move() -> None:
        async with gate.closed(7):
            said.append("moved")

    async def second() -> None:
        async with gate.passing([1, 7]):
            said.append("second is through")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(move)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(second)
        await trio.testing.wait_all_tasks_blocked()
        assert said == []
        async with gate.passing([1]):
            pass  # another way is free
        first_may_leave.set()
    assert said == ["first is through", "moved", "second is through"]


async def test_moves_within_each_other_end() -> None:
    gate = Gate()

    async def move(folder: int, above: list[int]) -> None:
        async with gate.passing(above), gate.closed(folder):
            await trio.lowlevel.checkpoint()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                for folder in range(2, 6):
                    nursery.start_soon(move, folder, list(range(1, folder)))
                await trio.testing.wait_all_tasks_blocked()


async def test_who_is_cancelled_holds_nothing() -> None:
    gate = Gate()
    async with gate.passing([2]):
        with trio.move_on_after(0) as scope:
            async with gate.closed(2):
                pytest.fail("somebody passes it")
        assert scope.cancelled_caught
    async with gate.closed(2):
        with trio.move_on_after(0) as scope:
            async with gate.passing([2]):
                pytest.fail("it is closed")
        assert scope.cancelled_caught
    with trio.fail_after(1):
        async with gate.closed(2):
            pass
