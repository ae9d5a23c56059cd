"""What the cache holds of each file: the rows that `cache.store` keeps beside its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cloudfs.database.bridge import Database
from cloudfs.model.entry import Version

_COLUMNS = "inode, file, size, etag, mtime_ns, ranges, held_bytes, whole, durable, boot_id, last_use_ms"
_UPSERT = f"""
    INSERT INTO contents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (inode) DO UPDATE SET
        file = excluded.file, size = excluded.size, etag = excluded.etag, mtime_ns = excluded.mtime_ns,
        ranges = excluded.ranges, held_bytes = excluded.held_bytes, whole = excluded.whole,
        durable = excluded.durable, boot_id = excluded.boot_id, last_use_ms = excluded.last_use_ms
"""
_PAGE = 1000  # rows an iterator or an IN list takes at once


@dataclass(frozen=True, slots=True)
class ContentRow:
    """The cached content of one inode.

    file: random name of the cache file. size: bytes of the whole version. etag, mtime_ns: that version.
    ranges: `RangeSet.to_bytes`, b"" where whole. held_bytes: how many bytes are held.
    durable: fdatasync came before the row. boot_id: the boot it was written in.
    last_use_ms: epoch milliseconds.
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

    @property
    def version(self) -> Version:
        return Version(self.etag, self.mtime_ns, self.size)


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
        """The longest unused first, by (last_use_ms, inode); `after` is where the page before it ended."""
        sql = (
            f"SELECT {_COLUMNS} FROM contents WHERE (last_use_ms, inode) > (?, ?) "
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

    async def upsert(self, rows: Iterable[ContentRow], *, durable: bool = False) -> None:
        """Write rows over older ones of their inodes, all in one commit.

        durable: it survives power loss too.
        """
        values = [_values(row) for row in rows]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(_UPSERT, values)

        await self._database.commit(work, durable=durable)

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
        """Delete the rows of another boot whose bytes were never synced. Returns how many there were."""

        def work(connection: sqlite3.Connection) -> int:
            sql = "DELETE FROM contents WHERE durable = 0 AND boot_id != ?"
            return connection.execute(sql, (boot_id,)).rowcount

        return await self._database.commit(work)


def _content_row(row: Sequence[Any]) -> ContentRow:
    inode, file, size, etag, mtime_ns, ranges, held_bytes, whole, durable, boot_id, last_use_ms = row
    return ContentRow(
        inode,
        file,
        size,
        etag,
        mtime_ns,
        ranges,
        held_bytes,
        bool(whole),
        bool(durable),
        boot_id,
        last_use_ms,
    )


def _values(row: ContentRow) -> tuple[object, ...]:
    return (
        row.inode,
        row.file,
        row.size,
        row.etag,
        row.mtime_ns,
        row.ranges,
        row.held_bytes,
        int(row.whole),
        int(row.durable),
        row.boot_id,
        row.last_use_ms,
    )
