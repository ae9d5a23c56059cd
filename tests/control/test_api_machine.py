"""The API in any order, beside programs, another device and faults: events, states and bytes stay right.

A history that fails is printed shortened, with the seed of its schedule; it runs the same each time.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.control.api_world import World
from tests.control.desk import MIB, open_desk
from tests.servers.memory_cloud import MemoryCloud
from tests.simulation.history import no_bug_logged
from tests.simulation.inline import InlineDatabase, run
from tests.simulation.machine import scratch

Step = tuple[str, int, int]

VERBS = (
    *("start",) * 4,
    *("wait",) * 4,
    *("open", "read", "stop", "clean", "sync") * 2,
    *(
        "restart",
        "close",
        "write",
        "put",
        "remove",
        "overtake",
        "arrive",
        "vanish",
        "pin",
        "unpin",
        "sync_stop",
    ),
    *("fault", "cut", "refuse", "slow", "fill", "device", "heal"),
)
STEPS = st.tuples(st.sampled_from(VERBS), st.integers(0, 7), st.integers(0, 5))
ROOMY, TIGHT = 64 * MIB, 2_000_000


def play(seed: int, size: int, history: list[Step]) -> None:
    """One history to its end. size: of the cache. Raises AssertionError for what must not be."""

    async def main() -> None:
        cloud = MemoryCloud()
        cloud.latency_s, cloud.chunk_latency_s = 0.01, 0.02
        desk_open = open_desk(directory, cloud, size=size, database=InlineDatabase())
        async with desk_open as desk, trio.open_nursery() as nursery:
            world = World(desk, cloud, nursery, is_tight=size == TIGHT)
            await world.begin()
            for verb, one, two in history:
                await world.act(verb, one, two)
            await world.finish()
            nursery.cancel_scope.cancel()

    directory = Path(tempfile.mkdtemp(prefix="cloudfs-api-", dir=scratch(Path(tempfile.gettempdir()))))
    try:
        with no_bug_logged():
            run(seed, main)
    finally:
        shutil.rmtree(directory)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    size=st.sampled_from((ROOMY, TIGHT)),
    history=st.one_of(st.lists(STEPS, max_size=8), st.lists(STEPS, min_size=12, max_size=24)),
)
def test_whatever_is_called_in_whatever_order(seed: int, size: int, history: list[Step]) -> None:
    play(seed, size, history)
