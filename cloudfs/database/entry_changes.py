"""The table of the local tree: reads and changes within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from cloudfs.database.entry_rows import COLUMNS, INSERT, UPDATE, node_of, row_of, version_row
from cloudfs.model.enums import DownloadErrorType, Kind
from cloudfs.model.node import ROOT, Node

_LAST_MEDIA_ID = "last_media_id"

# An entry with all below it, parents before children.
_SUBTREE = """
    WITH RECURSIVE below (inode, depth) AS (
        SELECT inode, 0 FROM entries WHERE inode = ?
        UNION ALL
        SELECT entries.inode, depth + 1 FROM entries JOIN below ON entries.parent = below.inode
    )
"""

# A folder with all above it.
_ANCESTORS = """
    WITH RECURSIVE above (inode, parent) AS (
        SELECT inode, parent FROM entries WHERE inode = ?
        UNION ALL
        SELECT entries.inode, entries.parent FROM entries JOIN above ON entries.inode = above.parent
    )
    SELECT inode FROM above
"""

# Pinned entries with all below them, and files for which there was no room; but nothing unlinked.
_WANTED_FILES = f"""
    WITH RECURSIVE covered (inode) AS (
        SELECT inode FROM entries WHERE pinned = 1 AND (parent IS NOT NULL OR inode = {ROOT})
        UNION
        SELECT entries.inode FROM entries JOIN covered ON entries.parent = covered.inode
    ), wanted (inode) AS (
        SELECT inode FROM covered
        UNION
        SELECT inode FROM entries
        WHERE error = '{DownloadErrorType.LOCAL_STORAGE_FULL.name}' AND parent IS NOT NULL
    )
    SELECT entries.inode, entries.parent FROM wanted JOIN entries USING (inode)
    WHERE kind = {int(Kind.FILE)} AND entries.size > 0 AND NOT EXISTS (
        SELECT 1 FROM contents
        WHERE contents.inode = entries.inode AND whole = 1 AND (
            dirty = 1 OR (contents.size = version_size AND COALESCE(etag = version_etag, 1))
        )
    )
