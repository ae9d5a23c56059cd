"""aiosqlite driven from trio; the only module that knows of asyncio.

One writer connection, in aiosqlite's thread, does all changes: works that wait at the same time share a
transaction. One read-only connection in the trio thread answers reads in microseconds; in WAL mode it
sees what is committed, and only that.

Invariants: a work's changes are committed whole or not at all; `commit` returns after its transaction
is committed; works take effect in the order of the calls.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Generic, TypeVar, cast

import aiosqlite
import aiosqlite.core
import outcome
import trio

from cloudfs.database.faults import DatabaseDamaged, is_full, translated
from cloudfs.database.reserve import Reserve
from cloudfs.database.schema import migrate
from cloudfs.model.errors import LocalIOError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_PINNED = "0.22.1"
if aiosqlite.__version__ != _PINNED:
    raise ImportError(
        f"cloudfs works with aiosqlite {_PINNED}, not {aiosqlite.__version__}: "
        f"its event loop is replaced by a private detail. Mend: pip install aiosqlite=={_PINNED}"
    )

_GROUP_LIMIT = 256  # works in one transaction, so that the first of them does not wait for ever
_BUSY_TIMEOUT_S = 10.0
_LOG_LIMIT_BYTES = 64 * 1024 * 1024  # what the write-ahead log is cut back to after a checkpoint


class _Result(Generic[T]):
    """What comes of a call into another thread, for the one task that waits for it."""

    def __init__(self) -> None:
        self._waiter: trio.lowlevel.Task | None = None
        self._outcome: outcome.Outcome[T] | None = None

    def done(self) -> bool:
        return self._outcome is not None

    def settle(self, result: outcome.Outcome[T]) -> None:
        """In the trio thread: the waiter goes on in the next step."""
        self._outcome = result
        if self._waiter is not None:
            trio.lowlevel.reschedule(self._waiter)

    async def wait(self) -> T:
        """A statement in another thread cannot be called back, so a cancel waits for it."""
        if self._outcome is None:
            self._waiter = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        assert self._outcome is not None
        return self._outcome.unwrap()


class _Future(_Result[Any]):
    """The asyncio future, and its loop, that aiosqlite's thread answers to."""

    def __init__(self) -> None:
        super().__init__()
        self._token = trio.lowlevel.current_trio_token()

    def get_loop(self) -> _Future:
        return self

    def call_soon_threadsafe(self, function: Callable[..., object], *args: object) -> None:
        try:
            self._token.run_sync_soon(function, *args)
        except trio.RunFinishedError:
            return  # a connection that was dropped unclosed: nobody waits for its end

    def set_result(self, value: object) -> None:
        self.settle(outcome.Value(value))

    def set_exception(self, error: BaseException) -> None:
        self.settle(outcome.Error(error))

    def __await__(self) -> Generator[Any, None, Any]:
        return self.wait().__await__()


# All that aiosqlite 0.22.1 takes from asyncio at run time is `get_event_loop().create_future()`.
aiosqlite.core.asyncio = SimpleNamespace(  # type: ignore[attr-defined, assignment]
    get_event_loop=lambda: SimpleNamespace(create_future=_Future)
)


class _Request(_Result[T]):
    """One caller's work."""

    def __init__(self, work: Work[T], durable: bool) -> None:
        super().__init__()
        self.work = work
        self.durable = durable


class _Group(_Future):
    """Works that share a transaction: all are settled in the step in which the thread's answer comes."""

    def __init__(self, requests: Sequence[_Request[Any]], ended: Callable[[_Group], None]) -> None:
        super().__init__()
        self.requests = requests
        self.is_durable = False
        self._ended = ended

    def settle(self, result: outcome.Outcome[Any]) -> None:
        """By the outcomes of all works, or by what ended the whole transaction."""
        is_lost = isinstance(result, outcome.Error)
        outcomes = [result] * len(self.requests) if is_lost else result.unwrap()
        # A durable commit syncs the whole log, hence what came before it too. Works whose transaction failed
        # as a whole were done one by one: then only the last one tells.
        self.is_durable = self.requests[-1].durable and isinstance(outcomes[-1], outcome.Value)
        for request, its in zip(self.requests, outcomes, strict=True):
            request.settle(its)
        self._ended(self)
        super().settle(outcome.Value(None))


