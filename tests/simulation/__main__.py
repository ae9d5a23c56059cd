"""Play histories over all cores: `python -m tests.simulation [FIRST_SEED [HOW_MANY [LENGTH]]]`."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from functools import partial

from tests.simulation.playing import failure_in, quiet


def main(first: int = 0, count: int = 1_000_000, length: int = 14) -> int:
    """The number of histories that failed; each is printed as soon as it is found."""
    began, failures = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(os.cpu_count(), quiet) as pool:
        seeds = range(first, first + count)
        for played, failure in enumerate(pool.imap_unordered(partial(failure_in, length), seeds, 10), 1):
            if failure is not None:
                failures += 1
                print(f"\n{failure}", flush=True)
            if played % 1000 == 0 or played == count:
                rate = played / (time.monotonic() - began)
                print(f"{played} histories, {failures} failed, {rate:.0f} a second", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(*map(int, sys.argv[1:])) else 0)
