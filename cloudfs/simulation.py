"""What the daemon is told to meet, whatever is really so: for programs that have to be tried against it.

Invariants: one simulation at most is under way, and it ends by itself at its time; what is simulated costs
nothing but itself: no file goes by it, nothing is believed of the cloud that the cloud did not say.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import trio

from cloudfs.config import Network

log = logging.getLogger(__name__)

# "There is no such file" to anything but a request for content would be believed of the file itself.
_OF_CONTENT_ONLY = (404, 410)


@dataclass(frozen=True, slots=True)
class Simulation:
    """Each condition, or None or False where it is as it is.

    battery_percent: of a battery that is not charging. network: never auto. server_error: one of
    `model.errors.SERVER_ERRORS`; none that a change could be taken for done by, or for a conflict.
    """

    battery_percent: int | None = None
    network: Network | None = None
    is_quota_full: bool = False
    is_disk_full: bool = False
    server_error: int | None = None

    def answer_to(self, method: str) -> int | None:
        """The status that the cloud is to have answered a request with; None: it is asked.

        UNLOCK always is: a lock that stays would refuse changes for minutes after all is over.
        """
        if method == "UNLOCK":
            return None
        if self.is_quota_full and method == "PUT":
            return 507
        if self.server_error in _OF_CONTENT_ONLY and method != "GET":
            return None
        return self.server_error


NOTHING = Simulation()


class Simulator:
    """Holds the simulation under way, and ends it in time.

    current: to be read at the moment of the question; NOTHING where there is none.
    until_ms: when it ends by itself, in epoch milliseconds; None where it does not.
    """

    def __init__(self, told: Callable[[], None] = lambda: None) -> None:
        """told: hears that something else is simulated now, or nothing any more. Must not block."""
        self._told = told
        self.current = NOTHING
        self.until_ms: int | None = None
        self._ends_at = math.inf  # trio's clock
        self._changed = trio.Event()

    def begin(self, simulation: Simulation, for_s: float | None) -> None:
        """Simulate from now on, in place of what was simulated before.

        for_s: seconds until it ends by itself; None: at `end`, or with the mount.
        """
        log.warning("simulated from now on: %s", simulation)
        self.current = simulation
        self._ends_at = math.inf if for_s is None else trio.current_time() + for_s
        self.until_ms = None if for_s is None else int((time.time() + for_s) * 1000)
        self._changed.set()
        self._told()

    def end(self) -> None:
        """Everything is as it is again; without a simulation there is nothing to end."""
        if self.current != NOTHING:
            log.warning("the simulation is over")
        self.current, self.until_ms, self._ends_at = NOTHING, None, math.inf
        self._told()

    def answer_to(self, method: str) -> int | None:
        """`Simulation.answer_to` of what is simulated at this moment."""
        return self.current.answer_to(method)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End each simulation at its time, until cancelled."""
        task_status.started()
        while True:
            self._changed = trio.Event()
            with trio.move_on_at(self._ends_at):
                await self._changed.wait()
            if trio.current_time() >= self._ends_at:
                self.end()
