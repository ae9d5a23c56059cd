"""A few rounds of kill -9 under load; `scripts/crash` runs hundreds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.crash.running import run


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("devices", "rounds"), [(1, 12), (2, 3)])
def test_nothing_acknowledged_is_lost_by_kill_9(devices: int, rounds: int, tmp_path: Path) -> None:
    told: list[str] = []
    run(devices, tmp_path, rounds, int(time.time()), told.append)
    assert len(told) == rounds
    print(told[-1])
