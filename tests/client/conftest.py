"""A daemon with three files for programs to ask, and the loops that they run on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from tests.control.desk import HEAD, Desk, desk_in_thread
from tests.servers.memory_cloud import MemoryCloud

FILE = HEAD + "a.bin"
OTHER = HEAD + "b.bin"

PATIENCE_S = 20

Run = Callable[[Callable[[], Awaitable[None]]], None]


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a program to its end, on one loop and on the other."""

    def run(program: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(PATIENCE_S):
                await program()

        anyio.run(bounded, backend=request.param)

    return run


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    cloud = MemoryCloud()
    cloud.put(b"a.bin", bytes(100_000))
    cloud.put(b"b.bin", bytes(1000))
    cloud.put(b"Photos/1.jpg", b"jpeg" * 1000)
    with desk_in_thread(tmp_path, cloud) as desk:
        monkeypatch.setenv("CLOUDFS_SOCKET", str(desk.config.socket))
        yield desk
