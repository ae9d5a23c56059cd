"""What becomes of an entry that loses its name here, and who takes its place in the cloud over.

A tombstone is what was removed here and the cloud still has. When something the cloud never had stands in
its place, it is the same to the cloud: saved by rename, as editors do. It takes the tombstone's version
over, so that one conditional PUT replaces it, never a DELETE and a create (DESIGN section 8, item 3).

For use within a transaction; nothing here knows who has a file open: what may go is only unlinked, and
told as loose.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from cloudfs.database.cloud_places import CloudPlaces
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.intents import IntentChanges
from cloudfs.model.entry import TEMPORARY_PREFIX
from cloudfs.model.enums import Listing
from cloudfs.model.node import ROOT, Node, Place


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What changed beside the entries that a transaction was asked to change.

    loose: entries left to those who have them open. changed: entries whose rows changed in their places.
    """

    loose: Sequence[int] = ()
    changed: Sequence[int] = ()


class Succession:
    """One transaction's changes of that kind.

    sending: what is being sent, and the folders it is sent to: nobody takes them over before the answer.
    """

    def __init__(self, connection: sqlite3.Connection, sending: Collection[int]) -> None:
        self._sending = sending
        self._loose: list[int] = []
        self._changed: list[int] = []
        self._changes = EntryChanges(connection)
        self._places = CloudPlaces(connection)
        self._intents = IntentChanges(connection)

    @property
    def aftermath(self) -> Aftermath:
        return Aftermath(self._loose, self._changed)

    def take_away(self, node: Node, now_ns: int) -> Place | None:
        """Take an entry out of its folder: a tombstone where the cloud has it, or may come to have it.

        Returns that place, to be settled once all else is where it belongs.
        """
        home = node.cloud_place
        if home is None and (intent := self._intents.load(node.inode)) is not None:
            self.vacate(intent.place, node.inode)
            home = intent.place
        elif home is not None and not self._has_folder(home):
            home = None  # with the folder the cloud lost what was in it
            self.lose_below(node)
        self._changes.write(
            replace(
                node,
                parent=None,
                home=home,
                ctime_ns=now_ns,
                media_id=node.media_id if home is not None else None,
                next_try_ms=None,
            )
        )
        if home is None:
            self._loose.append(node.inode)
        return home

    def _has_folder(self, place: Place) -> bool:
        """Whether the cloud has the folder of a place."""
        folder = self._changes.load(place.parent)
        return folder is not None and not folder.is_unsent

    def settle(self, place: Place | None) -> None:
        """Let who stands in a place here take over the tombstone of that place, if it may."""
        if place is None:
            return
        tombstone = self._places.at_home(place)
        if tombstone is None or tombstone.parent is not None:
            return
        heir = self._changes.child(place.parent, place.name)
        if heir is None or not heir.is_unsent or heir.kind is not tombstone.kind:
            return
        if self._is_asked(heir.inode) or self._is_asked(tombstone.inode) or self._intents.lead_to(place):
            return  # the cloud's answer decides first
        self._take_over(tombstone, heir)

    def _is_asked(self, inode: int) -> bool:
        """Whether the cloud was asked for something of an entry, or in it, without an answer."""
        return inode in self._sending or self._intents.concern(inode)

    def _take_over(self, tombstone: Node, heir: Node) -> None:
        self.unlink(tombstone.inode)
        self._changes.give_history(tombstone.inode, heir.inode)
        media_id = heir.media_id
        if media_id is not None and tombstone.media_id is not None:
            media_id = tombstone.media_id
        self._changes.write(
            replace(
                heir,
                version=tombstone.version,
                file_id=tombstone.file_id,
                pinned=heir.pinned or tombstone.pinned,
                media_id=media_id,
                listing=tombstone.listing if heir.is_folder else heir.listing,
            )
        )
        self._changed.append(heir.inode)
        if heir.is_folder:
            self._places.rehome(tombstone.inode, heir.inode)
            for below in self._places.homes_in(heir.inode):
                self._changed.append(below.inode)
                self.settle(below.home)

    def vacate(self, place: Place, but: int) -> None:
        """The cloud has an entry at a place now: what it had there before is gone."""
        former = self._places.at_home(place)
        if former is None or former.inode == but:
            return
        intent = self._intents.load(former.inode)
        if intent is not None and intent.operation == "move" and intent.place != place:
            self._has_left(former, intent.place)
        elif former.parent is None:
            self.bury(former)
        elif former.is_folder:
            self.detach(former)
        else:
            self._lose(former)

    def _has_left(self, node: Node, place: Place) -> None:
        """An entry made room in the cloud where it was asked to, though its own answer is still to come."""
        self.vacate(place, node.inode)
        is_home = place == (node.parent, node.name)
        self._changes.write(replace(node, home=None if is_home else place))
        self._changed.append(node.inode)

    def bury(self, node: Node) -> None:
        """The cloud has a tombstone no more, nor anything below."""
        self.lose_below(node)
        self.unlink(node.inode)

    def detach(self, node: Node) -> None:
        """The cloud has an entry no more, which stays here as if it had just been made."""
        if node.is_folder:
            self.lose_below(node)
        self.keep(node)

    def keep(self, node: Node) -> None:
        """`detach` but for what was below: it may stand for what was removed in its place."""
        self._changes.write(detached(node))
        self._changed.append(node.inode)
        self.settle(Place(node.parent or ROOT, node.name))

    def lose_below(self, folder: Node, but: Collection[int] = ()) -> None:
        """What the cloud had in a folder that is gone there, and that is not in the folder here.

        What was moved out of it unchanged is taken to lie in the cloud as it does here: the next listing
        there does not show it, and so it goes like all that the cloud lost. Where that place is another's in
        the cloud, it is taken to lie under a name that no listing shows: whoever moves it on finds it lost.
        but: what goes anyway.
        """
        for known in self._places.homes_below(folder.inode):
            below = self._changes.load(known.inode)  # one kept before may have taken it over
            if below is None or below.home is None or below.inode in but:
                continue
            if below.is_removed:
                self.unlink(below.inode)
            else:
                self._lose(below)

    def _lose(self, node: Node) -> None:
        """The cloud has a linked entry no more; see `lose_below`. What is modified here lives on."""
        if node.is_modified:
            self.keep(node)
            return
        place = Place(node.parent or ROOT, node.name)
        is_free = self._places.at_home(place) is None
        unseen = Place(ROOT, TEMPORARY_PREFIX + b"lost-%d" % node.inode)
        self._changes.write(replace(node, home=None if is_free else unseen))
        self._changed.append(node.inode)
        self.doubt(place.parent)

    def doubt(self, folder: int) -> None:
        """What the cloud has in a folder is known no longer: whatever its tag, it is to be listed."""
        self._places.forget_tags([folder])
        self._changed.append(folder)

    def unlink(self, inode: int) -> None:
        """Leave an entry to those who have it open."""
        self._intents.drop(inode)
        self._changes.unlink([inode])
        self._loose.append(inode)


def detached(node: Node) -> Node:
    """An entry as the cloud never had it."""
    return replace(
        node,
        version=None,
        file_id=None,
        home=None,
        generation=node.generation if node.is_folder else max(node.generation, 1),
        sent=0,
        listing=Listing.WHOLE if node.is_folder else Listing.NEVER,
    )
