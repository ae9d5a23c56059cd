"""One entry of the local tree: what a program sees of a file or folder without touching its content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind, Listing

ROOT = 1  # the root's inode, as FUSE wants it


class Place(NamedTuple):
    """A name in a folder, named by the folder's inode: it stays the same wherever the folder goes."""

    parent: int
    name: bytes


# Not `frozen`: that triples the cost of making one, and a cold readdir of 100,000 entries makes as many.
@dataclass(slots=True)
class Node:
    """An entry as committed. It is never changed in place: a change makes another one.

    inode: never used again, the same across remounts.
    parent: the folder it lies in; None for the root, for what was removed here and is to be removed in the
    cloud, and for what is unlinked but still open.
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
    generation: counts the changes of a file's content made here. sent: the generation that the cloud has.
    home: where the cloud has the entry, if that is not where it lies here.
    tries: uploads (or other operations) that failed since the last success. next_try_ms: no automatic sync
    tries again before that (epoch milliseconds); None: at once.
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
    generation: int = 0
    sent: int = 0
    home: Place | None = None
    tries: int = 0
    next_try_ms: int | None = None

    @property
    def is_folder(self) -> bool:
        return self.kind is Kind.FOLDER

    @property
    def is_unsent(self) -> bool:
        """Whether the cloud never had it."""
        return self.version is None and self.inode != ROOT

    @property
    def is_modified(self) -> bool:
        """Whether the content here is newer than what the cloud last had from here."""
        return self.generation > self.sent

    @property
    def content_version(self) -> Version | None:
        """Which version the cache is to be asked for; None for what was made here.

        A file that was emptied here, or made anew in the place of another, has nothing of the version that
        it replaces, also where the cache keeps no record of it: nothing was ever written to it.
        """
        return None if self.is_modified and not self.size else self.version

    @property
    def is_moved(self) -> bool:
        """Whether the cloud has it in another place."""
        return self.parent is not None and self.home is not None

    @property
    def is_removed(self) -> bool:
        """Whether it was removed here, and the cloud still has it."""
        return self.parent is None and self.home is not None

    @property
    def is_changed(self) -> bool:
        """Whether the cloud lacks any change made here; what is merely unlinked has none."""
        if self.parent is None:
            return self.home is not None
        return self.home is not None or self.generation > self.sent or self.version is None

    @property
    def cloud_place(self) -> Place | None:
        """Where the cloud has it; None: nowhere, or it is the root."""
        if self.home is not None:
            return self.home
        if self.parent is None or self.version is None:
            return None
        return Place(self.parent, self.name)
