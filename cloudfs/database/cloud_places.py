"""The cloud's tree, read off the local one: where the cloud has entries, within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from cloudfs.database.entry_rows import COLUMNS, node_of
from cloudfs.model.node import Node, Place

_OWN_PLACE = "home_parent IS NULL AND version_size IS NOT NULL"

# All that the cloud has below an entry, parents before children.
_BELOW = f"""
    WITH RECURSIVE below (inode, depth) AS (
        SELECT inode, 0 FROM entries WHERE inode = ?
        UNION ALL
        SELECT entries.inode, depth + 1 FROM entries JOIN below ON entries.home_parent = below.inode
        UNION ALL
        SELECT entries.inode, depth + 1 FROM entries JOIN below ON entries.parent = below.inode
            AND {_OWN_PLACE}
    )
"""


class CloudPlaces:
    """Entries by their places in the cloud. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute: Callable[..., sqlite3.Cursor] = connection.execute
        self._execute_many = connection.executemany

    def at_home(self, place: Place) -> Node | None:
        """The entry that the cloud has at a place and that lies elsewhere here, or nowhere."""
        sql = f"SELECT {COLUMNS} FROM entries WHERE home_parent = ? AND home_name = ?"
        row = self._execute(sql, place).fetchone()
        return node_of(row) if row else None

    def homes_in(self, folder: int) -> list[Node]:
        """What the cloud has in a folder and what is not there here."""
        sql = f"SELECT {COLUMNS} FROM entries WHERE home_parent = ? ORDER BY inode"
        return [node_of(row) for row in self._execute(sql, (folder,))]

    def homes_below(self, inode: int) -> list[Node]:
        """What the cloud has below an entry and what lies elsewhere here, or nowhere; parents first."""
        sql = f"""
            {_BELOW} SELECT {COLUMNS} FROM entries JOIN below USING (inode)
            WHERE depth > 0 AND home_parent IS NOT NULL ORDER BY depth
        """
        return [node_of(row) for row in self._execute(sql, (inode,))]

    def inodes_below(self, inode: int) -> set[int]:
        """All that the cloud has below an entry."""
        found = self._execute(f"{_BELOW} SELECT inode FROM below WHERE depth > 0", (inode,))
        return {below for (below,) in found}

    def rehome(self, old: int, new: int) -> None:
        """What the cloud has in a folder is from now on in another one, which is the same there."""
        self._execute("UPDATE entries SET home_parent = ? WHERE home_parent = ?", (new, old))

    def forget_tags(self, inodes: Iterable[int]) -> None:
        """Forget the entity tags of files, and of what the cache holds of them: a tag is that of one URL.

        RFC 9110 section 8.8.3: tags of different resources say nothing about each other.
        """
        values = [(inode,) for inode in inodes]
        self._execute_many("UPDATE entries SET version_etag = NULL WHERE inode = ?", values)
        self._execute_many("UPDATE contents SET etag = NULL WHERE inode = ?", values)
