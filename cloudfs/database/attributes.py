"""The user's own extended attributes."""

from __future__ import annotations

import sqlite3

from cloudfs.database.bridge import Database


class Attributes:
    """Values by inode and name, binary-safe. Reads raise LocalIOError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self, inode: int) -> tuple[bytes, ...]:
        rows = self._database.read("SELECT name FROM attributes WHERE inode = ? ORDER BY name", (inode,))
        return tuple(name for (name,) in rows)

    def value(self, inode: int, name: bytes) -> bytes | None:
        rows = self._database.read("SELECT value FROM attributes WHERE inode = ? AND name = ?", (inode, name))
        return rows[0][0] if rows else None

    async def set(self, inode: int, name: bytes, value: bytes) -> None:
        """Store a value over an older one. Raises LocalStorageFull, LocalIOError (no such inode too)."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO attributes (inode, name, value) VALUES (?, ?, ?) "
                "ON CONFLICT (inode, name) DO UPDATE SET value = excluded.value",
                (inode, name, value),
            )

        await self._database.commit(work)

    async def remove(self, inode: int, name: bytes) -> bool:
        """Whether there was one to remove. Raises LocalStorageFull, LocalIOError."""

        def work(connection: sqlite3.Connection) -> bool:
            sql = "DELETE FROM attributes WHERE inode = ? AND name = ?"
            return connection.execute(sql, (inode, name)).rowcount > 0

        return await self._database.commit(work)
