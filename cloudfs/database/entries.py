"""The table of the local tree, as committed: reads in the trio thread."""

from __future__ import annotations

from typing import Any

from cloudfs.database.bridge import Database
from cloudfs.database.entry_rows import COLUMNS, node_of
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import ROOT, Node

_CHANGED = "(generation > sent OR home_parent IS NOT NULL OR version_size IS NULL)"  # as the index has it


class Entries:
    """Entries as committed. All raise LocalIOError (DatabaseDamaged) and nothing else."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    def load(self, inode: int) -> Node | None:
        return self._one("inode = ?", inode)

    def child(self, parent: int, name: bytes) -> Node | None:
        return self._one("parent = ? AND name = ?", parent, name)

    def by_media_id(self, media_id: int) -> Node | None:
        return self._one("media_id = ? AND parent IS NOT NULL", media_id)

    def child_inodes(self, folder: int) -> list[int]:
        """All children, ascending."""
        rows = self._read("SELECT inode FROM entries WHERE parent = ? ORDER BY inode", (folder,))
        return [inode for (inode,) in rows]

    def page(self, folder: int, after: int, limit: int) -> list[Node]:
        """Children above an inode, ascending."""
        sql = f"SELECT {COLUMNS} FROM entries WHERE parent = ? AND inode > ? ORDER BY inode LIMIT ?"
        return [node_of(row) for row in self._read(sql, (folder, after, limit))]

    def count_children(self, folder: int) -> int:
        ((count,),) = self._read("SELECT COUNT(*) FROM entries WHERE parent = ?", (folder,))
        return int(count)

    def cloud_folders(self) -> list[tuple[Any, ...]]:
        """(parent in the cloud, inode, whether it is linked here) of every folder there but the root."""
        return self._read(
            "SELECT COALESCE(home_parent, parent) AS place, inode, parent IS NOT NULL FROM entries "
            f"WHERE kind = {int(Kind.FOLDER)} AND version_size IS NOT NULL AND place IS NOT NULL"
        )

    def untagged_folders(self) -> list[int]:
        """Folders that the cloud has and that were never listed, or whose last listing's tag is not known."""
        sql = (
            f"SELECT inode FROM entries WHERE kind = {int(Kind.FOLDER)} AND version_size IS NOT NULL "
            f"AND (listing = {int(Listing.NEVER)} OR version_etag IS NULL)"
        )
        return [inode for (inode,) in self._read(sql)]

    def homes_in(self, folder: int) -> list[Node]:
        """What the cloud has in a folder and what is not there here."""
        sql = f"SELECT {COLUMNS} FROM entries WHERE home_parent = ?"
        return [node_of(row) for row in self._read(sql, (folder,))]

    def changed(self) -> list[Node]:
        """Entries with a change that the cloud lacks, or with an intent."""
        sql = (
            f"SELECT {COLUMNS} FROM entries WHERE {_CHANGED} "
            f"UNION SELECT {COLUMNS} FROM entries WHERE inode IN (SELECT inode FROM intents)"
        )
        nodes = [node_of(row) for row in self._read(sql)]
        return [node for node in nodes if node.inode != ROOT and (node.parent or node.home)]

    def count_changed(self) -> int:
        """How many entries have a change that the cloud lacks."""
        neither = f"{_CHANGED} AND parent IS NULL AND home_parent IS NULL"  # the root, and what is unlinked
        ((count,),) = self._read(
            f"SELECT (SELECT COUNT(*) FROM entries WHERE {_CHANGED}) "
            f"- (SELECT COUNT(*) FROM entries WHERE {neither})"
        )
        return int(count)

    def _one(self, condition: str, *parameters: object) -> Node | None:
        rows = self._read(f"SELECT {COLUMNS} FROM entries WHERE {condition}", parameters)
        return node_of(rows[0]) if rows else None
