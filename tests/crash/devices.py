"""Two devices on one cloud whose users only ever add, killed at random moments: no word of either is lost.

A round: both work in one tree while their syncs run and requests fail; one or both daemons are killed,
and mounted again. Then both sync until neither has news. Each token that was acknowledged must be there,
both mounts and the server must hold the same, and one more sync must change nothing.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.rounds import CHANGES, FAULTS
from tests.mount.harness import Mount, wait_until
from tests.mount.trees import Tree, assert_same, changes, conflicts, tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

ROUNDS_OF_SYNC = 6  # a conflict of a conflict, and what a start with a weak tag leaves for later


@dataclass
class Tokens:
    """What was gone through."""

    rounds: int = 0
    kills: int = 0
    acknowledged: int = 0
    conflicts: int = 0

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.kills} kills, {self.acknowledged} tokens acknowledged, "
            f"{self.conflicts} conflict copies"
        )


class Devices:
    """One server and two mounts of it, round after round."""

    def __init__(self, directory: Path, apache: Apache, proxy: FaultProxy, seed: int) -> None:
        self.figures = Tokens()
        self._directory = directory
        self._root = apache.root
        self._proxy = proxy
        self._seed = seed
        self._tokens: set[bytes] = set()
        sync = {"debounce": "50ms", "interval": "200ms", "delete_brake": 10_000}
        sections: dict[str, dict[str, object]] = {"cloud": {"url": proxy.url, "timeout": "5s"}, "sync": sync}
        self._mounts = [Mount(directory / name, sections) for name in ("one", "other")]

    @contextmanager
    def running(self) -> Iterator[Devices]:
        try:
            for mount in self._mounts:
                mount.start()
            yield self
        finally:
            for mount in self._mounts:
                mount.close()

    def round(self, number: int) -> None:
        """Raises AssertionError where anything is lost, or the two don't come to rest alike."""
        chance = random.Random(f"{self._seed}/{number}")
        journals = [self._directory / f"{number} {mount.directory.name}" for mount in self._mounts]
        for _ in range(chance.randrange(4)):
            self._proxy.faults.add(chance.choice(FAULTS), method=CHANGES, times=chance.randrange(1, 4))
        self._work(journals, chance)
        for journal in journals:
            told = journal.read_bytes().splitlines(keepends=True)
            self.figures.acknowledged += len(told)
            self._tokens.update(token for token in told if token.endswith(b"\n"))
        self._proxy.faults.clear()
        held = self._come_to_rest()
        words = b"".join(data for data in held.values() if data).splitlines(keepends=True)
        lost = sorted(self._tokens - set(words))
        assert lost == [], "acknowledged, and nowhere any more"
        self.figures.conflicts = len(conflicts(held))
        self.figures.rounds += 1

    def _work(self, journals: Sequence[Path], chance: random.Random) -> None:
        programs = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.crash.appending", mount.path, journal, seed, f"{journal.name}:"]
            )
            for mount, journal in zip(self._mounts, journals, strict=True)
            for seed in [str(chance.randrange(1 << 30))]
        ]
        killed = chance.choice(([0], [1], [0, 1]))
        try:
            wait_until(lambda: all(journal.exists() for journal in journals), "both are at work")
            time.sleep(chance.uniform(0.2, 1.5))
            for index in killed:
                self._mounts[index].kill()
                self.figures.kills += 1
                assert programs[index].wait(10) == 0, "a program met an error while its daemon lived"
            time.sleep(chance.uniform(0.0, 0.3))  # the other one works on alone
        finally:
            for program in programs:
                assert program.poll() in (None, 0), "a program met an error while its daemon lived"
                program.kill()
                program.wait()
        for index in killed:
            self._mounts[index].start()

    def _come_to_rest(self) -> Tree:
        for _ in range(ROUNDS_OF_SYNC):
            before = len(self._proxy.seen)
            for mount in self._mounts:
                wait_until(lambda m=mount: m.sync() == "COMPLETED", "a sync completes")  # type: ignore[misc]
            if not changes(self._proxy.seen[before:]):
                break
        else:
            raise AssertionError(f"still changing: {changes(self._proxy.seen[before:])}")
        held = tree(self._mounts[0].path)
        assert_same(held, tree(self._mounts[1].path), "between the mounts")
        there = tree(self._root)
        assert_same(
            held, {name: there[name] for name in there if "/.cloudfs-" not in f"/{name}"}, "the server"
        )
        assert [mount.pending for mount in self._mounts] == [0, 0]
        return held


@contextmanager
def working(directory: Path, seed: int) -> Iterator[Devices]:
    """A server, the way to it and two mounts, all below a directory."""
    (directory / "server").mkdir()
    with (
        Apache(directory / "server") as apache,
        FaultProxy(apache.url) as proxy,
        Devices(directory, apache, proxy, seed).running() as devices,
    ):
        yield devices
