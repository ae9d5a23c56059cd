"""Round after round of a crash test, told as they go, and what is needed to have a failure again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from tests.crash.devices import Devices, working
from tests.crash.rounds import Crash, crashing

# By how many devices there are.
TESTS: dict[int, Callable[[Path, int], AbstractContextManager[Crash | Devices]]] = {1: crashing, 2: working}


def run(devices: int, directory: Path, rounds: int, seed: int, tell: Callable[[str], None]) -> None:
    """So many rounds below a directory; an AssertionError names the seed and the round."""
    with TESTS[devices](directory, seed) as test:
        for number in range(rounds):
            try:
                test.round(number)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, round {number}, below {directory}: {error}") from error
            tell(f"seed {seed}: {test.figures}")
