"""Which events are a connection's own: those of the transfers that it started or joined, and of no others."""

from __future__ import annotations

import json

import trio
import trio.testing

from cloudfs.control.subscriptions import Subscriptions
from cloudfs.model.enums import Priority, State
from tests.control.desk import HEAD, MIB, Desk
from tests.servers.memory_cloud import MemoryCloud

FILE = HEAD + "large"


class Ear:
    """A connection with an `own` subscription, and the states that it heard."""

    def __init__(self, desk: Desk) -> None:
        self.states: list[State] = []
        self._desk = desk
        self._subscriptions = Subscriptions(desk.events, lambda inode: True, self._hear)

    async def begin(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._subscriptions.run)
        await self.call("on", event="progress")

    async def call(self, verb: str, **params: object) -> None:
        params_line = json.dumps(params).encode()
        await self._desk.call_on(self._subscriptions, f"CloudFileCache.{verb}", params_line)

    async def ends(self, count: int) -> list[State]:
        """The first so many ends."""
        with trio.fail_after(20):
            while len(ends := [state for state in self.states if state.is_end]) < count:
                await trio.sleep(0.005)
        return ends

    async def _hear(self, line: bytes) -> None:
        self.states.append(State(json.loads(line)["params"]["progress"]["state"]))


async def test_the_end_of_what_others_began_and_we_stopped(desk: Desk, cloud: MemoryCloud) -> None:
    """It is on its way while our own download begins, and it is not ours."""
    cloud.put(b"large", bytes(MIB))
    inode = await desk.cache.resolve(b"large")
    cloud.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        ear = Ear(desk)
        await ear.begin(nursery)
        desk.transfers.start(inode, Priority.OPENED)
        await ear.call("stop", uri=FILE)
        await ear.call("start", uri=FILE)
        cloud.gate.set()
        assert await ear.ends(1) == [State.COMPLETED]
        nursery.cancel_scope.cancel()


async def test_a_download_started_while_a_program_reads(desk: Desk, cloud: MemoryCloud) -> None:
    """What is fetched for a reader is no transfer that could be joined."""
    cloud.put(b"large", bytes(MIB))
    inode = await desk.cache.resolve(b"large")
    content = await desk.store.open(inode, desk.tree.node(inode).version)
    cloud.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        ear = Ear(desk)
        await ear.begin(nursery)
        await ear.call("start", uri=FILE)
        nursery.start_soon(desk.transfers.need, content, 0, 10)
        await trio.testing.wait_all_tasks_blocked()
        await ear.call("stop", uri=FILE)
        assert desk.transfers.progress(inode) is not None  # for the reader
        await ear.call("start", uri=FILE)
        cloud.gate.set()
        assert await ear.ends(2) == [State.STOPPED, State.COMPLETED]
        nursery.cancel_scope.cancel()
    await desk.store.close(content)


async def test_many_starts_of_one_transfer_are_one_claim(desk: Desk, cloud: MemoryCloud) -> None:
    cloud.put(b"large", bytes(MIB))
    await desk.cache.resolve(b"large")
    cloud.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        ear = Ear(desk)
        await ear.begin(nursery)
        for _ in range(50):
            await ear.call("start", uri=FILE)
        [claims] = ear._subscriptions._claims._claims.values()
        assert len(claims) == 1
        cloud.gate.set()
        assert await ear.ends(1) == [State.COMPLETED]
        await ear.call("start", uri=FILE)
        assert await ear.ends(2) == [State.COMPLETED] * 2
        assert ear._subscriptions._claims._claims == {}
        nursery.cancel_scope.cancel()
