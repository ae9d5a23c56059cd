"""One entry of the local tree: what a program sees of a file or folder without touching its content."""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind, Listing

ROOT = 1  # the root's inode, as FUSE wants it


# Not `frozen`: that triples the cost of making one, and a cold readdir of 100,000 entries makes as many.
@dataclass(slots=True)
class Node:
    """An entry as committed. It is never changed in place: a change makes another one.

    inode: never used again, the same across remounts.
    parent: the folder it lies in; None for the root, and for what is unlinked but still open.
    name: the bytes as the cloud gave them; b"" for the root.
    size: bytes; 0 for a folder.
    mtime_ns, ctime_ns: epoch nanoseconds; ctime moves by local changes and adopted versions only.
    mode: permission bits. uid, gid: the owner.
    version: what the cloud holds; None for what it never had. A folder's is that of its last listing.
    file_id: the cloud's own identity of the entry, which survives renames there; None where it has none.
    listing: how much of a folder's children is known.
    pinned: its own value; the effective one is inherited (`Tree.is_pinned`).
    media_id: set for files within gallery folders, and for nothing else.
    error: the enum name of the last failure, None once a later try succeeded. error_reason: a sentence.
    """

    inode: int
    parent: int | None
    name: bytes
    kind: Kind
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int
    version: Version | None
    file_id: str | None
    listing: Listing
    pinned: bool
    media_id: int | None
    error: str | None
    error_reason: str | None

    @property
    def is_folder(self) -> bool:
        return self.kind is Kind.FOLDER
