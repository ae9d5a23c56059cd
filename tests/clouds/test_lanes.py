from __future__ import annotations

import trio
import trio.testing

from cloudfs.clouds.base import Lane
from cloudfs.clouds.lanes import Lanes


async def hold(lanes: Lanes, lane: Lane, order: list[str], name: str, until: trio.Event) -> None:
    async with lanes.permit(lane):
        order.append(name)
        await until.wait()


async def test_the_last_connections_are_kept_for_the_urgent(nursery: trio.Nursery) -> None:
    lanes, order = Lanes(4), list[str]()
    ends = []
    for name, lane in [("b", Lane.BULK)] * 4 + [("d", Lane.DEMAND)] * 2 + [("m", Lane.METADATA)] * 2:
        ends.append(trio.Event())
        nursery.start_soon(hold, lanes, lane, order, name, ends[-1])
        await trio.testing.wait_all_tasks_blocked()
    assert order == ["b", "b", "d", "m"]
    ends[0].set()  # the most urgent waiter comes first
    await trio.testing.wait_all_tasks_blocked()
    assert order[4:] == ["m"]
    ends[1].set()
    ends[6].set()  # two are left busy: demand's waiter makes it three, and then bulk has no room
    await trio.testing.wait_all_tasks_blocked()
    assert order[5:] == ["d"]
    for end in ends:
        end.set()
    await trio.testing.wait_all_tasks_blocked()
    assert order[6:] == ["b", "b"]
    assert lanes.busy == 0


async def test_one_connection_serves_every_lane() -> None:
    lanes = Lanes(1)
    for lane in Lane:
        async with lanes.permit(lane):
            assert lanes.busy == 1


async def test_a_cancelled_waiter_holds_nothing(nursery: trio.Nursery) -> None:
    lanes, done = Lanes(1), trio.Event()
    nursery.start_soon(hold, lanes, Lane.METADATA, [], "first", done)
    await trio.testing.wait_all_tasks_blocked()
    with trio.move_on_after(0.01) as scope:
        async with lanes.permit(Lane.METADATA):
            raise AssertionError("there was no room")
    assert scope.cancelled_caught
    done.set()
    async with lanes.permit(Lane.METADATA):
        assert lanes.busy == 1


async def test_one_overload_is_one_cut() -> None:
    lanes = Lanes(16)
    before = trio.current_time()
    lanes.shrink(before)
    lanes.shrink(before - 1)
    assert lanes.limit == 8
    for _ in range(10):
        lanes.shrink(trio.current_time())
    assert lanes.limit == 1
    for _ in range(200):
        lanes.grow()
    assert lanes.limit == 16


async def test_growth_lets_waiters_in(nursery: trio.Nursery) -> None:
    lanes, order, done = Lanes(2), list[str](), trio.Event()
    lanes.shrink(trio.current_time())
    for name in "ab":
        nursery.start_soon(hold, lanes, Lane.METADATA, order, name, done)
        await trio.testing.wait_all_tasks_blocked()
    assert order == ["a"]
    lanes.grow()
    await trio.testing.wait_all_tasks_blocked()
    assert order == ["a", "b"]
    done.set()
