"""Notes of what happens to files: taken at once, committed soon, never in the way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio

from cloudfs.cloudsync import history_writer
from cloudfs.cloudsync.history_writer import HistoryWriter
from cloudfs.database.bridge import Database
from cloudfs.database.history import CHANGED, HYDRATED, History
from cloudfs.model.enums import Priority
from cloudfs.model.errors import LocalIOError


@pytest.fixture
async def database(tmp_path: Path, nursery: trio.Nursery) -> Database:
    database = Database(tmp_path / "tree.db")
    await nursery.start(lambda task_status: database.run(task_status=task_status))

    def make_entry(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO entries "
            "(inode, name, kind, size, mtime_ns, ctime_ns, mode, uid, gid, listing, pinned) "
            "VALUES (2, x'', 0, 0, 0, 0, 0, 0, 0, 0, 0)"
        )

    await database.commit(make_entry)
    return database


async def test_what_was_noted_is_known_at_once(database: Database) -> None:
    writer = HistoryWriter(History(database))
    writer.hydrated(2, 10, b"/bin/\xff")
    writer.received(2, 5, Priority.OPENED)
    writer.received(2, 6, Priority.PINNED)
    writer.changed(2, 11, None)
    facts = [(record.what, record.pid, record.exe, record.bytes) for record in await writer.of(2)]
    assert facts == [
        (HYDRATED, 10, "/bin/\\xff", 5),
        (HYDRATED, None, None, 6),
        (CHANGED, 11, None, None),
    ]


async def test_notes_are_committed_without_being_asked_for(
    database: Database, monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(history_writer, "_GATHER_S", 0.0)
    history = History(database)
    writer = HistoryWriter(history)
    await nursery.start(lambda task_status: writer.run(task_status=task_status))
    for count in (1, 2):  # it goes on after the first batch
        writer.changed(2, count, None)
        with trio.fail_after(5):
            while len(history.of(2)) < count:
                await trio.sleep(0.001)


async def test_what_was_noted_by_the_end_is_kept(database: Database) -> None:
    history = History(database)
    writer = HistoryWriter(history)
    async with trio.open_nursery() as services:
        await services.start(lambda task_status: writer.run(task_status=task_status))
        writer.changed(2, 1, None)
        services.cancel_scope.cancel()
    assert len(history.of(2)) == 1


async def test_a_disk_that_fails_leaves_a_gap(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    history = History(database)
    writer = HistoryWriter(history)
    writer.changed(2, 1, None)

    async def fail(*_: object) -> None:
        raise LocalIOError("the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(database, "commit", fail)
        assert await writer.of(2) == []
    assert "a gap of 1 records: the disk fails" in caplog.text
    writer.changed(2, 2, None)
    assert [record.pid for record in await writer.of(2)] == [2]


async def test_too_many_notes_leave_a_gap(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history_writer, "_MOST_WAITING", 2)
    writer = HistoryWriter(History(database))
    for pid in range(3):
        writer.changed(2, pid, None)
    assert [record.pid for record in await writer.of(2)] == [0, 1]
    assert "the history of inode 2 has a gap" in caplog.text
