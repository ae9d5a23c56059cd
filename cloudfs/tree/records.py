"""What became of our changes in the cloud: each answer recorded in one transaction, in the writer's thread.

An answer may come late: what was removed here meanwhile is a tombstone then, what was renamed is moved.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace

from cloudfs.database.cloud_places import CloudPlaces
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.intents import Intent, IntentChanges
from cloudfs.model.entry import Version
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node, Place
from cloudfs.tree.local_transactions import Also
from cloudfs.tree.succession import Aftermath, Succession


@dataclass(frozen=True, slots=True)
class Answer:
    """What the cloud has now: a version at a place. generation: of the content that it took."""

    place: Place
    version: Version
    generation: int = 0


def begin_intent(connection: sqlite3.Connection, intent: Intent) -> None:
    """Note what is about to be asked. NotFound where the entry is not as that was planned for any more."""
    node = EntryChanges(connection).load(intent.inode)
    if node is None or not _fits(connection, node, intent):
        raise NotFound("it was removed, renamed or replaced meanwhile")
    IntentChanges(connection).set(intent)


def _fits(connection: sqlite3.Connection, node: Node, intent: Intent) -> bool:
    """Whether what is asked for is what the cloud lacks: programs rename between a plan and its steps."""
    if intent.operation == "put":
        return node.parent is not None and intent.place == (node.cloud_place or Place(node.parent, node.name))
    former = CloudPlaces(connection).at_home(intent.place)
    is_replaced = former is not None and former.is_removed and former.inode != node.inode
    return node.home is not None and is_replaced is (intent.base is not None)


def end_intent(connection: sqlite3.Connection, inode: int, sending: Collection[int]) -> Aftermath:
    """What was asked did not come to pass. What was removed meanwhile was never in the cloud then."""
    intents, succession = IntentChanges(connection), Succession(connection, sending)
    intent = intents.load(inode)
    intents.drop(inode)
    node = EntryChanges(connection).load(inode)
    if node is not None and node.is_removed and node.version is None:
        succession.unlink(inode)
    elif node is not None:
        _settle(succession, node)
    if intent is not None:
        succession.settle(intent.place)
        _settle_folder(connection, succession, intent.place)
    return succession.aftermath


def uploaded(
    connection: sqlite3.Connection, inode: int, answer: Answer, also: Also, sending: Collection[int]
) -> tuple[bool, Aftermath]:
    """A file's content was taken, as its `answer.generation`. False where its row is gone."""
    succession, changes = Succession(connection, sending), EntryChanges(connection)
    node = changes.load(inode)
    if node is None:
        return False, succession.aftermath
    sent = max(node.sent, min(answer.generation, node.generation))
    _record(connection, replace(node, sent=sent), answer, succession)
    also(connection)
    return True, succession.aftermath


def made(
    connection: sqlite3.Connection, inode: int, answer: Answer, sending: Collection[int]
) -> tuple[bool, Aftermath]:
    """A folder was made. False where its row is gone."""
    succession = Succession(connection, sending)
    node = EntryChanges(connection).load(inode)
    if node is not None:
        _record(connection, node, answer, succession)
    return node is not None, succession.aftermath


def moved(
    connection: sqlite3.Connection, inode: int, place: Place, sending: Collection[int]
) -> tuple[list[int], Aftermath]:
    """An entry was moved there, with all the cloud has below; returns whose tags mean nothing any more."""
    succession, places = Succession(connection, sending), CloudPlaces(connection)
    node = EntryChanges(connection).load(inode)
    if node is None or node.version is None:
        return [], succession.aftermath
    untagged = [inode, *places.inodes_below(inode)]
    places.forget_tags(untagged)
    answer = Answer(place, replace(node.version, etag=None))
    _record(connection, node, answer, succession)
    return untagged, succession.aftermath


def deleted(connection: sqlite3.Connection, inode: int) -> Aftermath:
    """A tombstone's place is empty; its row has no more use but for who has it open.

    Nothing happens where it is no tombstone (any more). ValueError where the cloud has something below:
    that is deleted before.
    """
    succession = Succession(connection, ())
    node = EntryChanges(connection).load(inode)
    if node is not None and node.is_removed:
        if CloudPlaces(connection).homes_in(inode):
            raise ValueError("what the cloud has in a folder is deleted before it")
        succession.unlink(inode)
    return succession.aftermath


def note_failure(
    connection: sqlite3.Connection, inode: int, error: str, reason: str, next_try_ms: int | None
) -> None:
    """One more try failed."""
    changes = EntryChanges(connection)
    node = changes.load(inode)
    if node is not None:
        failed = replace(
            node, error=error, error_reason=reason, tries=node.tries + 1, next_try_ms=next_try_ms
        )
        changes.write(failed)


def agreed(node: Node, answer: Answer) -> Node:
    """An entry of which the cloud has that version at that place; nothing has failed since."""
    is_there = node.parent is not None and answer.place == (node.parent, node.name)
    return replace(
        node,
        version=answer.version,
        home=None if is_there else answer.place,
        error=None,
        error_reason=None,
        tries=0,
        next_try_ms=None,
    )


def _record(connection: sqlite3.Connection, node: Node, answer: Answer, succession: Succession) -> None:
    IntentChanges(connection).drop(node.inode)
    succession.vacate(answer.place, node.inode)
    recorded = agreed(node, answer)
    EntryChanges(connection).write(recorded)
    _settle(succession, recorded)
    _settle_folder(connection, succession, answer.place)


def _settle(succession: Succession, node: Node) -> None:
    """Who waited for this answer may take over now: the entry, or who stands in its place."""
    if node.parent is not None:
        succession.settle(Place(node.parent, node.name))
    elif node.home is not None:
        succession.settle(node.home)


def _settle_folder(connection: sqlite3.Connection, succession: Succession, place: Place) -> None:
    """Who waited for an answer about a place may be the one to take the removed folder of it over."""
    folder = EntryChanges(connection).load(place.parent)
    if folder is not None and folder.is_removed and folder.home is not None:
        succession.settle(folder.home)
