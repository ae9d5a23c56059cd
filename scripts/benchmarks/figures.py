"""What a figure is, what it is held against, and whether it stands. No I/O."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from benchmarks.mounts import Mount
from benchmarks.world import World


class Better(Enum):
    """Which way a figure should go."""

    MORE = "more"
    LESS = "less"


class Against(Enum):
    """What a target is a multiple of."""

    NOTHING = "the figure itself"
    WIRE = "the bare reference of the same run"
    RCLONE = "rclone in the same run"
    RCLONE_32 = "rclone with --transfers 32 in the same run"


@dataclass(frozen=True, slots=True)
class Target:
    """At least `value` (at most, where less is better) for the figure itself, or at least that ratio."""

    value: float
    against: Against


# Whose samples a ratio is taken to.
OTHERS = {Against.WIRE: "wire", Against.RCLONE: "rclone", Against.RCLONE_32: "rclone-32"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    name: str
    title: str
    unit: str
    better: Better
    target: Target | None = None
    second_target: Target | None = None

    @property
    def targets(self) -> list[Target]:
        """Those that it has."""
        return [target for target in (self.target, self.second_target) if target is not None]


@dataclass(frozen=True, slots=True)
class Measure:
    """A thing done on a fresh mount, giving one value for each of its figures.

    `tree` is what is mounted, made anew for each sample where it is `EMPTY`. `reference` does the same
    without a mount, where that can be done; it gives values by the same names. `systems`: who is measured.
    """

    figures: tuple[Figure, ...]
    tree: str
    sample: Callable[[Mount, World], dict[str, float]]
    on_open: str = "full"
    reference: Callable[[World], dict[str, float]] | None = None
    systems: tuple[str, ...] = ("cloudfs", "rclone")


@dataclass(slots=True)
class Result:
    """The samples of one figure, by who gave them, and what went wrong instead."""

    figure: Figure
    samples: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def median(self, system: str) -> float | None:
        """None where every try failed or none was made."""
        samples = self.samples.get(system)
        return statistics.median(samples) if samples else None

    def ratio(self, other: str) -> float | None:
        """How much better cloudfs is than `other`: 2 is twice as fast, or half as much."""
        ours, theirs = self.median("cloudfs"), self.median(other)
        if not ours or not theirs:
            return None
        return ours / theirs if self.figure.better is Better.MORE else theirs / ours

    def is_met(self) -> bool | None:
        """Whether all its targets stand; None without a target or without the values to tell."""
        verdicts = [self._meets(target) for target in self.figure.targets]
        if not verdicts or None in verdicts:
            return None
        return all(verdicts)

    def _meets(self, target: Target) -> bool | None:
        if target.against is not Against.NOTHING:
            ratio = self.ratio(OTHERS[target.against])
            return None if ratio is None else ratio >= target.value
        median = self.median("cloudfs")
        if median is None:
            return None
        return median >= target.value if self.figure.better is Better.MORE else median <= target.value


def figures_of(measures: Sequence[Measure]) -> list[Figure]:
    """All their figures, in order."""
    return [figure for measure in measures for figure in measure.figures]
