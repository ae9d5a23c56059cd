"""A row of the table of entries, and the node that it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.node import Node, Place

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
COLUMNS = ", ".join(_NAMES)
INSERT = f"INSERT INTO entries ({COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))})"
UPDATE = (
    f"UPDATE entries SET ({', '.join(_NAMES[1:])}) = ({', '.join('?' * (len(_NAMES) - 1))}) WHERE inode = ?"
)


# Modes and owners are few: nodes share the numbers.
_shared: dict[int, int] = {}


def node_of(row: Sequence[Any]) -> Node:
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


def version_row(version: Version | None) -> tuple[str | None, int | None, int | None]:
    return (None, None, None) if version is None else (version.etag, version.mtime_ns, version.size)


def row_of(node: Node) -> tuple[object, ...]:
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
        *version_row(node.version),
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
