"""What a measure may use: the trees, the link to their server, the round trip as it is now."""

from __future__ import annotations

from benchmarks import bare
from benchmarks.link import Link
from benchmarks.trees import Trees


class World:
    """One run's surroundings. `round_trip_s` is that of a warm connection, measured anew before each run."""

    def __init__(self, trees: Trees, link: Link) -> None:
        self.trees = trees
        self.link = link
        self.round_trip_s = 0.0

    def look_at_the_link(self) -> None:
        """Measure the round trip."""
        self.round_trip_s = bare.round_trip_s(self.link.url_for("/probe"))
