"""What programs do to the tree: each one transaction, in the writer's thread (POSIX rename(2), unlink(2)).

The folders named must be linked up to the root: what was removed by a sync meanwhile takes no changes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from cloudfs.database.entry_changes import EntryChanges
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.errors import (
    AlreadyExists,
    InvalidParameter,
    IsAFolder,
    NotAFolder,
    NotEmpty,
    NotFound,
)
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree.gallery import galleries_from, lies_in_gallery
from cloudfs.tree.succession import Aftermath, Succession
from cloudfs.tree.transactions import settle_media

Also = Callable[[sqlite3.Connection], None]  # work on another table, for the same commit


NOTHING_MORE = Aftermath()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new entry is to be."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    in_gallery: bool
    now_ns: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where an entry goes: from one place to another, with their paths at this moment; and when."""

    source: Place
    target: Place
    source_path: RemotePath
    target_path: RemotePath
    gallery: Sequence[RemotePath]
    now_ns: int

    @property
    def changes_gallery(self) -> bool:
        """Whether media ids may come or go with it."""
        was, is_now = (
            lies_in_gallery(path.rpartition(b"/")[0], self.gallery)
            for path in (self.source_path, self.target_path)
        )
        return was is not is_now or any(
            galleries_from(path, self.gallery) for path in (self.source_path, self.target_path)
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """nodes: what changed places, as they were. replaced: what lost its name, as it was.

    renumbered: files whose media ids came or went.
    """

    nodes: tuple[Node, ...] = ()
    replaced: Node | None = None
    aftermath: Aftermath = NOTHING_MORE
    renumbered: list[int] = field(default_factory=list)


def create(
    connection: sqlite3.Connection, place: Place, draft: Draft, sending: Collection[int]
) -> tuple[Node, Aftermath]:
    """Make an entry that the cloud never had; returns it.

    NotFound, NotAFolder, AlreadyExists.
    """
    changes = EntryChanges(connection)
    _linked_folder(changes, place.parent)
    if changes.child(place.parent, place.name) is not None:
        raise AlreadyExists("the name is taken")
    is_file = draft.kind is Kind.FILE
    node = Node(
        inode=changes.next_inode(),
        parent=place.parent,
        name=place.name,
        kind=draft.kind,
        size=0,
        mtime_ns=draft.now_ns,
        ctime_ns=draft.now_ns,
        mode=draft.mode,
        uid=draft.uid,
        gid=draft.gid,
        version=None,
        file_id=None,
        listing=Listing.NEVER if is_file else Listing.WHOLE,
        pinned=False,
        media_id=changes.take_media_ids(1)[0] if is_file and draft.in_gallery else None,
        error=None,
        error_reason=None,
        generation=1 if is_file else 0,
    )
    changes.insert([node])
    changes.touch(place.parent, draft.now_ns)
    succession = Succession(connection, sending)
    succession.settle(place)
    aftermath = succession.aftermath
    return _loaded(changes, node.inode) if aftermath.changed else node, aftermath


def remove(
    connection: sqlite3.Connection, place: Place, kind: Kind, now_ns: int, sending: Collection[int]
) -> tuple[Node, Aftermath]:
    """Take a file, or an empty folder, out of its folder; returns it as it was.

    NotFound, IsAFolder, NotAFolder, NotEmpty.
    """
    changes = EntryChanges(connection)
    _linked_folder(changes, place.parent)
    node = _child(changes, place)
    _check_removable(changes, node, kind)
    succession = Succession(connection, sending)
    succession.settle(succession.take_away(node, now_ns))
    changes.touch(place.parent, now_ns)
    return node, succession.aftermath


def rename(
    connection: sqlite3.Connection, route: Route, sending: Collection[int], *, no_replace: bool
) -> Moved:
    """Give an entry another place, and take away what is there.

    NotFound, NotAFolder, IsAFolder, NotEmpty, AlreadyExists, InvalidParameter.
    """
    changes = EntryChanges(connection)
    _linked_folder(changes, route.source.parent)
    above = _linked_folder(changes, route.target.parent)
    node = _child(changes, route.source)
    other = changes.child(*route.target)
    if other is not None and no_replace:
        raise AlreadyExists("the name is taken")
    if other is not None and other.inode == node.inode:
        return Moved()
    if node.inode in above:
        raise InvalidParameter("a folder can't lie within itself")
    succession = Succession(connection, sending)
    home = None
    if other is not None:
        _check_removable(changes, other, node.kind)
        home = succession.take_away(other, route.now_ns)
    changes.write(_moved(node, route.target, route.now_ns))
    for folder in {route.source.parent, route.target.parent}:
        changes.touch(folder, route.now_ns)
    renumbered = _settle_media(changes, node.inode, route.target_path, route)
    for place in {route.target, home}:
        succession.settle(place)
    return Moved((node,), other, succession.aftermath, renumbered)


def exchange(connection: sqlite3.Connection, route: Route, sending: Collection[int]) -> Moved:
    """Let two entries change places (renameat2(2), RENAME_EXCHANGE).

    NotFound, NotAFolder, InvalidParameter.
    """
    changes = EntryChanges(connection)
    above_source = _linked_folder(changes, route.source.parent)
    above_target = _linked_folder(changes, route.target.parent)
    one, other = _child(changes, route.source), _child(changes, route.target)
    if one.inode == other.inode:
        return Moved()
    if one.inode in above_target or other.inode in above_source:
        raise InvalidParameter("a folder can't lie within itself")
    changes.write(replace(one, parent=None, home=one.cloud_place))  # its name must be free for a moment
    changes.write(_moved(other, route.source, route.now_ns))
    changes.write(_moved(one, route.target, route.now_ns))
    for folder in {route.source.parent, route.target.parent}:
        changes.touch(folder, route.now_ns)
    renumbered = _settle_media(changes, one.inode, route.target_path, route)
    renumbered += _settle_media(changes, other.inode, route.source_path, route)
    succession = Succession(connection, sending)
    succession.settle(route.source)
    succession.settle(route.target)
    return Moved((one, other), None, succession.aftermath, renumbered)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What chmod(2), chown(2) and utimensat(2) set; None leaves it."""

    mode: int | None
    uid: int | None
    gid: int | None
    mtime_ns: int | None
    now_ns: int


def set_attributes(connection: sqlite3.Connection, inode: int, attributes: Attributes) -> None:
    """Set what is given, and the ctime. NotFound."""
    changes = EntryChanges(connection)
    node = _loaded(changes, inode)
    changes.write(
        replace(
            node,
            mode=node.mode if attributes.mode is None else attributes.mode,
            uid=node.uid if attributes.uid is None else attributes.uid,
            gid=node.gid if attributes.gid is None else attributes.gid,
            mtime_ns=node.mtime_ns if attributes.mtime_ns is None else attributes.mtime_ns,
            ctime_ns=attributes.now_ns,
        )
    )


def mark_modified(connection: sqlite3.Connection, inode: int, also: Also) -> None:
    """Count one more change of a file's content. NotFound."""
    if not EntryChanges(connection).count_modification(inode):
        raise NotFound("it is gone")
    also(connection)


@dataclass(frozen=True, slots=True)
class Written:
    """What a file's content looks like after a change here, and when that was recorded (its ctime)."""

    size: int
    mtime_ns: int
    now_ns: int


def record_content(connection: sqlite3.Connection, inode: int, written: Written, also: Also) -> None:
    """Write what a file's content looks like. NotFound."""
    changes = EntryChanges(connection)
    if not changes.write_content(inode, written.size, written.mtime_ns, written.now_ns):
        raise NotFound("it is gone")
    also(connection)


def write_nothing_new(connection: sqlite3.Connection) -> None:
    """Write a page, so that a durable commit has something to sync: an empty one syncs nothing."""
    EntryChanges(connection).rewrite_root()


def _moved(node: Node, target: Place, now_ns: int) -> Node:
    """An entry in another place here; in the cloud it is where it was. It is tried there at once."""
    home = node.cloud_place
    return replace(
        node,
        parent=target.parent,
        name=target.name,
        home=None if home == target else home,
        ctime_ns=now_ns,
        next_try_ms=None,
    )


def _settle_media(changes: EntryChanges, inode: int, path: RemotePath, route: Route) -> list[int]:
    return settle_media(changes, inode, path, route.gallery) if route.changes_gallery else []


def _check_removable(changes: EntryChanges, node: Node, kind: Kind) -> None:
    """Whether an entry may give way to one of a kind, or to nothing (rename(2), rmdir(2))."""
    if node.is_folder and kind is Kind.FILE:
        raise IsAFolder("it is a folder")
    if not node.is_folder and kind is Kind.FOLDER:
        raise NotAFolder("it is no folder")
    if node.is_folder and (node.listing is not Listing.WHOLE or changes.has_children(node.inode)):
        raise NotEmpty("the folder is not known to be empty")


def _linked_folder(changes: EntryChanges, inode: int) -> list[int]:
    """A folder that takes changes, with all above it."""
    above = changes.ancestors(inode)
    if not above or above[-1] != ROOT:
        raise NotFound("the folder is gone")
    return above


def _child(changes: EntryChanges, place: Place) -> Node:
    node = changes.child(place.parent, place.name)
    if node is None:
        raise NotFound("there is no such name")
    return node


def _loaded(changes: EntryChanges, inode: int) -> Node:
    node = changes.load(inode)
    if node is None:
        raise NotFound("it is gone")
    return node