"""


class Member(NamedTuple):
    """One of a subtree."""

    inode: int
    parent: int | None
    kind: Kind
    is_modified: bool


class EntryChanges:
    """Reads and changes within one transaction, in the writer's thread. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute: Callable[..., sqlite3.Cursor] = connection.execute
        self._execute_many = connection.executemany

    def load(self, inode: int) -> Node | None:
        return self._one("inode = ?", inode)

    def child(self, parent: int, name: bytes) -> Node | None:
        return self._one("parent = ? AND name = ?", parent, name)

    def children(self, folder: int) -> list[Node]:
        """All children, ascending."""
        sql = f"SELECT {COLUMNS} FROM entries WHERE parent = ? ORDER BY inode"
        return [node_of(row) for row in self._execute(sql, (folder,))]

    def subtree(self, inode: int) -> list[tuple[int, Kind]]:
        """An entry with all below it, parents before children."""
        sql = f"{_SUBTREE} SELECT inode, kind FROM below JOIN entries USING (inode) ORDER BY depth, inode"
        return [(below, Kind(kind)) for below, kind in self._execute(sql, (inode,))]

    def members(self, inode: int) -> list[Member]:
        """An entry with all below it, parents before children."""
        sql = (
            f"{_SUBTREE} SELECT inode, parent, kind, generation > sent FROM below JOIN entries USING (inode) "
            "ORDER BY depth, inode"
        )
        rows = self._execute(sql, (inode,))
        return [Member(below, parent, Kind(kind), bool(modified)) for below, parent, kind, modified in rows]

    def ancestors(self, inode: int) -> list[int]:
        """An entry and all above it, upwards; the last is the root exactly where it is linked."""
        return [above for (above,) in self._execute(_ANCESTORS, (inode,))]

    def has_children(self, folder: int) -> bool:
        return (
            self._execute("SELECT 1 FROM entries WHERE parent = ? LIMIT 1", (folder,)).fetchone() is not None
        )

    def wanted_files(self) -> list[tuple[int, int]]:
        """(inode, parent) of files that a sync hydrates: not whole in the cache, and either with an
        effective pin or failed for want of space."""
        return self._execute(_WANTED_FILES).fetchall()

    def next_inode(self) -> int:
        """The number of the next new entry; those after it are free too."""
        row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return int(row[0]) + 1 if row else ROOT

    def insert(self, nodes: Iterable[Node]) -> None:
        self._execute_many(INSERT, map(row_of, nodes))

    def write(self, node: Node) -> None:
        """Write all of an entry, which was read within this transaction."""
        inode, *values = row_of(node)
        self._execute(UPDATE, (*values, inode))

    def touch(self, folder: int, now_ns: int) -> None:
        """A folder's children changed here: its times move (POSIX, "File Times Update")."""
        self._execute("UPDATE entries SET mtime_ns = ?1, ctime_ns = ?1 WHERE inode = ?2", (now_ns, folder))

    def rewrite_root(self) -> None:
        """Write what is there."""
        self._execute("UPDATE entries SET ctime_ns = ctime_ns WHERE inode = ?", (ROOT,))

    def count_modification(self, inode: int) -> bool:
        """One more change of a file's content; False where it is gone."""
        sql = "UPDATE entries SET generation = generation + 1 WHERE inode = ?"
        return self._execute(sql, (inode,)).rowcount > 0

    def count_dirty(self) -> None:
        """One more change of each file whose content is newer than what the cloud has, and that has none."""
        self._execute(
            "UPDATE entries SET generation = generation + 1 WHERE generation = sent AND parent IS NOT NULL "
            "AND inode IN (SELECT inode FROM contents WHERE dirty = 1)"
        )

    def write_content(self, inode: int, size: int, mtime_ns: int, ctime_ns: int) -> bool:
        """What a file's content looks like after a change here; False where it is gone."""
        sql = "UPDATE entries SET size = ?, mtime_ns = ?, ctime_ns = ? WHERE inode = ?"
        return self._execute(sql, (size, mtime_ns, ctime_ns, inode)).rowcount > 0

    def write_versions(self, nodes: Iterable[Node]) -> None:
        """Write what an observation may change of a file, and nothing that is the user's."""
        self._execute_many(
            "UPDATE entries SET size = ?, mtime_ns = ?, ctime_ns = ?, version_etag = ?, "
            "version_mtime_ns = ?, version_size = ?, file_id = ? WHERE inode = ?",
            ((n.size, n.mtime_ns, n.ctime_ns, *version_row(n.version), n.file_id, n.inode) for n in nodes),
        )

    def write_times(self, nodes: Iterable[Node]) -> None:
        """Write what its parent's listing may change of a folder."""
        self._execute_many(
            "UPDATE entries SET mtime_ns = ?, ctime_ns = ?, file_id = ? WHERE inode = ?",
            ((n.mtime_ns, n.ctime_ns, n.file_id, n.inode) for n in nodes),
        )

    def write_listed(self, node: Node) -> None:
        """Write what its own listing may change of a folder."""
        self._execute(
            "UPDATE entries SET mtime_ns = ?, ctime_ns = ?, version_etag = ?, version_mtime_ns = ?, "
            "version_size = ?, file_id = ?, listing = ? WHERE inode = ?",
            (
                node.mtime_ns,
                node.ctime_ns,
                *version_row(node.version),
                node.file_id,
                int(node.listing),
                node.inode,
            ),
        )

    def place(self, inode: int, parent: int, name: bytes, ctime_ns: int) -> None:
        """Give an entry a parent and a name, which must be free."""
        self._execute(
            "UPDATE entries SET parent = ?, name = ?, ctime_ns = ? WHERE inode = ?",
            (parent, name, ctime_ns, inode),
        )

    def split(self, old: Node, adopted: Node) -> int:
        """Leave a file in use to its users as `old` has it, unlinked; returns the inode of a new entry
        in its place with `adopted`'s version and all that is the user's."""
        current = self._one("inode = ?", old.inode)
        new = replace(
            current if current is not None else old,
            inode=self.next_inode(),
            size=adopted.size,
            mtime_ns=adopted.mtime_ns,
            ctime_ns=adopted.ctime_ns,
            version=adopted.version,
            file_id=adopted.file_id,
        )
        self.unlink([old.inode])
        self.write_versions([old])
        self.insert([new])
        self._take_over(old.inode, new.inode)
        return new.inode

    def inherit(self, old: int, new: int) -> None:
        """Give an entry owner, mode, pin, media id, attributes and history of another one."""
        self._execute(
            "UPDATE entries SET (uid, gid, mode, pinned) = "
            "(SELECT uid, gid, mode, pinned FROM entries WHERE inode = ?1) WHERE inode = ?2",
            (old, new),
        )
        ((media_id,),) = self._execute("SELECT media_id FROM entries WHERE inode = ?", (old,)).fetchall()
        self._execute("UPDATE entries SET media_id = NULL WHERE inode = ?", (old,))
        # Only a file within the gallery has one, and only there it may get the other's.
        self._execute(
            "UPDATE entries SET media_id = COALESCE(?, media_id) WHERE inode = ? AND media_id IS NOT NULL",
            (media_id, new),
        )
        self._take_over(old, new)

    def unlink(self, inodes: Iterable[int]) -> None:
        """Leave entries to those who have them open: they have no name, no media id and no place anywhere."""
        self._execute_many(
            "UPDATE entries SET parent = NULL, media_id = NULL, home_parent = NULL, home_name = NULL "
            "WHERE inode = ?",
            ((inode,) for inode in inodes),
        )

    def delete(self, inodes: Iterable[int]) -> None:
        """Delete rows with their attributes and history. Children must come before their folders."""
        self._execute_many("DELETE FROM entries WHERE inode = ?", ((inode,) for inode in inodes))

    def unlinked(self) -> list[int]:
        """What nobody needs but those who have it open."""
        sql = "SELECT inode FROM entries WHERE parent IS NULL AND home_parent IS NULL AND inode <> ?"
        rows = self._execute(sql, (ROOT,))
        return [inode for (inode,) in rows]

    def set_pin(self, inode: int, pinned: bool) -> None:
        self._execute("UPDATE entries SET pinned = ? WHERE inode = ?", (int(pinned), inode))

    def set_error(self, inode: int, error: str | None, reason: str | None) -> None:
        self._execute(
            "UPDATE entries SET error = ?, error_reason = ? WHERE inode = ?", (error, reason, inode)
        )

    def clear_waits(self, inodes: Iterable[int]) -> None:
        """Let entries be tried at once."""
        sql = "UPDATE entries SET next_try_ms = NULL WHERE inode = ?"
        self._execute_many(sql, ((inode,) for inode in inodes))

    def take_media_ids(self, count: int) -> range:
        """New media ids, never given before."""
        row = self._execute(
            "INSERT INTO settings (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = value + excluded.value RETURNING value",
            (_LAST_MEDIA_ID, count),
        ).fetchone()
        return range(row[0] - count + 1, row[0] + 1)

    def number_media_below(self, inode: int) -> list[int]:
        """Give a media id to each file at or below an entry that has none; returns those files."""
        files = self._files_below(inode, "media_id IS NULL")
        ids = self.take_media_ids(len(files)) if files else range(0)
        self._execute_many("UPDATE entries SET media_id = ? WHERE inode = ?", zip(ids, files, strict=True))
        return files

    def drop_media_ids_below(self, inode: int, but: Iterable[int]) -> list[int]:
        """Take the media ids of files at or below an entry away, but for those at or below others.

        Returns the files that lost theirs.
        """
        kept = {file for top in but for file in self._files_below(top, "media_id IS NOT NULL")}
        files = [file for file in self._files_below(inode, "media_id IS NOT NULL") if file not in kept]
        self._execute_many("UPDATE entries SET media_id = NULL WHERE inode = ?", ((file,) for file in files))
        return files

    def give_history(self, old: int, new: int) -> None:
        """What happened to an entry is from now on what happened to another one."""
        self._execute("UPDATE history SET inode = ? WHERE inode = ?", (new, old))

    def _take_over(self, old: int, new: int) -> None:
        """Give an entry a copy of another's attributes (its users still see them), and its history."""
        self._execute(
            "INSERT OR IGNORE INTO attributes (inode, name, value) "
            "SELECT ?, name, value FROM attributes WHERE inode = ?",
            (new, old),
        )
        self.give_history(old, new)

    def _one(self, condition: str, *parameters: object) -> Node | None:
        row = self._execute(f"SELECT {COLUMNS} FROM entries WHERE {condition}", parameters).fetchone()
        return node_of(row) if row else None

    def _files_below(self, inode: int, condition: str) -> list[int]:
        sql = (
            f"{_SUBTREE} SELECT inode FROM below JOIN entries USING (inode) "
            f"WHERE kind = {int(Kind.FILE)} AND {condition} ORDER BY inode"
        )
        return [file for (file,) in self._execute(sql, (inode,))]