class Database:
    """The durable memory of one mount: a file, its writer and its reader."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reserve = Reserve(path)
        self._queue: list[_Request[Any]] = []
        self._running: _Group | None = None
        self._writer: aiosqlite.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._is_durable = False  # whether all that was committed survives power loss

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Open, bring the tables up to date, and commit until cancelled.

        Once cancelled, what was accepted is still committed; the log is merged into the file. Raises
        DatabaseDamaged (see `set_aside`), DatabaseTooNew, or another LocalIOError where it can't be opened.
        """
        try:
            writer = await aiosqlite.connect(
                self._path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, cached_statements=256
            )
        except sqlite3.Error as error:
            raise translated(error) from error
        try:
            await self._prepare(writer)
            task_status.started()
            await trio.sleep_forever()
        finally:
            await self._close(writer)

    async def commit(self, work: Work[T], *, durable: bool = False) -> T:
        """Run `work` in the writer's thread, within a transaction, and return its result once committed.

        work: gets the connection; it may be called again after a rollback, so it must do nothing but read
        and change the database.
        durable: the commit survives power loss (synchronous=FULL), not only the end of the process.

        Cancelled before anything happened, or not at all. What `work` raises comes back to this caller
        only, and nothing of it is kept. Raises LocalStorageFull, DatabaseDamaged, LocalIOError.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        self._opened()
        request = _Request(work, durable)
        self._queue.append(request)
        if self._running is None:
            self._begin_group()
        try:
            return await request.wait()
        except sqlite3.Error as error:
            raise translated(error) from error

    @property
    def is_durable(self) -> bool:
        """Whether all that was committed by now survives power loss, as far as is known."""
        return self._is_durable

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a SELECT, as committed by now, in the trio thread: for small answers.

        Raises DatabaseDamaged, LocalIOError.
        """
        try:
            return self._opened().execute(sql, cast(Any, parameters)).fetchall()
        except sqlite3.Error as error:
            raise translated(error) from error

    def _opened(self) -> sqlite3.Connection:
        if self._reader is None:
            raise LocalIOError("the database is not open")
        return self._reader

    async def _prepare(self, writer: aiosqlite.Connection) -> None:
        try:
            await _in_thread(writer, partial(_set_up, path=self._path, reserve=self._reserve))
            self._writer = writer
            self._reader = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=ro",
                uri=True,
                isolation_level=None,
                timeout=_BUSY_TIMEOUT_S,
                cached_statements=256,
            )
        except sqlite3.Error as error:
            raise translated(error) from error

    def _begin_group(self) -> None:
        """Send what waits to the thread at once, from whoever came: each task in between costs a step."""
        assert self._writer is not None
        group = self._running = _Group(self._queue[:_GROUP_LIMIT], self._end_group)
        del self._queue[:_GROUP_LIMIT]
        run = partial(_run_reserved, self._writer._conn, group.requests, self._reserve)
        cast(Any, self._writer._tx).put_nowait((group, run))  # what its _execute does, but for the wait

    def _end_group(self, group: _Group) -> None:
        self._is_durable = group.is_durable
        self._running = None
        if self._queue:
            self._begin_group()

    async def _close(self, writer: aiosqlite.Connection) -> None:
        reader, self._reader = self._reader, None  # from here on nothing is accepted
        with trio.CancelScope(shield=True):
            while self._running is not None:
                await self._running.wait()
            # The writer last: the last connection merges the log into the file and deletes it.
            if reader is not None:
                reader.close()
            await writer.close()


async def _in_thread(writer: aiosqlite.Connection, function: Work[T]) -> T:
    """Call `function` with the bare connection in aiosqlite's thread: one hop, however many statements."""
    execute = cast(Callable[[Work[T], sqlite3.Connection], Awaitable[T]], writer._execute)
    return await execute(function, writer._conn)


def _set_up(connection: sqlite3.Connection, path: Path, reserve: Reserve) -> None:
    reserve.release()  # a full disk is no reason not to start
    # A log that is still there tells of an end without close (kill, power): look before trusting the file.
    log = path.with_name(path.name + "-wal")
    after_crash = log.exists() and log.stat().st_size > 0
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
    if after_crash:
        ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if verdict != "ok":
            raise DatabaseDamaged(f"the database is damaged ({verdict})")
    migrate(connection)
    reserve.hold()


class _Undone(Exception):
    """The whole transaction is given up while one work ran: the disk is full, or SQLite met an I/O error."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


def _run_reserved(
    connection: sqlite3.Connection, group: Sequence[_Request[Any]], reserve: Reserve
) -> list[outcome.Outcome[Any]]:
    """All works in one transaction; where that fails as a whole, each in one of its own, in order.

    A work that finds the disk full is done again on the room that is kept for it.
    """
    try:
        results = _run_transaction(connection, group)
    except (sqlite3.Error, _Undone):
        results = [
            _run_alone(connection, request) or _run_on(reserve, connection, request) for request in group
        ]
    reserve.hold()
    return results


def _run_alone(connection: sqlite3.Connection, request: _Request[Any]) -> outcome.Outcome[Any] | None:
    """One work in a transaction of its own; None where the disk is full."""
    try:
        (result,) = _run_transaction(connection, [request])
    except (sqlite3.Error, _Undone) as failure:
        error = failure.error if isinstance(failure, _Undone) else failure
        return None if is_full(error) else outcome.Error(error)
    return result


def _run_on(reserve: Reserve, connection: sqlite3.Connection, request: _Request[Any]) -> outcome.Outcome[Any]:
    """One work on a disk that is full.

    The log is merged into the file first, while there is room for that; from then on it is written anew in
    its own place, so that small changes find room for as long as it takes.
    """
    reserve.release()
    try:
        connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        (result,) = _run_transaction(connection, [request])
    except sqlite3.Error as error:
        return outcome.Error(error)
    except _Undone as undone:
        return outcome.Error(undone.error)
    return result


def _run_transaction(
    connection: sqlite3.Connection, group: Sequence[_Request[Any]]
) -> list[outcome.Outcome[Any]]:
    durable = any(request.durable for request in group)
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [_run_work(connection, request.work) for request in group]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return results


def _run_work(connection: sqlite3.Connection, work: Work[Any]) -> outcome.Outcome[Any]:
    """One work behind a savepoint, so that its failure undoes nothing but itself."""
    connection.execute("SAVEPOINT work")
    result: outcome.Outcome[Any] = outcome.capture(work, connection)
    if isinstance(result, outcome.Error):
        if not connection.in_transaction or is_full(result.error):
            raise _Undone(result.error)
        connection.execute("ROLLBACK TO work")
    connection.execute("RELEASE work")
    return result
