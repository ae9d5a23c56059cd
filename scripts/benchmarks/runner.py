"""Runs the measures: each system in turn on a fresh mount, so that what the machine does meets all alike."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.figures import Measure, Result
from benchmarks.mounts import System
from benchmarks.report import number
from benchmarks.trees import EMPTY
from benchmarks.world import World

SAMPLE_S = 600.0


class Runner:
    """Collects results. A sample that fails is noted as such, and the others go on."""

    def __init__(self, world: World, systems: Sequence[System], directory: Path) -> None:
        self._world = world
        self._systems = systems
        self._directory = directory

    def run(self, measure: Measure, runs: int) -> list[Result]:
        """One result for each of the measure's figures, after so many runs."""
        results = [Result(figure) for figure in measure.figures]
        self._world.trees.make(measure.tree)
        for run in range(runs):
            self._world.look_at_the_link()
            if measure.reference is not None:
                self._note(results, run, "wire", partial(measure.reference, self._world))
            # Whoever comes second finds the server's caches warm: take turns.
            systems = [system for system in self._systems if system.name in measure.systems]
            for system in systems if run % 2 == 0 else reversed(systems):
                self._note(results, run, system.name, partial(self._sample, measure, system))
        return results

    def _sample(self, measure: Measure, system: System) -> dict[str, float]:
        directory = Path(tempfile.mkdtemp(prefix=f"{system.name}-", dir=self._directory))
        url = self._world.link.url_for(f"/{measure.tree}/")
        if measure.tree == EMPTY:
            self._world.trees.clear(EMPTY)
        try:
            with (
                system.mounted(url, directory, on_open=measure.on_open) as mount,
                mount.limited(SAMPLE_S),
            ):
                return measure.sample(mount, self._world)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def _note(self, results: list[Result], run: int, name: str, take: Callable[[], dict[str, float]]) -> None:
        try:
            values = take()
        except Exception as error:  # noqa: BLE001 - the edge of one sample
            for result in results:
                result.failures.setdefault(name, []).append(f"{type(error).__name__}: {error}")
                _say(f"run {run + 1}  {name:8} {result.figure.name}: failed: {error}")
            return
        for result in results:
            value = values.get(result.figure.name)
            if value is not None:
                result.samples.setdefault(name, []).append(value)
                _say(f"run {run + 1}  {name:8} {result.figure.name}: {number(value)} {result.figure.unit}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
