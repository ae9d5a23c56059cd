"""The numbered events, as they were published; `events.EventLog` gives the numbers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from cloudfs.database.bridge import Database
from cloudfs.model.enums import DownloadErrorType, ErrorType, EventClass, State, SyncState
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress

_COLUMNS = "seq, time_ms, source, payload, inode"
_TRIM = """
    DELETE FROM events WHERE seq <= ? AND EXISTS (
        SELECT 1 FROM events AS later WHERE later.source = events.source AND later.seq > events.seq
    )
"""


class Journal:
    """The last `kept` events, and the last of each class however old it is: a sync's state comes from it.

    Raises LocalIOError; `append` LocalStorageFull too.
    """

    def __init__(self, database: Database, *, kept: int = 100_000) -> None:
        self._database = database
        self._kept = kept

    def last_seq(self) -> int:
        """0 before the first event."""
        ((seq,),) = self._database.read("SELECT COALESCE(MAX(seq), 0) FROM events")
        return int(seq)

    def load(self, after: int, limit: int) -> list[Event]:
        """Events above a number, in order; the first one's may lie higher where older ones were trimmed."""
        sql = f"SELECT {_COLUMNS} FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        return [_event(row) for row in self._database.read(sql, (after, limit))]

    def latest(self, source: EventClass) -> Event | None:
        """The last event of a class."""
        sql = f"SELECT {_COLUMNS} FROM events WHERE source = ? ORDER BY seq DESC LIMIT 1"
        rows = self._database.read(sql, (source.value,))
        return _event(rows[0]) if rows else None

    async def append(self, events: Sequence[Event]) -> None:
        """Commit events with the numbers they have, all or none, and trim the oldest."""
        values = [_values(event) for event in events]
        oldest = events[-1].seq - self._kept

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)", values)
            connection.execute(_TRIM, (oldest,))

        await self._database.commit(work)


def _event(row: Sequence[Any]) -> Event:
    seq, time_ms, source, payload, inode = row
    return Event(seq, time_ms, EventClass(source), _progress(json.loads(payload)), inode)


def _progress(payload: dict[str, Any]) -> SyncProgress | DownloadProgress:
    if "size" not in payload:
        return SyncProgress(SyncState(payload["state"]), ErrorType(payload["error"]))
    return DownloadProgress(
        State(payload["state"]),
        payload["processed"],
        payload["size"],
        payload["uri"],
        DownloadErrorType(payload["error"]),
    )


def _values(event: Event) -> tuple[object, ...]:
    progress = event.progress
    payload: dict[str, object] = {"state": int(progress.state), "error": int(progress.error)}
    if isinstance(progress, DownloadProgress):
        payload |= {"processed": progress.processed, "size": progress.size, "uri": progress.uri}
    return (event.seq, event.time_ms, event.source.value, json.dumps(payload), event.inode)
