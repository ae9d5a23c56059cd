"""Random histories of both sides, with faults, races and crashes: nothing is lost, and both sides agree.

`scripts/simulate-histories` plays as many more as there is time for.
"""

from __future__ import annotations

import pytest

from tests.simulation.history import Act, play
from tests.simulation.shrinking import failure_of

HISTORIES = 1000
PARTS = 20
LENGTH = 14


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_whatever_happens(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        failure = failure_of(seed, LENGTH)
        assert failure is None, str(failure)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([("sync", "finish", 0, 0, 0)], id="nothing at all"),
    ],
)
def test_histories_that_once_went_wrong(history: list[Act]) -> None:
    play(0, history)
