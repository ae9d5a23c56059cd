"""The table of the local tree: reads in the trio thread, and changes within a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from cloudfs.database.bridge import Database
from cloudfs.model.entry import Version
from cloudfs.model.enums import DownloadErrorType, Kind, Listing
from cloudfs.model.node import ROOT, Node, Place

_NAMES = (
    "inode",
    "parent",
    "name",
    "kind",
    "size",
    "mtime_ns",
    "ctime_ns",
    "mode",
    "uid",
    "gid",
    "version_etag",
    "version_mtime_ns",
    "version_size",
    "file_id",
    "listing",
    "pinned",
    "media_id",
    "error",
    "error_reason",
    "generation",
    "sent",
    "home_parent",
    "home_name",
    "tries",
    "next_try_ms",
)
_COLUMNS = ", ".join(_NAMES)
_INSERT = f"INSERT INTO entries ({_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
_LAST_MEDIA_ID = "last_media_id"

# An entry with all below it, parents before children.
_SUBTREE = """
    WITH RECURSIVE below (inode, depth) AS (
        SELECT inode, 0 FROM entries WHERE inode = ?
        UNION ALL
        SELECT entries.inode, depth + 1 FROM entries JOIN below ON entries.parent = below.inode
    )
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
        WHERE contents.inode = entries.inode AND whole = 1 AND contents.size = version_size
            AND etag IS version_etag
    )
