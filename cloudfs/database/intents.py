"""What was asked of the cloud and not yet answered."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cloudfs.database.bridge import Database
from cloudfs.database.entry_rows import version_row
from cloudfs.model.entry import Version
from cloudfs.model.node import Place

_COLUMNS = """
    inode, operation, place_parent, place_name, generation, size, sha256, base_etag, base_mtime_ns, base_size
"""


@dataclass(frozen=True, slots=True)
class Intent:
    """One operation whose answer may get lost: afterwards the cloud is asked whether it came through.

    place: where the entry is to be in the cloud. generation: of the content that is sent, which has `size`
    bytes of this `sha256`; 0, 0 and b"" for a move. base: the version that is replaced, None where none is.
    """

    inode: int
    operation: Literal["put", "move"]
    place: Place
    generation: int
    size: int
    sha256: bytes
    base: Version | None


class Intents:
    """Intents as committed. Raises LocalIOError."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    def all(self) -> list[Intent]:
        return [_intent(row) for row in self._read(f"SELECT {_COLUMNS} FROM intents ORDER BY inode")]


class IntentChanges:
    """Reads and changes within one transaction, in the writer's thread. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute: Callable[..., sqlite3.Cursor] = connection.execute

    def load(self, inode: int) -> Intent | None:
        row = self._execute(f"SELECT {_COLUMNS} FROM intents WHERE inode = ?", (inode,)).fetchone()
        return _intent(row) if row else None

    def concern(self, inode: int) -> bool:
        """Whether there is one of an inode, or one that has its place in it."""
        sql = "SELECT 1 FROM intents WHERE inode = ?1 OR place_parent = ?1 LIMIT 1"
        return self._execute(sql, (inode,)).fetchone() is not None

    def lead_to(self, place: Place) -> bool:
        """Whether there is one that will have its entry at a place."""
        sql = "SELECT 1 FROM intents WHERE place_parent = ? AND place_name = ? LIMIT 1"
        return self._execute(sql, place).fetchone() is not None

    def inodes(self) -> list[int]:
        """Those that have one."""
        return [inode for (inode,) in self._execute("SELECT inode FROM intents")]

    def names_in(self, folder: int) -> list[bytes]:
        """The names in a folder that intents lead to."""
        sql = "SELECT place_name FROM intents WHERE place_parent = ?"
        return [name for (name,) in self._execute(sql, (folder,))]

    def set(self, intent: Intent) -> None:
        """Store an intent over an older one of its inode."""
        self._execute(
            f"INSERT OR REPLACE INTO intents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                intent.inode,
                intent.operation,
                *intent.place,
                intent.generation,
                intent.size,
                intent.sha256,
                *version_row(intent.base),
            ),
        )

    def drop_orphans(self) -> None:
        """Forget the intents of entries that are gone."""
        self._execute("DELETE FROM intents WHERE inode NOT IN (SELECT inode FROM entries)")

    def drop(self, inode: int) -> None:
        """Forget an inode's intent, if it has one."""
        self._execute("DELETE FROM intents WHERE inode = ?", (inode,))


def _intent(row: Sequence[Any]) -> Intent:
    inode, operation, parent, name, generation, size, sha256, etag, mtime_ns, base_size = row
    base = None if base_size is None else Version(etag, mtime_ns, base_size)
    return Intent(inode, operation, Place(parent, name), generation, size, sha256, base)
