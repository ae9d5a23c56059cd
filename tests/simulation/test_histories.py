"""Random histories of both sides, with faults, races and crashes: nothing is lost, and both sides agree.

`scripts/simulate-histories` plays as many more as there is time for.
"""

from __future__ import annotations

import pytest

from tests.simulation.history import Act, play
from tests.simulation.shrinking import failure_of

HISTORIES = 2000
PARTS = 20
LENGTH = 14


@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_is_lost_whatever_happens(part: int) -> None:
    for seed in range(part, HISTORIES, PARTS):
        failure = failure_of(seed, LENGTH)
        assert failure is None, str(failure)


# Each with the seed of its weather, as it was shortened when it failed.
FAILED_ONCE: dict[str, tuple[int, list[Act]]] = {
    "a folder brought back where tags tell what changed": (
        3011935,
        [
            ("remote", "put", 205, 110, 0),
            ("remote", "mkdir", 37, 132, 0),
            ("remote", "mkdir", 197, 172, 0),
            ("remote", "mkdir", 35, 102, 0),
            ("sync", "finish", 0, 0, 0),
            ("race before write", "mkdir", 147, 183, 0),
            ("sync", "begin", 184, 172, 0),
            ("local", "cut", 193, 93, 1),
            ("remote", "mkdir", 202, 106, 0),
            ("local", "rmtree", 58, 68, 0.0),
        ],
    ),
    "a file moved out of a folder that the cloud moved, where tags tell what changed": (
        3018730,
        [
            ("remote", "mkdir", 24, 100, 0),
            ("remote", "put", 62, 7, 0),
            ("remote", "mkdir", 172, 68, 0),
            ("remote", "put", 8, 47, 0),
            ("sync", "finish", 0, 0, 0),
            ("local", "rename", 187, 100, 0.0),
            ("remote", "rename", 162, 34, 0.0),
        ],
    ),
    "a file in a gallery folder's place that the cloud removed": (
        785,
        [
            ("remote", "put", 32, 70, 0),
            ("sync", "finish", 0, 0, 0),
            ("remote", "remove", 100, 65, 0),
        ],
    ),
    "a swap across the two scopes": (
        3437,
        [
            ("remote", "put", 42, 46, 0),
            ("remote", "put", 22, 139, 0),
            ("remote", "put", 135, 17, 0),
            ("sync", "finish", 0, 0, 0),
            ("local", "exchange", 12, 98, 0),
        ],
    ),
    "a name that one sync takes before the other has heard that it is free": (
        8418,
        [
            ("remote", "mkdir", 151, 48, 0),
            ("remote", "put", 204, 169, 0),
            ("remote", "put", 46, 51, 0),
            ("remote", "put", 166, 124, 0),
            ("sync", "finish", 0, 0, 0),
            ("sync", "begin", 0, 0, 0),
            ("local", "exchange", 195, 201, 0.02),
            ("crash", "kill", 124, 30, 0),
            ("local", "rename", 191, 33, 0),
            ("sync", "finish", 125, 52, 0.0),
        ],
    ),
    "a gallery folder that became a file in the cloud": (
        34190,
        [
            ("remote", "mkdir", 123, 172, 0),
            ("local", "write", 134, 87, 0.0),
            ("remote", "rename", 184, 110, 0.0),
            ("remote", "put", 136, 166, 0.0),
        ],
    ),
    "a name in the cloud that was another scope's, and that the cloud lost": (
        154669,
        [
            ("remote", "put", 159, 136, 0),
            ("remote", "put", 161, 25, 0),
            ("remote", "put", 111, 129, 0),
            ("sync", "finish", 0, 0, 0),
            ("remote", "remove", 187, 206, 0),
            ("local", "exchange", 172, 144, 0.0),
            ("sync", "finish", 163, 199, 0.0),
        ],
    ),
    "a conflict copy that stood for something else in the cloud": (
        318005,
        [
            ("remote", "mkdir", 187, 123, 0),
            ("remote", "put", 124, 26, 0),
            ("remote", "put", 151, 21, 0),
            ("sync", "finish", 0, 0, 0),
            ("remote", "edit", 131, 101, 0),
            ("local", "rename", 116, 195, 0),
            ("local", "edit", 91, 128, 0.0),
        ],
    ),
    "what was moved from a gallery folder's place, and that the cloud lost": (
        364279,
        [
            ("remote", "put", 205, 28, 0),
            ("remote", "mkdir", 151, 131, 0),
            ("remote", "put", 84, 120, 0),
            ("sync", "begin", 94, 203, 1),
            ("sync", "finish", 190, 138, 0),
            ("remote", "remove", 57, 95, 0.0),
            ("local", "exchange", 67, 27, 0),
            ("sync", "finish", 51, 73, 0),
        ],
    ),
    "a file that could not be restored, removed here from the folder that was": (
        71518,
        [
            ("remote", "mkdir", 39, 104, 0),
            ("remote", "put", 167, 182, 0),
            ("sync", "finish", 0, 0, 0),
            ("remote", "remove", 124, 125, 0.0),
            ("sync", "finish", 139, 104, 0),
            ("brake", "restore", 145, 203, 0.0),
            ("local", "rmtree", 49, 188, 0),
        ],
    ),
    "a file edited in the cloud and moved there before it was known to be the one that was moved here": (
        2254,
        [
            ("remote", "put", 205, 204, 0),
            ("remote", "put", 10, 158, 0),
            ("remote", "mkdir", 48, 69, 0),
            ("remote", "mkdir", 29, 143, 0),
            ("sync", "finish", 0, 0, 0),
            ("remote", "remove", 190, 13, 0),
            ("sync", "begin", 133, 19, 0),
            ("remote", "rename", 89, 35, 0),
            ("sync", "stop", 87, 208, 1),
            ("local", "rename", 171, 172, 0),
            ("local", "begin", 98, 135, 0.0),
        ],
    ),
    "a folder that the cloud renamed around what was parked in it": (
        708202,
        [
            ("remote", "mkdir", 171, 88, 0),
            ("remote", "put", 67, 45, 0),
            ("remote", "put", 47, 83, 0),
            ("sync", "finish", 0, 0, 0),
            ("crash", "kill", 137, 141, 0.1),
            ("local", "write", 50, 19, 0.1),
            ("local", "unlink", 32, 153, 0),
            ("local", "exchange", 143, 139, 0.0),
            ("fault", "move", 8, 15, 0.0),
            ("sync", "begin", 13, 103, 0.02),
            ("fault", "list_folder", 153, 201, 1),
            ("remote", "rename", 124, 176, 0.0),
        ],
    ),
    "a swap of what the cloud moves into each other, one of the two parked": (
        5837,
        [
            ("remote", "put", 182, 61, 0),
            ("remote", "put", 200, 122, 0),
            ("remote", "put", 75, 89, 0),
            ("sync", "begin", 174, 186, 0.1),
            ("local", "unlink", 67, 46, 0.0),
            ("local", "exchange", 202, 169, 0),
            ("remote", "rename", 27, 207, 0),
        ],
    ),
    "a parked entry whose move came through unheard, and that was removed since": (
        405,
        [
            ("remote", "put", 171, 142, 0),
            ("remote", "put", 103, 151, 0),
            ("sync", "finish", 0, 0, 0),
            ("sync", "finish", 205, 3, 0),
            ("sync", "begin", 0, 0, 0),
            ("local", "exchange", 14, 57, 0.1),
            ("remote", "put", 106, 67, 1),
            ("remote", "remove", 199, 205, 0),
            ("crash", "kill", 123, 149, 0.0),
        ],
    ),
    "a file that the cloud moved in the first of two rounds": (
        6110,
        [
            ("remote", "put", 7, 186, 0),
            ("sync", "begin", 205, 202, 0.0),
            ("local", "mkdir", 27, 29, 0.0),
            ("fault", "write", 9, 62, 0.0),
            ("sync", "begin", 190, 48, 0),
            ("local", "mkdir", 78, 8, 0.02),
            ("sync", "stop", 142, 104, 0),
            ("remote", "rename", 50, 115, 0.0),
        ],
    ),
    "an exchange, one of the two removed in the cloud": (
        7005,
        [
            ("remote", "put", 185, 162, 0),
            ("remote", "mkdir", 69, 137, 0),
            ("remote", "put", 79, 40, 0),
            ("sync", "finish", 0, 0, 0),
            ("local", "exchange", 12, 53, 0),
            ("remote", "remove", 64, 8, 0.0),
        ],
    ),
    "a file put over one that was being sent when its folder, which has a tag, was listed": (
        406050,
        [
            ("remote", "put", 168, 38, 0),
            ("remote", "mkdir", 97, 124, 0),
            ("remote", "put", 127, 197, 0),
            ("sync", "finish", 0, 0, 0),
            ("sync", "begin", 0, 0, 0),
            ("sync", "begin", 90, 150, 0),
            ("sync", "begin", 0, 0, 0),
            ("local", "read", 129, 190, 0),
            ("sync", "begin", 0, 0, 0),
            ("local", "begin", 129, 3, 0),
            ("local", "read", 112, 67, 0),
            ("local", "edit", 43, 130, 0),
            ("sync", "finish", 28, 41, 0.0),
            ("sync", "begin", 0, 0, 0),
            ("remote", "rename", 30, 205, 0.02),
        ],
    ),
}


@pytest.mark.parametrize("name", FAILED_ONCE)
def test_what_failed_once(name: str) -> None:
    seed, history = FAILED_ONCE[name]
    play(seed, history)
