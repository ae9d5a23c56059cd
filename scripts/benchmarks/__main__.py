"""`scripts/bench`: the command line."""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report
from benchmarks.api import API
from benchmarks.figures import Measure, Result, figures_of
from benchmarks.link import Link
from benchmarks.mounts import Cloudfs, Rclone, System
from benchmarks.reads import READS
from benchmarks.runner import Runner
from benchmarks.trees import QUICK, Scale, Trees
from benchmarks.world import World
from benchmarks.writes import WRITES
from tests.servers.apache import Apache

ROUND_TRIP_S = 0.020
RATE = 25_000_000
MEASURES = (*READS, *WRITES, *API)
SYSTEMS: tuple[System, ...] = (Cloudfs(), Rclone(), Rclone(transfers=32))


def main() -> int:
    """0 when every figure was taken, whatever it says; 1 when some failed; 2 for wrong usage."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unmount and remove on the way out
    measures = _selected(arguments.figure)
    systems = [system for system in SYSTEMS if system.name in (arguments.only or system.name)]
    scale = QUICK if arguments.quick else Scale()
    runs = arguments.runs or (1 if arguments.quick else 3)
    with _directory(arguments.directory) as directory:
        trees = Trees(directory / "root", scale)
        with (
            Apache(trees.root) as server,
            Link(server.port, round_trip_s=ROUND_TRIP_S, rate=RATE) as link,
        ):
            runner = Runner(World(trees, link), systems, directory)
            results = [result for measure in measures for result in runner.run(measure, runs)]
    setup = _setup(systems, runs, scale)
    _print(results, setup, arguments.json)
    return 1 if any(result.failures for result in results) else 0


def _parser() -> argparse.ArgumentParser:
    names = ", ".join(figure.name for figure in figures_of(MEASURES))
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="cloudfs beside `rclone mount --vfs-cache-mode full`, in one run, over a link of"
        " 20 ms and 25 MB/s a connection to Apache mod_dav on this machine.",
    )
    parser.add_argument("figure", nargs="*", help=f"what to measure (default: all): {names}")
    parser.add_argument("--runs", type=_positive, help="how often (default: 3, with --quick: 1)")
    parser.add_argument("--quick", action="store_true", help="smaller trees: a look, no verdict")
    parser.add_argument("--json", action="store_true", help="print JSON, with each sample")
    parser.add_argument("--only", choices=[system.name for system in SYSTEMS], help="leave the other out")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("/var/tmp"),
        help="where trees and caches go (default: /var/tmp)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _selected(names: Sequence[str]) -> list[Measure]:
    """Those with a figure of one of the names, or of what one begins with (`ls`: `ls-cold`, `ls-warm`, …)."""
    known = [figure.name for figure in figures_of(MEASURES)]
    wanted: set[str] = set()
    for name in names:
        matches = {name} if name in known else {full for full in known if full.startswith(f"{name}-")}
        if not matches:
            print(f"scripts/bench: no figure named {name}; see --help", file=sys.stderr)
            raise SystemExit(2)
        wanted |= matches
    return [
        measure
        for measure in MEASURES
        if not names or any(figure.name in wanted for figure in measure.figures)
    ]


@contextlib.contextmanager
def _directory(parent: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="cloudfs-bench-", dir=parent))
    directory.chmod(0o755)  # Apache, started by root, reads as www-data
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _setup(systems: Sequence[System], runs: int, scale: Scale) -> dict[str, object]:
    return {
        "versions": ", ".join(system.version() for system in systems),
        "runs": runs,
        "large_bytes": scale.large_bytes,
        "round_trip_s": ROUND_TRIP_S,
        "rate": RATE,
        "machine": f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}",
    }


def _print(results: Sequence[Result], setup: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(report.as_json(results, setup))
    else:
        print(f"{setup['versions']}; medians of {setup['runs']}; {setup['machine']}\n")
        print(report.table(results))


if __name__ == "__main__":
    sys.exit(main())
