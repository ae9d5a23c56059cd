"""Looking files up by what the cloud says they are, not by where they lie."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from cloudfs.database.bridge import Database
from cloudfs.model.enums import Kind

Tag = tuple[str, int]  # a strong entity tag, and the size in bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """A file of the tree: its inode, the cloud's id of it, and its tag with its size."""

    inode: int
    file_id: str | None
    tag: Tag | None


class Identities:
    """Files by identity. Raises LocalIOError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, file_ids: Collection[str], tags: Collection[Tag]) -> list[Identity]:
        """All linked files that have one of the ids, or one of the tags.

        One pass over the table in the writer's thread: it is asked for only when names are gone, which
        is rarer than the inserts that an index would slow down.
        """
        wanted_ids, wanted_tags = frozenset(file_ids), frozenset(tags)

        def work(connection: sqlite3.Connection) -> list[Identity]:
            rows = connection.execute(
                "SELECT inode, file_id, version_etag, version_size FROM entries "
                f"WHERE kind = {int(Kind.FILE)} AND parent IS NOT NULL"
            )
            return [
                Identity(inode, file_id, None if etag is None else (etag, size))
                for inode, file_id, etag, size in rows
                if file_id in wanted_ids or (etag, size) in wanted_tags
            ]

        return await self._database.commit(work) if wanted_ids or wanted_tags else []
