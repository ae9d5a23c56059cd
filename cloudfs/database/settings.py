"""Single facts that outlive the daemon: last sync times, held scopes, what the server can do."""

from __future__ import annotations

import sqlite3

from cloudfs.database.bridge import Database

Value = str | int | float | bytes


class Settings:
    """Values by key, of the type they were set with. Raises LocalIOError; `set` LocalStorageFull too."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str) -> Value | None:
        rows = self._database.read("SELECT value FROM settings WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def set(self, key: str, value: Value | None) -> None:
        """Store a value over an older one; None forgets it."""

        def work(connection: sqlite3.Connection) -> None:
            if value is None:
                connection.execute("DELETE FROM settings WHERE key = ?", (key,))
                return
            connection.execute(
                "INSERT INTO settings (key, value) VALUES (?, ?) "
                "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                (key, value),
            )

        await self._database.commit(work)
