"""The one place where fetches are started: within the slots that each kind may take, in its own nursery.

Invariants: nothing is awaited between choosing and starting; what pauses before another try holds no slot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from cloudfs.cache.content import Content
from cloudfs.clouds.base import Cloud, Lane
from cloudfs.model.errors import WrongContent
from cloudfs.transfers.choosing import Queue, choose_background, choose_demanded
from cloudfs.transfers.download import Download, Flying
from cloudfs.transfers.downloads import Downloads
from cloudfs.transfers.fetch_plan import Fetch, Pace
from cloudfs.transfers.retry import Patience
from cloudfs.transfers.transfer import Transfer

_MOST_FLIGHTS = 256  # those that pause before another try included


class Dispatcher:
    """Looks, whenever it is woken, at what may be started.

    patience_s: how long a flight bears with failures. begin, fly, land, close: the tasks it starts, for a
    queued transfer (who calls `begun` at its end), a flight, a transfer that a program's writes made
    complete, and the content of a download that is over.
    """

    def __init__(
        self,
        cloud: Cloud,
        downloads: Downloads,
        queue: Queue,
        *,
        patience_s: float,
        begin: Callable[[Transfer], Awaitable[None]],
        fly: Callable[[Download, Flying], Awaitable[None]],
        land: Callable[[Download], Awaitable[None]],
        close: Callable[[Content], Awaitable[None]],
    ) -> None:
        self._cloud = cloud
        self._downloads = downloads
        self._queue = queue
        self._patience_s = patience_s
        self._begin = begin
        self._fly = fly
        self._land = land
        self._close = close
        self._pace = Pace()
        self._beginning = 0
        self._something = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dispatch until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                await self._something.wait()
                self._something = trio.Event()
                self._dispatch(nursery)

    def wake(self) -> None:
        """Something changed: a wish, an end, a slot."""
        self._something.set()

    def begun(self) -> None:
        """A `begin` has come to its end."""
        self._beginning -= 1
        self.wake()

    def landed(self, count: int, seconds: float) -> None:
        """A range of so many bytes took so long: more or fewer will fly at once."""
        self._pace.landed(count, seconds, self._slots(Lane.BULK))

    @property
    def on_air(self) -> int:
        """How many connections are in use."""
        return sum(flight.on_air for download in self._downloads for flight in download.flights)

    def _slots(self, lane: Lane) -> int:
        return max(1, self._cloud.max_connections - lane)

    def _dispatch(self, nursery: trio.Nursery) -> None:
        for download in self._downloads:
            if not download.is_wanted:
                download.cancel_all()
            elif download.lands_by_itself:
                download.settling += 1
                nursery.start_soon(self._land, download)
        while self.on_air < self._slots(Lane.DEMAND):
            chosen = choose_demanded(self._downloads)
            if chosen is None:
                break
            self._launch(nursery, *chosen)
        while self._has_background_slot():
            choice = choose_background(self._downloads, self._queue, self._pace, self._slots(Lane.BULK))
            if choice is None:
                break
            if isinstance(choice, Transfer):
                self._queue.remove(choice)
                self._beginning += 1
                nursery.start_soon(self._begin, choice)
            else:
                self._launch(nursery, *choice)
        for content in self._downloads.take_idle():
            nursery.start_soon(self._close, content)

    def _has_background_slot(self) -> bool:
        flights = [flight for download in self._downloads for flight in download.flights]
        background = sum(flight.on_air and not flight.urgent for flight in flights) + self._beginning
        is_free = background < min(self._slots(Lane.BULK), self._pace.parallel)
        return is_free and len(flights) < _MOST_FLIGHTS

    def _launch(self, nursery: trio.Nursery, download: Download, fetch: Fetch) -> None:
        flight = download.take_off(fetch, Patience(self._patience_s, once=(WrongContent,)))
        nursery.start_soon(self._fly, download, flight)
