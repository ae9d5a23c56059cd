"""One thread, one clock and no chance: what makes a history of a simulation run the same each time.

The database's writer, which has a thread of its own, is replaced by one that works at once; so is every
hop to a worker thread. Time is trio's mock clock, which jumps wherever everybody waits.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import trio
import trio.testing

from cloudfs.database.bridge import Database, Work
from cloudfs.database.faults import translated
from cloudfs.database.schema import migrate

T = TypeVar("T")
EPOCH_NS = 1_800_000_000_000_000_000


class InlineDatabase(Database):
    """A database in memory that commits in the step in which it is asked to.

    image: what an earlier one had committed when it ended.
    """

    def __init__(self, image: bytes | None = None) -> None:
        super().__init__(Path("in memory"))
        self._image = image

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._reader = connection = sqlite3.connect(":memory:", isolation_level=None)
        if self._image is None:
            migrate(connection)
        else:
            connection.deserialize(self._image)
        connection.execute("PRAGMA foreign_keys = ON")
        task_status.started()
        # It stays open: what still ends after a kill may write to it, and nobody reads that again.
        await trio.sleep_forever()

    async def commit(self, work: Work[T], *, durable: bool = False) -> T:
        await trio.lowlevel.checkpoint_if_cancelled()
        connection = self._opened()
        connection.execute("BEGIN")
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            connection.execute("ROLLBACK")
            raise translated(error) from error
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        with trio.CancelScope(shield=True):
            await trio.lowlevel.checkpoint()
        return result

    def image(self) -> bytes:
        """What is committed now: what a killed process leaves behind."""
        return self._opened().serialize()


class Clock:
    """The time of day in a simulation: each look is a moment later."""

    def __init__(self) -> None:
        self._looks = 0

    def now_ns(self) -> int:
        self._looks += 1
        return EPOCH_NS + int(trio.current_time() * 1e9) + self._looks

    def now_ms(self) -> int:
        return self.now_ns() // 1_000_000


async def _at_once(function: Callable[..., T], *args: Any, **_: Any) -> T:
    await trio.lowlevel.checkpoint()
    return function(*args)


@contextmanager
def _without_chance(seed: int) -> Iterator[None]:
    state = random.getstate()
    random.seed(seed)
    with (
        mock.patch.object(trio.to_thread, "run_sync", _at_once),
        # As hypothesis makes it: trio takes the tasks that may run in a random order.
        mock.patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(trio._core._run, "_r", random.Random(seed)),
    ):
        yield
    random.setstate(state)


def run(seed: int, main: Callable[[], Awaitable[T]]) -> T:
    """`main()` to its end, the same each time for the same seed."""
    with _without_chance(seed):
        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
