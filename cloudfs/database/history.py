"""What happened to a file: the memory behind `cloudfs why`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from cloudfs.database.bridge import Database

_COLUMNS = "inode, time_ms, what, pid, exe, bytes, detail"


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One thing that happened to an inode.

    time_ms: epoch milliseconds. what: a word (hydrated, failed, evicted, pinned ...).
    pid, exe: the program that caused it, None where the daemon did by itself. bytes: how many moved.
    detail: a sentence.
    """

    inode: int
    time_ms: int
    what: str
    pid: int | None = None
    exe: str | None = None
    bytes: int | None = None
    detail: str | None = None


class History:
    """The last `kept` records of each inode. Raises LocalIOError; `record` LocalStorageFull too."""

    def __init__(self, database: Database, *, kept: int = 100) -> None:
        self._database = database
        self._kept = kept

    async def record(self, records: Iterable[HistoryRecord]) -> None:
        """Commit records in order. One of an inode that is gone is dropped: its history went with it."""
        values = [astuple(record) for record in records]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                f"INSERT INTO history ({_COLUMNS}) "
                "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM entries WHERE inode = ?1)",
                values,
            )
            connection.executemany(
                "DELETE FROM history WHERE inode = ?1 AND id <= ("
                "SELECT id FROM history WHERE inode = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                [(inode, self._kept) for inode in {value[0] for value in values}],
            )

        await self._database.commit(work)

    def of(self, inode: int) -> list[HistoryRecord]:
        """Oldest first."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM history WHERE inode = ? ORDER BY id", (inode,))
        return [HistoryRecord(*row) for row in rows]
