"""What happened to a file: the memory behind `cloudfs why`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass

from cloudfs.database.bridge import Database

HYDRATED = "hydrated"  # a program, or the daemon by itself, had content fetched
CHANGED = "changed"  # a program changed the content of a file that was as the cloud has it

_COLUMNS = "inode, time_ms, what, pid, exe, bytes, detail"


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One thing that happened to an inode.

    time_ms: epoch milliseconds. what: a word (HYDRATED, CHANGED).
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


@dataclass(frozen=True, slots=True)
class Received:
    """So many bytes of an inode's content came from the cloud.

    by_program: they are added to the last HYDRATED record. Else, and where there is none, they make one of
    their own: the daemon fetched them by itself.
    """

    inode: int
    time_ms: int
    bytes: int
    by_program: bool


Note = HistoryRecord | Received


class History:
    """The last `kept` records of each inode. Raises LocalIOError; `record` LocalStorageFull too."""

    def __init__(self, database: Database, *, kept: int = 100) -> None:
        self._database = database
        self._kept = kept

    async def record(self, notes: Iterable[Note]) -> None:
        """Commit notes in order. One of an inode that is gone is dropped: its history went with it."""
        notes = list(notes)

        def work(connection: sqlite3.Connection) -> None:
            for note in notes:
                if isinstance(note, HistoryRecord):
                    _insert(connection, note)
                else:
                    _add(connection, note)
            connection.executemany(
                "DELETE FROM history WHERE inode = ?1 AND id <= ("
                "SELECT id FROM history WHERE inode = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                [(inode, self._kept) for inode in {note.inode for note in notes}],
            )

        await self._database.commit(work)

    def of(self, inode: int) -> list[HistoryRecord]:
        """Oldest first."""
        rows = self._database.read(f"SELECT {_COLUMNS} FROM history WHERE inode = ? ORDER BY id", (inode,))
        return [HistoryRecord(*row) for row in rows]


def _insert(connection: sqlite3.Connection, record: HistoryRecord) -> None:
    connection.execute(
        f"INSERT INTO history ({_COLUMNS}) "
        "SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS (SELECT 1 FROM entries WHERE inode = ?1)",
        astuple(record),
    )


def _add(connection: sqlite3.Connection, received: Received) -> None:
    if received.by_program:
        done = connection.execute(
            "UPDATE history SET bytes = ifnull(bytes, 0) + ?2 WHERE id = ("
            "SELECT id FROM history WHERE inode = ?1 AND what = ?3 ORDER BY id DESC LIMIT 1)",
            (received.inode, received.bytes, HYDRATED),
        )
        if done.rowcount:
            return
    _insert(connection, HistoryRecord(received.inode, received.time_ms, HYDRATED, bytes=received.bytes))
