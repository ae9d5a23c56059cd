"""Removing what the cloud lost: what goes with it, and what was changed here and so stays.

One transaction finds out, so that the tree can ask who uses what of it; another one looks again and removes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from cloudfs.database.cloud_places import CloudPlaces
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.model.entry import RemoteEntry
from cloudfs.model.enums import Kind
from cloudfs.model.node import Node, Place
from cloudfs.tree.succession import Succession
from cloudfs.tree.transactions import Defaults, insert_new


@dataclass(frozen=True, slots=True)
class Doomed:
    """What a removal takes away of an entry and all below it, parents before children.

    going: inodes with their kinds. staying: those that the cloud lost too, but that hold something changed
    here, or are it: they live on as if they had just been made.
    """

    top: Node
    going: list[tuple[int, Kind]]
    staying: list[int]


@dataclass(slots=True)
class Removed:
    """cut: entries that lost their names, as they were; all that went lies below them.

    deleted: inodes whose rows are gone. followers: what the cloud has under the names instead.
    changed: entries whose rows changed in their places. loose: what was left to its users beside.
    """

    cut: list[Node] = field(default_factory=list)
    deleted: list[tuple[int, Kind]] = field(default_factory=list)
    followers: list[Node] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    loose: list[int] = field(default_factory=list)


def find_doomed(connection: sqlite3.Connection, folder: int, inodes: Sequence[int]) -> list[Doomed]:
    """What the removal of children of a folder means; what is none of them is passed over."""
    changes = EntryChanges(connection)
    nodes = [node for inode in inodes if (node := changes.load(inode)) is not None]
    return [
        _sort(changes, CloudPlaces(connection), node)
        for node in nodes
        if node.parent == folder and not node.is_unsent
    ]


def _sort(changes: EntryChanges, places: CloudPlaces, top: Node) -> Doomed:
    """What lies below an entry goes if the cloud had it below it too, and nothing of it was changed."""
    if not top.is_folder:
        going = [] if top.is_modified else [(top.inode, top.kind)]
        return Doomed(top, going, [top.inode] if top.is_modified else [])
    members = changes.members(top.inode)
    lost = places.inodes_below(top.inode) | {top.inode}
    stays: set[int | None] = set()
    for member in reversed(members):
        if member.inode in stays or member.is_modified or member.inode not in lost:
            stays.update((member.inode, member.parent))
    return Doomed(
        top,
        [(member.inode, member.kind) for member in members if member.inode not in stays],
        [member.inode for member in members if member.inode in stays and member.inode in lost],
    )


def remove(
    connection: sqlite3.Connection,
    folder: int,
    inodes: Sequence[int],
    successors: dict[int, tuple[RemoteEntry, Defaults]],
    users: tuple[Collection[int], Collection[int]],
) -> Removed:
    """Remove children of a folder with what goes with them.

    users: who was asked for; which of them are in use, and so are only unlinked. A name of which more would
    go than was asked for is left alone: it changed meanwhile, and the next round sees it again.
    """
    changes = EntryChanges(connection)
    asked, used = users
    removed = Removed()
    for doomed in find_doomed(connection, folder, inodes):
        if all(inode in asked for inode, _ in doomed.going):
            _remove_one(connection, doomed, used, removed)
            following = successors.get(doomed.top.inode)
            if following is not None and _is_free(connection, folder, following[0].name):
                removed.followers += insert_new(changes, folder, [following[0]], following[1])
    return removed


def _remove_one(
    connection: sqlite3.Connection, doomed: Doomed, used: Collection[int], removed: Removed
) -> None:
    changes, succession = EntryChanges(connection), Succession(connection, ())
    going = {inode for inode, _ in doomed.going}
    if doomed.top.is_folder:
        succession.lose_below(doomed.top, but=going)
    for inode in doomed.staying:
        node = changes.load(inode)
        if node is not None:
            succession.keep(node)
    cut = [node for inode in going if (node := changes.load(inode)) is not None and node.parent not in going]
    deleted = [(inode, kind) for inode, kind in doomed.going if inode not in used]
    changes.unlink(inode for inode, _ in doomed.going if inode in used)
    changes.delete(inode for inode, _ in reversed(deleted))
    removed.cut += sorted(cut, key=lambda node: node.inode)
    removed.deleted += deleted
    removed.changed += succession.aftermath.changed
    removed.loose += succession.aftermath.loose


def _is_free(connection: sqlite3.Connection, folder: int, name: bytes) -> bool:
    place = Place(folder, name)
    return EntryChanges(connection).child(*place) is None and CloudPlaces(connection).at_home(place) is None


def untouched_below(connection: sqlite3.Connection, inode: int) -> list[int]:
    """An entry with all below it, parents before children; nothing where any of it was changed here."""
    members = EntryChanges(connection).members(inode)
    places = CloudPlaces(connection)
    lost = places.inodes_below(inode) | {inode}
    is_untouched = lost == {member.inode for member in members} and not any(
        member.is_modified for member in members
    )
    return [member.inode for member in members] if is_untouched and not places.homes_below(inode) else []
