"""Kill the daemon at random moments of a real load, and look each time whether anything acknowledged is gone.

A round: workers change their folders while syncs run and the network fails now and then; kill -9; mount
again; the mount must hold what was acknowledged. Half of the rounds are killed once more, in the middle of
the sync that follows. Then everything is synced, and both sides must be equal.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tests.crash.operations import Tree, from_json
from tests.mount.harness import Mount, wait_until
from tests.mount.trees import assert_same, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer, Close, CutRequest, LoseAnswer
from tests.servers.proxy import FaultProxy

WORKERS = 2
UPLOAD_BANDWIDTH = 4_000_000  # bytes a second of each connection: large files are long under way
FAULTS = (LoseAnswer(), Close(), CutRequest(5_000), Answer(503), Answer(500), Answer(423))
CHANGES = "PUT|DELETE|MOVE|MKCOL"


@dataclass
class Figures:
    """What was gone through."""

    rounds: int = 0
    kills: int = 0
    acknowledged: int = 0
    in_flight: int = 0
    pending: int = 0  # changes that the cloud lacked at a kill
    requests: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.kills} kills, {self.acknowledged} operations acknowledged, "
            f"{self.in_flight} in flight, {self.pending} changes pending at kills, "
            f"{self.requests} requests, {self.seconds:.0f} s"
        )


def digests(held: Tree) -> set[str]:
    return {sha256(data).hexdigest() for data in held.values() if data is not None}


@dataclass
class Worker:
    """One folder's load, and what that folder must hold."""

    name: str
    held: Tree = field(default_factory=dict)
    seen: set[str] = field(default_factory=lambda: digests({"empty": b""}))  # of all that it ever held

    def check(self, journal: Path, found: Tree, figures: Figures) -> None:
        """Replay what was acknowledged, and take what is found as what is held, where that is allowed."""
        operation = None
        for line in journal.read_text().splitlines():
            if line != "done":
                operation = from_json(json.loads(line))
                continue
            assert operation is not None
            self.held = operation.after(self.held)
            self.seen.update(digests(self.held))
            operation = None
            figures.acknowledged += 1
        if operation is None:
            assert_same(self.held, found, f"acknowledged in {self.name}, and found after the kill")
        else:
            figures.in_flight += 1
            if not operation.explains(self.held, found):
                assert_same(self.held, found, f"{self.name} after the kill, while in flight: {operation}")
        self.held = found
        self.seen.update(digests(found))


class Crash:
    """One server, one mount, and round after round."""

    def __init__(self, directory: Path, apache: Apache, proxy: FaultProxy, seed: int) -> None:
        self.figures = Figures()
        self._directory = directory
        self._root = apache.root
        self._proxy = proxy
        self._seed = seed
        sync = {"debounce": "50ms", "interval": "500ms", "delete_brake": 10_000}
        cloud = {"url": proxy.url, "timeout": "5s"}
        self._mount = Mount(directory / "mount", {"cloud": cloud, "sync": sync})
        self._workers = [Worker(f"worker {number}") for number in range(WORKERS)]
        proxy.conditions.upload_bandwidth = UPLOAD_BANDWIDTH

    @contextmanager
    def running(self) -> Iterator[Crash]:
        """The first mount, with the workers' folders; unmounted at the end."""
        try:
            self._mount.start()
            for worker in self._workers:
                (self._mount.path / worker.name).mkdir()
            yield self
        finally:
            self._mount.close()

    def round(self, number: int) -> None:
        """Raises AssertionError where anything is lost, torn or left over."""
        began, chance = time.monotonic(), random.Random(f"{self._seed}/{number}")
        journals = [self._directory / f"{number} {worker.name}" for worker in self._workers]
        self._trouble(chance)
        self._load_until_killed(journals, chance)
        there = self._on_server()
        self._mount.start()
        for worker, journal in zip(self._workers, journals, strict=True):
            worker.check(journal, tree(self._mount.path / worker.name), self.figures)
        self._check_whole(there)
        if chance.random() < 0.5:
            self._kill_in_a_sync(chance)
        self._proxy.faults.clear()
        self._mount.settle()
        self._collect()
        self._check_both_sides()
        self.figures.rounds += 1
        self.figures.requests = self._proxy.counters.requests
        self.figures.seconds += time.monotonic() - began

    def _trouble(self, chance: random.Random) -> None:
        """Let a few requests of this round fail."""
        for _ in range(chance.randrange(4)):
            self._proxy.faults.add(chance.choice(FAULTS), method=CHANGES, times=chance.randrange(1, 4))

    def _load_until_killed(self, journals: Sequence[Path], chance: random.Random) -> None:
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.crash.load", self._mount.path / worker.name, journal, seed]
            )
            for worker, journal in zip(self._workers, journals, strict=True)
            for seed in [str(chance.randrange(1 << 30))]
        ]
        try:
            wait_until(lambda: all(journal.exists() for journal in journals), "the workers are at work")
            time.sleep(chance.uniform(0.02, 0.8))
            self._kill()
            for process in workers:
                assert process.wait(10) == 0, "a worker met an error while the daemon lived"
        finally:
            for process in workers:
                process.kill()
                process.wait()

    def _kill(self) -> None:
        self.figures.pending += self._mount.pending
        self._mount.kill()
        self.figures.kills += 1
        wait_until(lambda: self._proxy.counters.open == 0, "the server has been left")

    def _kill_in_a_sync(self, chance: random.Random) -> None:
        time.sleep(chance.uniform(0.0, 0.4))
        self._kill()
        self._check_whole(self._on_server())
        self._mount.start()
        for worker in self._workers:
            assert_same(worker.held, tree(self._mount.path / worker.name), f"{worker.name}, killed again")

    def _on_server(self) -> dict[str, set[str]]:
        """Digests of what is under a name there now, by worker."""
        return {
            worker.name: digests(
                {
                    name: data
                    for name, data in tree(self._root / worker.name).items()
                    if "/." not in f"/{name}"
                }
            )
            for worker in self._workers
            if (self._root / worker.name).exists()
        }

    def _check_whole(self, there: Mapping[str, set[str]]) -> None:
        """Under its name each file there was whole: something that was once held here."""
        for worker in self._workers:
            torn = there.get(worker.name, set()) - worker.seen
            assert not torn, f"{len(torn)} files on the server that were never so here, in {worker.name}"

    def _collect(self) -> None:
        """What a kill left on the server under hidden names goes with the change after it is seen."""
        if any(name.startswith(".cloudfs-") for name in map(os.path.basename, tree(self._root))):
            (self._mount.path / "change").write_bytes(b"")
            self._mount.settle()
            (self._mount.path / "change").unlink()
            self._mount.settle()

    def _check_both_sides(self) -> None:
        here, there = tree(self._mount.path), tree(self._root)
        assert_same(here, there, "between the mount and the server, after the sync")
        for worker in self._workers:
            found = {
                name.removeprefix(f"{worker.name}/"): data
                for name, data in here.items()
                if name.startswith(f"{worker.name}/")
            }
            assert_same(worker.held, found, f"{worker.name}, after the sync")


@contextmanager
def crashing(directory: Path, seed: int) -> Iterator[Crash]:
    """A server, the way to it and a mount, all below a directory."""
    (directory / "server").mkdir()
    with (
        Apache(directory / "server") as apache,
        FaultProxy(apache.url) as proxy,
        Crash(directory, apache, proxy, seed).running() as crash,
    ):
        yield crash