"""


# Modes and owners are few: nodes share the numbers.
_shared: dict[int, int] = {}


def _node(row: Sequence[Any]) -> Node:
    inode, parent, name, kind, size, mtime_ns, ctime_ns, mode, uid, gid = row[:10]
    etag, version_mtime_ns, version_size, file_id, listing, pinned, media_id, error, reason = row[10:19]
    generation, sent, home_parent, home_name, tries, next_try_ms = row[19:]
    version = None if version_size is None else Version(etag, version_mtime_ns, version_size)
    return Node(
        inode,
        parent,
        name,
        Kind(kind),
        version_size if size == version_size else size,
        version_mtime_ns if mtime_ns == version_mtime_ns else mtime_ns,
        ctime_ns,
        _shared.setdefault(mode, mode),
        _shared.setdefault(uid, uid),
        _shared.setdefault(gid, gid),
        version,
        file_id,
        Listing(listing),
        bool(pinned),
        media_id,
        error,
        reason,
        generation,
        sent,
        None if home_parent is None else Place(home_parent, home_name),
        tries,
        next_try_ms,
    )


def _version_row(version: Version | None) -> tuple[str | None, int | None, int | None]:
    return (None, None, None) if version is None else (version.etag, version.mtime_ns, version.size)


def _row(node: Node) -> tuple[object, ...]:
    return (
        node.inode,
        node.parent,
        node.name,
        int(node.kind),
        node.size,
        node.mtime_ns,
        node.ctime_ns,
        node.mode,
        node.uid,
        node.gid,
        *_version_row(node.version),
        node.file_id,
        int(node.listing),
        int(node.pinned),
        node.media_id,
        node.error,
        node.error_reason,
        node.generation,
        node.sent,
        *((None, None) if node.home is None else node.home),
        node.tries,
        node.next_try_ms,
    )


class Entries:
    """Entries as committed. All raise LocalIOError (DatabaseDamaged) and nothing else."""

    def __init__(self, database: Database) -> None:
        self._read = database.read

    def load(self, inode: int) -> Node | None:
        return self._one("inode = ?", inode)

    def child(self, parent: int, name: bytes) -> Node | None:
        return self._one("parent = ? AND name = ?", parent, name)

    def by_media_id(self, media_id: int) -> Node | None:
        return self._one("media_id = ?", media_id)

    def child_inodes(self, folder: int) -> list[int]:
        """All children, ascending."""
        rows = self._read("SELECT inode FROM entries WHERE parent = ? ORDER BY inode", (folder,))
        return [inode for (inode,) in rows]

    def page(self, folder: int, after: int, limit: int) -> list[Node]:
        """Children above an inode, ascending."""
        sql = f"SELECT {_COLUMNS} FROM entries WHERE parent = ? AND inode > ? ORDER BY inode LIMIT ?"
        return [_node(row) for row in self._read(sql, (folder, after, limit))]

    def count_children(self, folder: int) -> int:
        ((count,),) = self._read("SELECT COUNT(*) FROM entries WHERE parent = ?", (folder,))
        return int(count)

    def folders(self) -> list[tuple[Any, ...]]:
        """(parent, inode) of every folder but the root and the unlinked."""
        kind = int(Kind.FOLDER)
        return self._read(f"SELECT parent, inode FROM entries WHERE kind = {kind} AND parent IS NOT NULL")

    def _one(self, condition: str, *parameters: object) -> Node | None:
        rows = self._read(f"SELECT {_COLUMNS} FROM entries WHERE {condition}", parameters)
        return _node(rows[0]) if rows else None


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
        sql = f"SELECT {_COLUMNS} FROM entries WHERE parent = ? ORDER BY inode"
        return [_node(row) for row in self._execute(sql, (folder,))]

    def subtree(self, inode: int) -> list[tuple[int, Kind]]:
        """An entry with all below it, parents before children."""
        sql = f"{_SUBTREE} SELECT inode, kind FROM below JOIN entries USING (inode) ORDER BY depth, inode"
        return [(below, Kind(kind)) for below, kind in self._execute(sql, (inode,))]

    def wanted_files(self) -> list[tuple[int, int]]:
        """(inode, parent) of files that a sync hydrates: not whole in the cache, and either with an
        effective pin or failed for want of space."""
        return self._execute(_WANTED_FILES).fetchall()

    def next_inode(self) -> int:
        """The number of the next new entry; those after it are free too."""
        row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return int(row[0]) + 1 if row else ROOT

    def insert(self, nodes: Iterable[Node]) -> None:
        self._execute_many(_INSERT, map(_row, nodes))

    def write_versions(self, nodes: Iterable[Node]) -> None:
        """Write what an observation may change of a file, and nothing that is the user's."""
        self._execute_many(
            "UPDATE entries SET size = ?, mtime_ns = ?, ctime_ns = ?, version_etag = ?, "
            "version_mtime_ns = ?, version_size = ?, file_id = ? WHERE inode = ?",
            ((n.size, n.mtime_ns, n.ctime_ns, *_version_row(n.version), n.file_id, n.inode) for n in nodes),
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
                *_version_row(node.version),
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
        """Take entries out of their folders: they have no name and no media id any more."""
        self._execute_many(
            "UPDATE entries SET parent = NULL, media_id = NULL WHERE inode = ?",
            ((inode,) for inode in inodes),
        )

    def delete(self, inodes: Iterable[int]) -> None:
        """Delete rows with their attributes and history. Children must come before their folders."""
        self._execute_many("DELETE FROM entries WHERE inode = ?", ((inode,) for inode in inodes))

    def unlinked(self) -> list[int]:
        rows = self._execute("SELECT inode FROM entries WHERE parent IS NULL AND inode <> ?", (ROOT,))
        return [inode for (inode,) in rows]

    def set_pin(self, inode: int, pinned: bool) -> None:
        self._execute("UPDATE entries SET pinned = ? WHERE inode = ?", (int(pinned), inode))

    def set_error(self, inode: int, error: str | None, reason: str | None) -> None:
        self._execute(
            "UPDATE entries SET error = ?, error_reason = ? WHERE inode = ?", (error, reason, inode)
        )

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

    def _take_over(self, old: int, new: int) -> None:
        """Give an entry a copy of another's attributes (its users still see them), and its history."""
        self._execute(
            "INSERT OR IGNORE INTO attributes (inode, name, value) "
            "SELECT ?, name, value FROM attributes WHERE inode = ?",
            (new, old),
        )
        self._execute("UPDATE history SET inode = ? WHERE inode = ?", (new, old))

    def _one(self, condition: str, *parameters: object) -> Node | None:
        row = self._execute(f"SELECT {_COLUMNS} FROM entries WHERE {condition}", parameters).fetchone()
        return _node(row) if row else None

    def _files_below(self, inode: int, condition: str) -> list[int]:
        sql = (
            f"{_SUBTREE} SELECT inode FROM below JOIN entries USING (inode) "
            f"WHERE kind = {int(Kind.FILE)} AND {condition} ORDER BY inode"
        )
        return [file for (file,) in self._execute(sql, (inode,))]
