"""What the cache holds of each file: the rows that `cache.store` keeps beside its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cloudfs.database.bridge import Database
from cloudfs.model.entry import Version

_NAMES = (
    *("inode", "file", "size", "etag", "mtime_ns", "ranges", "held_bytes", "whole", "durable", "boot_id"),
    *("last_use_ms", "dirty", "base_size", "written_ns"),
)
_COLUMNS = ", ".join(_NAMES)
_UPSERT = f"""
    INSERT INTO contents ({_COLUMNS}) VALUES ({", ".join("?" * len(_NAMES))})
    ON CONFLICT (inode) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])}
"""
_FLAGS = ("whole", "durable", "dirty")
_PAGE = 1000  # rows an iterator or an IN list takes at once


@dataclass(frozen=True, slots=True)
class ContentRow:
    """The cached content of one inode.

    file: random name of the cache file. size: bytes of the whole content.
    etag, mtime_ns: the version that it is of, or (dirty) that the change began from.
    ranges: `RangeSet.to_bytes`, b"" where whole. held_bytes: how many bytes are held.
    durable: fdatasync came before the row. boot_id: the boot it was written in.
    last_use_ms: epoch milliseconds.
    dirty: newer than any version of the cloud's. base_size: the size of that version; None: there is none.
    written_ns: the cache file's own mtime at the last flush; 0: it was never flushed.
    """

    inode: int
    file: str
    size: int
    etag: str | None
    mtime_ns: int | None
    ranges: bytes
    held_bytes: int
    whole: bool
    durable: bool
    boot_id: str
    last_use_ms: int
    dirty: bool = False
    base_size: int | None = None
    written_ns: int = 0

    @property
    def version(self) -> Version | None:
        size = self.base_size if self.dirty else self.size
        return None if size is None else Version(self.etag, self.mtime_ns, size)


class Recovered(NamedTuple):
    """What the cache file of a dirty row says after a crash; mtime_ns None: nothing that is not recorded."""

    row: ContentRow
    mtime_ns: int | None


class ContentTotals(NamedTuple):
    """held_bytes: in all files together. files: how many."""

    held_bytes: int
    files: int


class Contents:
    """Reads are as committed; changes are whole or not at all. LocalIOError, LocalStorageFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self, inode: int) -> ContentRow | None:
        rows = self._database.read(f"SELECT {_COLUMNS} FROM contents WHERE inode = ?", (inode,))
        return _content_row(rows[0]) if rows else None

    def least_recently_used(self, limit: int, after: tuple[int, int] = (-1, -1)) -> list[ContentRow]:
        """The longest unused first, by (last_use_ms, inode); `after` is where the page before it ended.

        Dirty ones are not among them: nothing else has what they hold.
        """
        sql = (
            f"SELECT {_COLUMNS} FROM contents WHERE (last_use_ms, inode) > (?, ?) AND dirty = 0 "
            "ORDER BY last_use_ms, inode LIMIT ?"
        )
        return [_content_row(row) for row in self._database.read(sql, (*after, limit))]

    def totals(self) -> ContentTotals:
        ((held_bytes, files),) = self._database.read(
            "SELECT COALESCE(SUM(held_bytes), 0), COUNT(*) FROM contents"
        )
        return ContentTotals(held_bytes, files)

    def held_bytes_of(self, inodes: Sequence[int]) -> dict[int, int]:
        """Bytes held of each of these; what has no row is left out."""
        held: dict[int, int] = {}
        for start in range(0, len(inodes), _PAGE):
            page = inodes[start : start + _PAGE]
            marks = ", ".join("?" * len(page))
            held.update(
                self._database.read(f"SELECT inode, held_bytes FROM contents WHERE inode IN ({marks})", page)
            )
        return held

    def files(self) -> Iterator[tuple[str, int]]:
        """(file, inode) of every row, in pages, so that a caller may pause between them."""
        after = -1
        while rows := self._database.read(
            "SELECT inode, file FROM contents WHERE inode > ? ORDER BY inode LIMIT ?", (after, _PAGE)
        ):
            for inode, file in rows:
                yield file, inode
            after = rows[-1][0]

    def known_files(self, files: Sequence[str]) -> set[str]:
        """Those of these names that a row has."""
        known: set[str] = set()
        for start in range(0, len(files), _PAGE):
            page = files[start : start + _PAGE]
            marks = ", ".join("?" * len(page))
            rows = self._database.read(f"SELECT file FROM contents WHERE file IN ({marks})", page)
            known.update(file for (file,) in rows)
        return known

    def orphans(self) -> list[ContentRow]:
        """Content of entries that are gone (a stop between the two removals): it may go."""
        sql = (
            f"SELECT {_COLUMNS} FROM contents "
            "WHERE NOT EXISTS (SELECT 1 FROM entries WHERE entries.inode = contents.inode)"
        )
        return [_content_row(row) for row in self._database.read(sql)]

    def dirty(self) -> list[tuple[ContentRow, int | None]]:
        """Each dirty row with its entry's size; None where the entry was removed, or is gone."""
        sql = (
            f"SELECT {_COLUMNS}, (SELECT size FROM entries "
            "WHERE entries.inode = contents.inode AND parent IS NOT NULL) FROM contents WHERE dirty = 1"
        )
        return [(_content_row(row[:-1]), row[-1]) for row in self._database.read(sql)]

    def is_dirty(self, inode: int) -> bool:
        return bool(self._database.read("SELECT 1 FROM contents WHERE inode = ? AND dirty = 1", (inode,)))

    def not_durable(self, boot_id: str) -> list[int]:
        """Inodes of this boot whose bytes were not known to be synced when their rows were written."""
        rows = self._database.read("SELECT inode FROM contents WHERE durable = 0 AND boot_id = ?", (boot_id,))
        return [inode for (inode,) in rows]

    async def mark_durable(self, rows: Iterable[ContentRow]) -> None:
        """The bytes that these rows tell of were synced; a row that says something else by now is left."""
        values = [
            (row.inode, row.file, row.size, row.etag, row.ranges, row.held_bytes, row.dirty, row.written_ns)
            for row in rows
        ]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE contents SET durable = 1 WHERE inode = ? AND file = ? AND size = ? AND etag IS ? "
                "AND ranges = ? AND held_bytes = ? AND dirty = ? AND written_ns = ?",
                values,
            )

        await self._database.commit(work, durable=True)

    async def upsert(self, rows: Iterable[ContentRow], *, durable: bool = False) -> None:
        """Write rows over older ones of their inodes, all in one commit.

        durable: it survives power loss too.
        """
        written = list(rows)
        await self._database.commit(lambda connection: write_rows(connection, written), durable=durable)

    async def touch(self, uses: Iterable[tuple[int, int]]) -> None:
        """Record last uses, as (inode, epoch milliseconds)."""
        values = [(last_use_ms, inode) for inode, last_use_ms in uses]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE contents SET last_use_ms = ? WHERE inode = ?", values)

        await self._database.commit(work)

    async def delete(self, inodes: Iterable[int]) -> None:
        """Delete rows; those that are not there count as deleted."""
        values = [(inode,) for inode in inodes]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM contents WHERE inode = ?", values)

        await self._database.commit(work)

    async def forget_unsynced(self, boot_id: str) -> int:
        """Delete the clean rows of another boot whose bytes were never synced. Returns how many they were."""

        def work(connection: sqlite3.Connection) -> int:
            sql = "DELETE FROM contents WHERE durable = 0 AND dirty = 0 AND boot_id != ?"
            return connection.execute(sql, (boot_id,)).rowcount

        return await self._database.commit(work)

    async def recover(self, found: Sequence[Recovered], lost: Sequence[int], now_ns: int) -> None:
        """Let rows and entries say what the cache files of dirty contents say, in one durable commit.

        lost: inodes whose cache file is not there any more: their rows go, and their entries get the size
        of the version that the cloud has, or none.
        """

        def work(connection: sqlite3.Connection) -> None:
            write_rows(connection, [row for row, _ in found])
            connection.executemany(
                "UPDATE entries SET size = ?, mtime_ns = COALESCE(?, mtime_ns), ctime_ns = ? WHERE inode = ?",
                [(row.size, mtime_ns, now_ns, row.inode) for row, mtime_ns in found],
            )
            for inode in lost:
                connection.execute("DELETE FROM contents WHERE inode = ?", (inode,))
                connection.execute(
                    "UPDATE entries SET size = COALESCE(version_size, 0), ctime_ns = ? WHERE inode = ?",
                    (now_ns, inode),
                )

        await self._database.commit(work, durable=True)


def write_rows(connection: sqlite3.Connection, rows: Sequence[ContentRow]) -> None:
    """Write rows over older ones of their inodes, within another work's transaction."""
    connection.executemany(_UPSERT, [_values(row) for row in rows])


def write_uploaded(connection: sqlite3.Connection, inode: int, version: Version, generation: int) -> None:
    """The cloud has the content of this generation as `version`: the row is clean, if no newer one came."""
    connection.execute(
        "UPDATE contents SET dirty = 0, etag = ?, mtime_ns = ?, base_size = ? "
        "WHERE inode = ? AND dirty = 1 AND size = ? AND whole = 1 "
        "AND (SELECT generation FROM entries WHERE entries.inode = contents.inode) = ?",
        (version.etag, version.mtime_ns, version.size, inode, version.size, generation),
    )


def _content_row(row: Sequence[Any]) -> ContentRow:
    values = dict(zip(_NAMES, row, strict=True))
    for flag in _FLAGS:
        values[flag] = bool(values[flag])
    return ContentRow(**values)


def _values(row: ContentRow) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in _NAMES)
