"""The crash test for as long as one likes: scripts/crash."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from tests.crash.running import TESTS, run


def main() -> None:
    """What failed is kept, and told with its seed."""
    parser = argparse.ArgumentParser(prog="scripts/crash", allow_abbrev=False)
    parser.add_argument("--devices", type=int, choices=TESTS, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None, help="the same again; default: the clock")
    asked = parser.parse_args()
    seed = int(time.time()) if asked.seed is None else asked.seed
    directory = Path(tempfile.mkdtemp(prefix="cloudfs-crash-"))
    directory.chmod(0o711)  # the server runs as another user
    run(asked.devices, directory, asked.rounds, seed, lambda line: print(line, flush=True))
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
