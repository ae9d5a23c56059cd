"""Waiting on the network inside a request: bounded in time, in number, and by the caller's wish to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from cloudfs.fuse.callers import is_asked_to_end
from cloudfs.model.errors import Interrupted, NetworkTimeout, TryAgain

T = TypeVar("T")

# A killed program stays in D state until open or lookup is answered, so it is looked after this often.
SIGNAL_CHECK_S = 0.25


class NetworkWaits:
    """The requests that wait on the network at this moment.

    timeout_s: the longest wait of one request (`[cloud] timeout`).
    capacity: how many may wait at once. pyfuse3 answers nothing at all once each of its tasks waits, so
    this is less than its `max_tasks`; the next one is told to try again.
    """

    def __init__(self, timeout_s: float, capacity: int) -> None:
        self._timeout_s = timeout_s
        self._capacity = capacity
        self._waiting = 0

    @property
    def waiting(self) -> int:
        return self._waiting

    async def bounded(self, wait: Callable[[], Awaitable[T]]) -> T:
        """`wait()`, or NetworkTimeout once the time is over; what it waited for goes on by itself."""
        with self._counted():
            try:
                with trio.fail_after(self._timeout_s):
                    return await wait()
            except trio.TooSlowError:
                raise self._timed_out() from None

    async def interruptible(self, wait: Callable[[], Awaitable[T]], pid: int) -> T:
        """`bounded`, and Interrupted soon after somebody wants the waiting program to end.

        `wait` is left and called again at each look, so it must join what is already under way. pid: the
        waiting thread as /proc knows it, or 0 where it can't be seen.
        """
        deadline = trio.current_time() + self._timeout_s
        with self._counted():
            while trio.current_time() < deadline:
                with trio.move_on_at(min(trio.current_time() + SIGNAL_CHECK_S, deadline)):
                    return await wait()
                if pid and is_asked_to_end(pid):
                    raise Interrupted(f"the program {pid} was asked to end while it waited")
        raise self._timed_out()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._waiting >= self._capacity:
            raise TryAgain(f"{self._waiting} requests wait on the network already")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _timed_out(self) -> NetworkTimeout:
        return NetworkTimeout(f"the cloud gave no answer within {self._timeout_s:g} s")
