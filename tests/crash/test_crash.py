"""A dozen rounds of kill -9 under load; `scripts/crash` runs hundreds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.crash.rounds import run

ROUNDS = 12


@pytest.mark.timeout(300)
def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    figures = run(tmp_path, ROUNDS, seed=int(time.time()), tell=print)
    assert figures.rounds == ROUNDS
    assert figures.acknowledged > ROUNDS, "the workers worked"
