"""The bridge: group commits, isolation of failing works, cancellation, full disks and damaged files."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cloudfs.database import bridge
from cloudfs.database.bridge import Database, Work
from cloudfs.database.faults import DatabaseDamaged, DatabaseTooNew, put_aside, set_aside
from cloudfs.database.schema import MIGRATIONS
from cloudfs.model.errors import LocalIOError, LocalStorageFull, NotFound


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Database]:
    async with trio.open_nursery() as nursery:
        database = Database(path)
        await nursery.start(lambda task_status: database.run(task_status=task_status))
        yield database
        nursery.cancel_scope.cancel()


def insert(key: str, value: object = 1) -> Work[None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO settings (key, value) VALUES (?, ?)", (key, value))

    return work


def keys(database: Database) -> set[str]:
    return {key for (key,) in database.read("SELECT key FROM settings")}


async def test_a_commit_returns_its_result_and_is_seen_by_reads(database: Database) -> None:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO settings (key, value) VALUES ('a', 7)")
        return 42

    assert await database.commit(work) == 42
    assert database.read("SELECT value FROM settings WHERE key = ?", ("a",)) == [(7,)]


class Gate:
    """A work that holds the writer's thread up until it is opened."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def work(self, connection: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._open.wait(60)

    async def entered(self) -> None:
        await trio.to_thread.run_sync(self._entered.wait)

    def open(self) -> None:
        self._open.set()


async def test_waiting_works_share_one_transaction_in_the_order_of_the_calls(database: Database) -> None:
    transactions: list[str] = []
    called: list[int] = []
    ran: list[int] = []
    gate = Gate()

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda sql: transactions.append(sql) if "BEGIN" in sql else None)

    async def commit(number: int) -> None:
        def work(connection: sqlite3.Connection) -> None:
            ran.append(number)
            connection.execute("INSERT INTO settings (key, value) VALUES (?, 1)", (str(number),))

        called.append(number)
        await database.commit(work)

    await database.commit(trace)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, gate.work)
        await gate.entered()
        for number in range(100):
            nursery.start_soon(commit, number)
        await trio.testing.wait_all_tasks_blocked()
        gate.open()
    assert ran == called
    assert len(keys(database)) == 100
    assert len(transactions) == 2, "the gate's, and one for all that waited"


async def test_one_failing_work_undoes_only_itself(database: Database) -> None:
    errors: list[BaseException] = []

    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO settings (key, value) VALUES ('half', 1)")
        raise KeyError("mine")

    async def expect_mine() -> None:
        try:
            await database.commit(broken)
        except KeyError as error:
            errors.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, insert("a"))
        nursery.start_soon(expect_mine)
        nursery.start_soon(database.commit, insert("b"))
    assert len(errors) == 1
    assert keys(database) == {"a", "b"}


async def test_a_constraint_is_the_callers_error_alone(database: Database) -> None:
    await database.commit(insert("a"))
    with pytest.raises(LocalIOError, match="UNIQUE"):
        await database.commit(insert("a"))
    await database.commit(insert("b"))
    assert keys(database) == {"a", "b"}


async def test_foreign_keys_are_enforced(database: Database) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO attributes (inode, name, value) VALUES (99, x'61', x'62')")

    with pytest.raises(LocalIOError, match="FOREIGN KEY"):
        await database.commit(work)


