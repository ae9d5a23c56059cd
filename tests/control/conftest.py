from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.control.desk import Desk, open_desk, running
from tests.servers.memory_cloud import MemoryCloud


@pytest.fixture
def cloud() -> MemoryCloud:
    cloud = MemoryCloud()
    cloud.put(b"a b.txt", b"hello")
    cloud.put(b"folder/deep/file.bin", bytes(100_000))
    cloud.put(b"empty", b"")
    cloud.put(b"Photos/1.jpg", b"jpeg" * 1000)
    return cloud


@pytest.fixture
async def desk(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, cloud) as desk:
        yield desk


@pytest.fixture
async def served(desk: Desk) -> AsyncIterator[Desk]:
    """A desk whose socket listens."""
    async with running(desk.server.run):
        yield desk
