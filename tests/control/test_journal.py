"""A journal that has seen more than it keeps, as followers on the socket find it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.database.bridge import Database
from cloudfs.model.enums import EventClass, State, SyncState
from cloudfs.model.progress import DownloadProgress
from tests.control.client import Client, connected, request
from tests.control.desk import HEAD, Desk, open_desk, running
from tests.servers.memory_cloud import MemoryCloud

KEPT = 100_000
EVENTS = 1_000_000
FILL = """
    WITH RECURSIVE numbers (seq) AS (VALUES (?) UNION ALL SELECT seq + 1 FROM numbers WHERE seq < ?)
    INSERT INTO events (seq, time_ms, source, payload, inode)
    SELECT seq, 1, 'CloudFileCache',
        '{"state":1,"error":0,"processed":5,"size":5,"uri":"file://x/' || seq || '"}', seq FROM numbers
"""
SYNC = "INSERT INTO events VALUES (7, 1, 'FileSync', '{\"state\":1,\"error\":3}', NULL)"


@pytest.fixture
async def old(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    """A desk whose journal has come to a million; its last sync had number 7, and the rest are downloads."""
    database = Database(tmp_path / "cloudfs.db")
    async with running(database.run):
        await database.commit(lambda connection: connection.execute(SYNC))
        await database.commit(lambda connection: connection.execute(FILL, (EVENTS - KEPT - 4999, EVENTS)))
    async with open_desk(tmp_path, cloud) as desk, running(desk.server.run):
        yield desk


async def params(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = (await client.line())["params"]
    return found


async def test_a_million_events(old: Desk, tmp_path: Path) -> None:
    end = DownloadProgress(State.COMPLETED, 5, 5, f"{HEAD}a%20b.txt")
    old.events.publish(EventClass.CLOUD_FILE_CACHE, end, 1)
    await old.events.wait_beyond(EVENTS)
    assert old.database.read("SELECT COUNT(*) FROM events") == [(KEPT + 1,)]

    async with connected(old) as client, connected(old) as late:
        await client.call("FileSync.on", event="progress")
        state = await params(client)
        assert (state["seq"], state["progress"]) == (7, {"state": SyncState.UPLOAD_FAILED, "error": 3})

        await late.call("Mount.events", since=EVENTS)
        assert (await params(late))["seq"] == EVENTS + 1

        await client.call("Mount.events", since=0)
        assert (await params(client))["skipped"] == [1, 6]
        assert (await params(client))["seq"] == 7
        first = EVENTS - KEPT + 2
        assert (await params(client))["skipped"] == [8, first - 1]
        assert [(await params(client))["seq"] for _ in range(3000)] == list(range(first, first + 3000))
        await late.send(request(1, "FileSync.getLastSyncTime"))
        assert (await late.line())["result"] == 0, "who follows a long journal holds up nobody"

    old.events.publish(EventClass.CLOUD_FILE_CACHE, end, 1)
    with trio.fail_after(20):
        await old.events.wait_beyond(EVENTS + 1)
    assert old.database.read("SELECT COUNT(*) FROM events") == [(KEPT + 1,)]
