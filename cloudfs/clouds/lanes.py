"""Who may use a connection: bounded, the urgent first, fewer while the server is overloaded.

Invariants: `busy` counts the permits given out; a permit is given only while there is room in its lane;
within a lane the oldest waits least.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from cloudfs.clouds.base import Lane


class Lanes:
    """Permits for requests in flight, at most `most`, each held until its answer's body is closed.

    Stands in front of httpx's pool, whose waiting requests leak their slot when cancelled
    (encode/httpcore#1093): nobody ever waits there. How many may be in flight follows the server, as
    TCP's window does: halved when it says 429 or 503, one more for each round of good answers.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._cut_at = -float("inf")
        self._waiting = {lane: trio.lowlevel.ParkingLot() for lane in sorted(Lane)}
        self.busy = 0

    @property
    def limit(self) -> int:
        """How many may be in flight at this moment."""
        return int(self._limit)

    @asynccontextmanager
    async def permit(self, lane: Lane) -> AsyncGenerator[None, None]:
        """Waits for room in the lane, without a deadline of its own. Cancelled, it holds nothing."""
        await self._acquire(lane)
        try:
            yield
        finally:
            self.busy -= 1
            self._wake()

    def shrink(self, asked_at: float) -> None:
        """The server is overloaded, said the answer to a request of `asked_at` (trio's clock).

        Requests sent before the last cut say nothing new: one overload is one cut.
        """
        if asked_at >= self._cut_at:
            self._cut_at = trio.current_time()
            self._limit = max(1.0, self._limit / 2)

    def grow(self) -> None:
        """A request went well."""
        if self._limit < self._most:
            self._limit = min(float(self._most), self._limit + 1 / self._limit)
            self._wake()

    async def _acquire(self, lane: Lane) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._has_room(lane) and not self._waiting[lane]:
            self.busy += 1
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            # The one who wakes us has counted us in, in the same step.
            await self._waiting[lane].park()

    def _has_room(self, lane: Lane) -> bool:
        return self.busy < max(1, self.limit - lane)

    def _wake(self) -> None:
        for lane, waiting in self._waiting.items():  # most urgent first
            while waiting and self._has_room(lane):
                self.busy += 1
                waiting.unpark()
