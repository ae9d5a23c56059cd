"""The tree's transactions: each reads and changes rows within one commit, in the writer's thread.

They hold no state and decide nothing that depends on who has a file open; `observing_tree` does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cloudfs.database.cloud_places import CloudPlaces
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.intents import IntentChanges
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.errors import NotAFolder, NotFound
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree.gallery import galleries_from, lies_in_gallery
from cloudfs.tree.observation import Comparison, adopted, compare, first_seen, met, touched
from cloudfs.tree.sends import PassedOver


@dataclass(frozen=True, slots=True)
class Defaults:
    """What new entries get: owner, whether their folder lies in the gallery, and the time of their coming."""

    uid: int
    gid: int
    in_gallery: bool
    now_ns: int


# --- start ---


def new_root(uid: int, gid: int, now_ns: int) -> Node:
    """The root as it is before its first listing."""
    return Node(
        inode=ROOT,
        parent=None,
        name=b"",
        kind=Kind.FOLDER,
        size=0,
        mtime_ns=now_ns,
        ctime_ns=now_ns,
        mode=0o755,
        uid=uid,
        gid=gid,
        version=None,
        file_id=None,
        listing=Listing.NEVER,
        pinned=False,
        media_id=None,
        error=None,
        error_reason=None,
    )


def make_root(connection: sqlite3.Connection, root: Node) -> None:
    """Insert the root where there is none."""
    changes = EntryChanges(connection)
    if changes.load(ROOT) is None:
        changes.insert([root])


def drop_unlinked(connection: sqlite3.Connection) -> None:
    """Delete what an earlier run left unlinked: nobody has it open any more."""
    changes = EntryChanges(connection)
    for inode in changes.unlinked():
        members = changes.subtree(inode)
        changes.delete(member for member, _ in reversed(members))
    IntentChanges(connection).drop_orphans()


def believe_contents(connection: sqlite3.Connection) -> None:
    """Count as modified what has content that the cloud lacks."""
    EntryChanges(connection).count_dirty()


def settle_media(
    changes: EntryChanges, inode: int, path: RemotePath, gallery: Sequence[RemotePath]
) -> list[int]:
    """Give media ids to the gallery files at or below an entry that have none, and take those of others
    away, now that it lies at `path`; returns the files concerned."""
    if lies_in_gallery(path.rpartition(b"/")[0], gallery):
        inside = [inode]
    else:
        found = [_find(changes, folder) for folder in galleries_from(path, gallery)]
        inside = [node.inode for node in found if node is not None and node.is_folder]
    dropped = changes.drop_media_ids_below(inode, inside)
    return [*dropped, *(file for top in inside for file in changes.number_media_below(top))]


def settle_gallery(connection: sqlite3.Connection, gallery: Sequence[RemotePath]) -> None:
    """Settle the media ids of the whole tree: the gallery is another one than before."""
    settle_media(EntryChanges(connection), ROOT, b"", gallery)


def _find(changes: EntryChanges, path: bytes) -> Node | None:
    node = changes.load(ROOT)
    for name in path.split(b"/"):
        if node is not None:
            node = changes.child(node.inode, name)
    return node


# --- observations ---


def compare_listing(
    connection: sqlite3.Connection, folder: int, listing: FolderListing, passed: PassedOver
) -> Comparison:
    """Compare; changes nothing. NotFound, NotAFolder.

    What an earlier run asked for and nobody has settled yet is passed over too: it may have come through.
    """
    changes = EntryChanges(connection)
    _known_folder(changes, folder)
    intents = IntentChanges(connection)
    passed = PassedOver(passed.inodes.union(intents.inodes()), passed.names.union(intents.names_in(folder)))
    known: list[Node] = []
    here: list[Node] = []
    for node in changes.children(folder):
        (known if node.home is None and not node.is_unsent else here).append(node)
    return compare([*known, *CloudPlaces(connection).homes_in(folder)], here, listing, passed)


def apply_listing(
    connection: sqlite3.Connection,
    folder: int,
    comparison: Comparison,
    in_use: frozenset[int],
    defaults: Defaults,
) -> tuple[list[Node], dict[int, int]]:
    """Write what a comparison found; returns what was added and what was replaced. NotFound."""
    changes = EntryChanges(connection)
    node = _known_folder(changes, folder)
    listed = touched(node, comparison.folder, defaults.now_ns)
    changes.write_listed(replace(listed, version=comparison.folder.version, listing=Listing.WHOLE))
    replaced = write_stale(connection, comparison.stale, in_use, defaults.now_ns)
    write_touched(connection, comparison.touched, defaults.now_ns)
    for before, entry in comparison.met:
        current = changes.load(before.inode)
        if current is not None and current.is_unsent:  # what took a place over meanwhile is known there
            changes.write(met(current, entry))
    return insert_new(changes, folder, comparison.new, defaults), replaced


def write_touched(
    connection: sqlite3.Connection, entries: Sequence[tuple[Node, RemoteEntry]], now_ns: int
) -> None:
    """Write what differs beside the content."""
    changes = EntryChanges(connection)
    known = [touched(node, entry, now_ns) for node, entry in entries]
    changes.write_versions(node for node in known if not node.is_folder)
    changes.write_times(node for node in known if node.is_folder)


def write_stale(
    connection: sqlite3.Connection,
    stale: Sequence[tuple[Node, RemoteEntry]],
    in_use: frozenset[int],
    now_ns: int,
) -> dict[int, int]:
    """Let files show new versions, those in use under new inodes; returns these by the old ones."""
    changes = EntryChanges(connection)
    changes.write_versions(adopted(n, entry, now_ns) for n, entry in stale if n.inode not in in_use)
    return {
        old.inode: changes.split(old, adopted(old, entry, now_ns))
        for old, entry in stale
        if old.inode in in_use
    }


def insert_new(
    changes: EntryChanges, folder: int, entries: Sequence[RemoteEntry], defaults: Defaults
) -> list[Node]:
    """Insert entries under names that are free."""
    files = sum(entry.kind is Kind.FILE for entry in entries) if defaults.in_gallery else 0
    media_ids = iter(changes.take_media_ids(files) if files else ())
    first = changes.next_inode()
    nodes = [
        first_seen(
            entry,
            inode,
            folder,
            uid=defaults.uid,
            gid=defaults.gid,
            media_id=next(media_ids, None) if entry.kind is Kind.FILE else None,
            now_ns=defaults.now_ns,
        )
        for inode, entry in enumerate(entries, first)
    ]
    changes.insert(nodes)
    return nodes


def _known_folder(changes: EntryChanges, inode: int) -> Node:
    node = changes.load(inode)
    if node is None or (node.parent is None and inode != ROOT):
        raise NotFound("the folder is gone")
    if not node.is_folder:
        raise NotAFolder("it is no folder")
    return node


def keep_versions(connection: sqlite3.Connection, nodes: Sequence[Node]) -> None:
    """Take new versions back: the files were opened for writing meanwhile."""
    EntryChanges(connection).write_versions(nodes)


def delete(connection: sqlite3.Connection, inodes: Sequence[int]) -> None:
    """Delete rows, given with parents before children."""
    EntryChanges(connection).delete(reversed(inodes))


# --- moves ---


@dataclass(frozen=True, slots=True)
class Target:
    """Where an entry is moved to: `name` in `folder`, which makes `path`; and when (its ctime)."""

    folder: int
    name: bytes
    path: RemotePath
    gallery: Sequence[RemotePath]
    now_ns: int


def take_place(
    connection: sqlite3.Connection, old: int, new: RemoteEntry, below_new: Sequence[int], target: Target
) -> list[int]:
    """Put an entry in the place of another one, which goes with all below it (itself first).

    Returns the files whose media ids came or went with that. NotFound.
    """
    changes = EntryChanges(connection)
    kept = changes.load(old)
    if kept is None:
        raise NotFound("it is gone")
    changes.delete(reversed(below_new))
    if kept.is_folder:
        # What lies below is as it was last seen: without a tag its next listing is called for.
        file_id = new.file_id or kept.file_id
        changes.write_listed(replace(kept, version=Version(None, None, 0), file_id=file_id))
    return _place(changes, old, target)


def take_home(
    connection: sqlite3.Connection, old: int, new: RemoteEntry, below_new: Sequence[int], target: Target
) -> list[int]:
    """Let the cloud's place of a changed entry be that of another one, which goes with all below it.

    What lies elsewhere here stays there, else it follows. The version is the new one if the content is the
    same by size and time (tags of two URLs can't be compared); else the one that the change began from
    stays, and the next listing finds it contested. Returns the files whose media ids came or went. NotFound.
    """
    changes, places = EntryChanges(connection), CloudPlaces(connection)
    kept = changes.load(old)
    if kept is None or kept.parent is None or kept.version is None:
        raise NotFound("it is gone")
    changes.delete(reversed(below_new))
    place = Place(target.folder, target.name)
    base = replace(kept.version, etag=None)
    if kept.is_folder:
        base = Version(None, None, 0)
        places.forget_tags(places.inodes_below(old))
    elif base.is_same_as(new.version):
        base = new.version
    moved = replace(kept, version=base, file_id=new.file_id or kept.file_id)
    if kept.is_moved:
        changes.write(replace(moved, home=None if place == (kept.parent, kept.name) else place))
        return []
    changes.write(moved)
    return _place(changes, old, target)


def _place(changes: EntryChanges, inode: int, target: Target) -> list[int]:
    changes.place(inode, target.folder, target.name, target.now_ns)
    return settle_media(changes, inode, target.path, target.gallery)


def inherit(connection: sqlite3.Connection, old: int, new: int) -> None:
    """Give a file what is the user's of another one: owner, mode, pin, attributes, media id, history."""
    EntryChanges(connection).inherit(old, new)