async def test_a_cancelled_commit_runs_whole_or_not_at_all(database: Database) -> None:
    with trio.CancelScope() as before:
        before.cancel()
        await database.commit(insert("never"))
    assert before.cancelled_caught

    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, gate.work)
        await gate.entered()
        nursery.start_soon(database.commit, insert("begun"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        await trio.lowlevel.cancel_shielded_checkpoint()
        gate.open()
    await database.commit(insert("later"))
    assert keys(database) == {"begun", "later"}


async def test_what_was_accepted_is_committed_though_the_database_is_cancelled(path: Path) -> None:
    gate = Gate()
    async with trio.open_nursery() as nursery:
        database = Database(path)
        await nursery.start(lambda task_status: database.run(task_status=task_status))
        nursery.start_soon(database.commit, gate.work)
        await gate.entered()
        for number in range(20):
            nursery.start_soon(database.commit, insert(str(number)))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        gate.open()
    async with opened(path) as again:
        assert len(keys(again)) == 20


async def test_a_closed_database_says_so(path: Path) -> None:
    database = Database(path)
    with pytest.raises(LocalIOError, match="not open"):
        database.read("SELECT 1")
    async with opened(path) as database:
        await database.commit(insert("a"))
    with pytest.raises(LocalIOError, match="not open"):
        await database.commit(insert("b"))
    assert not path.with_name(path.name + "-wal").exists(), "the log was not merged"


async def test_durable_commits_sync_the_log_and_others_do_not(database: Database) -> None:
    def level(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA synchronous").fetchone()[0])

    assert await database.commit(level) == 1  # NORMAL
    assert await database.commit(level, durable=True) == 2  # FULL
    assert await database.commit(level) == 1
    assert database.read("PRAGMA journal_mode") == [("wal",)]


async def test_durable_is_what_no_later_commit_left_open(database: Database) -> None:
    def nothing(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE settings SET value = value")

    def refused(connection: sqlite3.Connection) -> None:
        raise NotFound("no such thing")

    said: list[bool] = []
    for durable in (True, False, True):
        await database.commit(nothing, durable=durable)
        said.append(database.is_durable)
    with pytest.raises(NotFound):
        await database.commit(refused, durable=True)
    said.append(database.is_durable)
    assert said == [True, False, True, False], "one that failed may have synced nothing"


async def test_works_of_a_failed_group_tell_of_the_last_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bridge._run_transaction

    def one_by_one(connection: sqlite3.Connection, group: Any) -> Any:
        if len(group) > 1:
            raise sqlite3.OperationalError("disk I/O error")
        return run(connection, group)

    def slow(connection: sqlite3.Connection) -> None:
        time.sleep(0.05)  # the next ones share a group

    def nothing(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE settings SET value = value")

    monkeypatch.setattr(bridge, "_run_transaction", one_by_one)
    done: list[bool] = []

    async def commit(*, durable: bool) -> None:
        await database.commit(nothing, durable=durable)
        done.append(durable)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, slow)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(commit, durable=True))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(commit, durable=False))
    assert sorted(done) == [False, True]
    assert not database.is_durable


async def test_the_reader_cannot_write(database: Database) -> None:
    with pytest.raises(LocalIOError, match="readonly"):
        database.read("DELETE FROM settings")


async def test_a_full_disk_is_the_error_of_who_needed_the_room(database: Database) -> None:
    def cap(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    await database.commit(cap)
    failures: list[BaseException] = []

    async def too_big() -> None:
        try:
            await database.commit(insert("big", b"x" * 100_000))
        except LocalStorageFull as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, insert("small 1"))
        nursery.start_soon(too_big)
        nursery.start_soon(database.commit, insert("small 2"))
    assert len(failures) == 1
    assert keys(database) == {"small 1", "small 2"}

    def lift(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 1000000")

    await database.commit(lift)
    await database.commit(insert("big", b"x" * 100_000))
    assert "big" in keys(database)


async def test_when_the_whole_transaction_is_undone_each_work_gets_its_own(database: Database) -> None:
    def undone(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # what SQLite does by itself on some I/O errors
        raise sqlite3.OperationalError("disk I/O error")

    async def expect_failure() -> None:
        with pytest.raises(LocalIOError, match="disk I/O"):
            await database.commit(undone)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.commit, insert("a"))
        nursery.start_soon(expect_failure)
        nursery.start_soon(database.commit, insert("b"))
    assert keys(database) == {"a", "b"}


async def open_and_close(path: Path) -> None:
    with trio.CancelScope() as scope:
        await Database(path).run(task_status=_CancelOnStart(scope))


class _CancelOnStart:
    def __init__(self, scope: trio.CancelScope) -> None:
        self._scope = scope

    def started(self, value: None = None) -> None:
        self._scope.cancel()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"not a database " * 500, id="another file"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut in half"),
        pytest.param(lambda data: data[:100] + b"\xff" * 4000 + data[4100:], id="first page overwritten"),
    ],
)
async def test_a_damaged_file_is_told_and_can_be_set_aside(path: Path, damage: object) -> None:
    assert callable(damage)
    await open_and_close(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatabaseDamaged):
        await open_and_close(path)
    assert put_aside(path.parent) == frozenset()
    aside = set_aside(path)
    assert aside.exists()
    assert put_aside(path.parent) == {aside}
    left = {each.name for each in path.parent.iterdir() if not each.name.startswith(aside.name)}
    assert left <= {path.name + "-reserve"}
    await open_and_close(path)


async def test_damage_inside_shows_at_the_next_start_after_a_crash(path: Path) -> None:
    async with opened(path) as database:
        for number in range(200):
            await database.commit(insert(f"key {number:04}", "x" * 500))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"key 0100") // 4096 * 4096  # the page that holds it
    data[at : at + 4096] = b"\xee" * 4096
    path.write_bytes(data)
    path.with_name(path.name + "-wal").write_bytes(b"left by a kill -9")
    with pytest.raises(DatabaseDamaged):
        await open_and_close(path)


async def test_damage_found_while_running_is_told_by_reads_and_commits(path: Path) -> None:
    async with opened(path) as database:
        for number in range(200):
            await database.commit(insert(f"key {number:04}", "x" * 500))
    data = bytearray(path.read_bytes())
    at = data.rindex(b"key 0100") // 4096 * 4096
    data[at : at + 4096] = b"\xee" * 4096
    path.write_bytes(data)
    async with opened(path) as database:
        with pytest.raises(DatabaseDamaged):
            database.read("SELECT sum(length(value)) FROM settings")
        with pytest.raises(DatabaseDamaged):
            await database.commit(lambda c: c.execute("SELECT sum(length(value)) FROM settings").fetchall())


async def test_a_newer_file_is_refused_with_the_mend_and_left_alone(path: Path) -> None:
    await open_and_close(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(DatabaseTooNew, match="update cloudfs"):
        await open_and_close(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
    connection.close()


async def test_a_directory_that_is_not_there_is_a_local_error(tmp_path: Path) -> None:
    with pytest.raises(LocalIOError, match="unable to open"):
        await open_and_close(tmp_path / "nowhere" / "tree.db")


async def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%41 ü.db"
    async with opened(path) as database:
        await database.commit(insert("a"))
        assert keys(database) == {"a"}
