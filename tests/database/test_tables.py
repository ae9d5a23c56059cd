"""The smaller tables: contents, history, settings; and migrations that end half-way."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from cloudfs.database import schema
from cloudfs.database.bridge import Database
from cloudfs.database.contents import ContentRow, Contents
from cloudfs.database.history import HYDRATED, History, HistoryRecord, Received
from cloudfs.database.settings import Settings
from cloudfs.model.errors import LocalIOError
from cloudfs.model.ranges import RangeSet


def content(inode: int, held: int = 4, used_ms: int = 0) -> ContentRow:
    ranges = RangeSet([(0, held)]).to_bytes()
    return ContentRow(inode, f"file{inode}", 10, '"1"', None, ranges, held, False, False, "boot", used_ms)


async def test_contents_come_back_as_they_were_written(database: Database) -> None:
    contents = Contents(database)
    await contents.upsert([content(1), content(2)], durable=True)
    whole = replace(content(2), whole=True, durable=True, ranges=b"", held_bytes=10)
    await contents.upsert([whole])
    assert contents.load(1) == content(1)
    assert contents.load(2) == whole
    assert contents.load(3) is None
    assert contents.totals() == (14, 2)
    assert contents.held_bytes_of([1, 2, 3]) == {1: 4, 2: 10}
    assert contents.held_bytes_of([]) == {}
    await contents.delete([1, 3])
    assert contents.totals() == (10, 1)


async def test_content_is_paged_by_last_use(database: Database) -> None:
    contents = Contents(database)
    await contents.upsert(content(inode, used_ms=100 - inode // 2) for inode in range(1, 8))
    await contents.touch([(7, 500)])
    first = contents.least_recently_used(3)
    assert [row.inode for row in first] == [6, 4, 5]
    rest = contents.least_recently_used(10, (first[-1].last_use_ms, first[-1].inode))
    assert [row.inode for row in rest] == [2, 3, 1, 7]


async def test_every_cache_file_is_named_once_whatever_the_pages(database: Database) -> None:
    contents = Contents(database)
    await contents.upsert(content(inode) for inode in range(1, 2502))
    assert list(contents.files()) == [(f"file{inode}", inode) for inode in range(1, 2502)]
    assert len(contents.held_bytes_of(range(1, 2502))) == 2501


async def test_two_inodes_cannot_share_a_cache_file(database: Database) -> None:
    contents = Contents(database)
    await contents.upsert([content(1)])
    with pytest.raises(LocalIOError, match="UNIQUE"):
        await contents.upsert([replace(content(2), file="file1")])


async def make_entries(database: Database, *inodes: int) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.executemany(
            "INSERT INTO entries "
            "(inode, name, kind, size, mtime_ns, ctime_ns, mode, uid, gid, listing, pinned) "
            "VALUES (?, x'', 0, 0, 0, 0, 0, 0, 0, 0, 0)",
            [(inode,) for inode in inodes],
        )

    await database.commit(work)


async def test_history_keeps_the_last_of_each_inode(database: Database) -> None:
    history = History(database, kept=3)
    await make_entries(database, 1, 2)
    await history.record([HistoryRecord(2, 0, "pinned")])
    for number in range(5):
        await history.record([HistoryRecord(1, number, "hydrated", 10 + number, "/bin/cat", 7, "whole")])
    assert [record.time_ms for record in history.of(1)] == [2, 3, 4]
    assert history.of(1)[0] == HistoryRecord(1, 2, "hydrated", 12, "/bin/cat", 7, "whole")
    assert history.of(2) == [HistoryRecord(2, 0, "pinned")]


async def test_history_of_what_is_gone_is_dropped_without_a_fuss(database: Database) -> None:
    history = History(database)
    await make_entries(database, 1)
    await history.record([HistoryRecord(1, 0, "failed"), HistoryRecord(9, 0, "failed")])
    assert (len(history.of(1)), history.of(9)) == (1, [])
    await database.commit(lambda connection: connection.execute("DELETE FROM entries WHERE inode = 1"))
    assert history.of(1) == []


async def test_bytes_are_added_to_the_last_who_asked_for_them(database: Database) -> None:
    history = History(database)
    await make_entries(database, 1)
    first, second = (HistoryRecord(1, pid, HYDRATED, pid, "/bin/cat") for pid in (10, 11))
    changed = HistoryRecord(1, 12, "changed", 12)
    await history.record([first, Received(1, 20, 5, by_program=True), second, changed])
    await history.record([Received(1, 21, 7, by_program=True), Received(1, 22, 8, by_program=True)])
    assert history.of(1) == [replace(first, bytes=5), replace(second, bytes=15), changed]


async def test_bytes_that_no_program_asked_for_stand_by_themselves(database: Database) -> None:
    history = History(database)
    await make_entries(database, 1, 2)
    by_program = HistoryRecord(1, 10, HYDRATED, 10)
    await history.record([by_program, Received(1, 11, 5, by_program=False)])
    assert history.of(1) == [by_program, HistoryRecord(1, 11, HYDRATED, bytes=5)]
    await history.record([Received(2, 12, 6, by_program=True), Received(9, 12, 6, by_program=True)])
    assert (history.of(2), history.of(9)) == ([HistoryRecord(2, 12, HYDRATED, bytes=6)], [])


@pytest.mark.parametrize("value", ["text ä", "7", 7, 2**62, 1.5, b"\0\xff", ""])
async def test_settings_keep_value_and_type(database: Database, value: str | int | float | bytes) -> None:
    settings = Settings(database)
    assert settings.get("key") is None
    await settings.set("key", "before")
    await settings.set("key", value)
    found = settings.get("key")
    assert (found, type(found)) == (value, type(value))
    await settings.set("key", None)
    assert settings.get("key") is None


def test_a_migration_that_fails_leaves_no_trace_and_those_before_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1);"
    monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE first (a);", broken))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        schema.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("first",)]

    monkeypatch.setattr(schema, "MIGRATIONS", ("CREATE TABLE first (a);", "CREATE TABLE half (a);"))
    schema.migrate(connection)
    schema.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    connection.close()
