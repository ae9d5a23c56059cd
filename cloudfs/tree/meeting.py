"""What a sync decides where both sides changed an entry: each one transaction, in the writer's thread.

Each looks again whether the entry is still what the decision was about, and does nothing where it is not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace

from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.intents import IntentChanges
from cloudfs.model.entry import RemoteEntry, RemotePath, Version
from cloudfs.model.enums import Kind, Listing
from cloudfs.model.errors import AlreadyExists
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree.local_transactions import Also
from cloudfs.tree.records import Answer, agreed
from cloudfs.tree.succession import Aftermath, Succession, detached
from cloudfs.tree.transactions import Defaults, insert_new, settle_media

_NOT_LISTED = Version(None, None, 0)


@dataclass(frozen=True, slots=True)
class Restored:
    """node: what shows at the place now, under the old inode or another one; None where it can't be.

    renumbered: files whose media ids came or went.
    """

    node: Node | None
    renumbered: list[int]
    aftermath: Aftermath


def detach(connection: sqlite3.Connection, inode: int, sending: Collection[int]) -> Aftermath:
    """The cloud has an entry no more, which lives on here."""
    succession = Succession(connection, sending)
    node = EntryChanges(connection).load(inode)
    if node is not None and node.parent is not None:
        succession.detach(node)
    return succession.aftermath


def bury(connection: sqlite3.Connection, inode: int, sending: Collection[int]) -> Aftermath:
    """The cloud has a tombstone no more, nor what was below it."""
    succession = Succession(connection, sending)
    node = EntryChanges(connection).load(inode)
    if node is not None and node.is_removed:
        succession.bury(node)
    return succession.aftermath


def adopt_version(
    connection: sqlite3.Connection, inode: int, answer: Answer, file_id: str | None, also: Also
) -> tuple[bool, Aftermath]:
    """The content here, as of a generation, is the cloud's. False where the entry is not linked."""
    succession, changes = Succession(connection, ()), EntryChanges(connection)
    node = changes.load(inode)
    if node is None or node.parent is None:
        return False, succession.aftermath
    IntentChanges(connection).drop(inode)
    succession.vacate(answer.place, inode)
    sent = max(node.sent, min(answer.generation, node.generation))
    changes.write(agreed(replace(node, sent=sent, file_id=file_id or node.file_id), answer))
    also(connection)
    return True, succession.aftermath


@dataclass(frozen=True, slots=True)
class Conflict:
    """The local entry is to be called `name`; the cloud's, if any, shows under the name it had."""

    inode: int
    name: bytes
    entry: RemoteEntry | None
    defaults: Defaults


def make_conflict(
    connection: sqlite3.Connection, conflict: Conflict, sending: Collection[int]
) -> tuple[Node | None, Node | None, Aftermath]:
    """Returns the local entry as it was, None where it is not linked, and the cloud's. AlreadyExists.

    What the cloud has elsewhere only steps aside here; what it had under the name was never there now.
    """
    succession, changes = Succession(connection, sending), EntryChanges(connection)
    node = changes.load(conflict.inode)
    if node is None or node.parent is None:
        return None, None, succession.aftermath
    aside = Place(node.parent, conflict.name)
    if changes.child(*aside) is not None:
        raise AlreadyExists("the name is taken")
    if node.home is None:
        if node.is_folder:
            succession.lose_below(node)
        if conflict.entry is None and not node.is_unsent:
            succession.doubt(node.parent)  # it stood for something else there, which is nobody's now
        changes.write(replace(detached(node), name=aside.name, ctime_ns=conflict.defaults.now_ns))
    else:
        home = None if node.home == aside else node.home
        changes.write(replace(node, name=aside.name, home=home, ctime_ns=conflict.defaults.now_ns))
    changes.touch(node.parent, conflict.defaults.now_ns)
    inserted = None
    if conflict.entry is not None:
        succession.vacate(Place(node.parent, node.name), node.inode)
        inserted = _insert_for(changes, node, conflict.entry, conflict.defaults)
    succession.settle(aside)
    return node, inserted, succession.aftermath


def _insert_for(changes: EntryChanges, node: Node, entry: RemoteEntry, defaults: Defaults) -> Node:
    """Insert the cloud's entry under the name that a local one gave up: what is the user's stays there."""
    assert node.parent is not None
    (inserted,) = insert_new(changes, node.parent, [replace(entry, name=node.name)], defaults)
    if node.home is None and node.kind is entry.kind is Kind.FILE:
        changes.inherit(node.inode, inserted.inode)
        if defaults.in_gallery:
            changes.number_media_below(node.inode)
    found = changes.load(inserted.inode)
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Restoration:
    """entry: what the cloud has in the tombstone's place; None: what it was known to have.

    is_held: whether a program may still have the tombstone open. path: of its place.
    """

    inode: int
    entry: RemoteEntry | None
    is_held: bool
    path: RemotePath
    gallery: tuple[RemotePath, ...]
    defaults: Defaults


def restore(connection: sqlite3.Connection, restoration: Restoration, sending: Collection[int]) -> Restored:
    """Link a tombstone again where the cloud has it: nothing where its name is taken or its folder gone."""
    succession, changes = Succession(connection, sending), EntryChanges(connection)
    nothing = Restored(None, [], succession.aftermath)
    node = changes.load(restoration.inode)
    if node is None or not node.is_removed or node.home is None:
        return nothing
    if changes.child(*node.home) is not None or changes.ancestors(node.home.parent)[-1:] != [ROOT]:
        return nothing
    entry = restoration.entry
    if entry is None:
        if node.version is None:
            return nothing
        entry = RemoteEntry(node.home.name, node.kind, node.version, node.file_id)
    if _shows_as_it_was(node, entry, restoration.is_held):
        back = _linked(node, node.home, entry, restoration.defaults.now_ns)
        changes.write(back)
    else:
        (back,) = insert_new(
            changes, node.home.parent, [replace(entry, name=node.home.name)], restoration.defaults
        )
        if node.kind is entry.kind:
            changes.inherit(node.inode, back.inode)
        succession.bury(node)
    renumbered = settle_media(changes, back.inode, restoration.path, restoration.gallery)
    return Restored(changes.load(back.inode), renumbered, succession.aftermath)


def _shows_as_it_was(node: Node, entry: RemoteEntry, is_held: bool) -> bool:
    """Whether the old inode can show the cloud's entry: nobody may have it open with other content."""
    if node.kind is not entry.kind:
        return False
    if node.is_folder:
        return True
    is_same = node.version is not None and node.version.is_same_as(entry.version)
    return is_same and not node.is_modified and not is_held


def _linked(node: Node, place: Place, entry: RemoteEntry, now_ns: int) -> Node:
    return replace(
        node,
        parent=place.parent,
        name=place.name,
        home=None,
        ctime_ns=now_ns,
        # What a folder holds is asked anew: all of it was removed here.
        version=_NOT_LISTED if node.is_folder else entry.version,
        listing=Listing.NEVER,
        file_id=entry.file_id or node.file_id,
        error=None,
        error_reason=None,
        tries=0,
        next_try_ms=None,
    )
