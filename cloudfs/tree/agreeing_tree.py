"""The tree as the sync changes it: what the cloud answered to our changes, and how both sides meet.

Each call is one commit. An entry may have gone, or changed, since the sync looked: the commit looks again.
What is left to nobody by one goes, row and content.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial

import trio

from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.intents import Intent
from cloudfs.model.entry import RemoteEntry, Version, join
from cloudfs.model.enums import Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node, Place
from cloudfs.tree import meeting, records
from cloudfs.tree.changes import EntryChanged
from cloudfs.tree.local_transactions import Also
from cloudfs.tree.local_tree import LocalTree
from cloudfs.tree.meeting import Conflict, Restoration
from cloudfs.tree.records import Answer
from cloudfs.tree.transactions import Defaults


def _nothing_more(connection: sqlite3.Connection) -> None:
    """Nothing else is written in the same commit."""


class AgreeingTree(LocalTree):
    """What `sync` and the uploads record."""

    # --- what was asked of the cloud ---

    async def begin_intent(self, intent: Intent) -> None:
        """Note, before asking, what the cloud is asked for. NotFound where the entry was removed."""
        await self._database.commit(partial(records.begin_intent, intent=intent))

    async def end_intent(self, inode: int) -> None:
        """What was asked for did not come to pass.

        An entry that was removed meanwhile, and was never in the cloud, goes then.
        """
        async with self._holding(inode):
            aftermath = await self._database.commit(
                partial(records.end_intent, inode=inode, sending=self._sends.concerned(but=inode))
            )
            self._forget([inode])
            await self._show_aftermath(aftermath)

    async def record_uploaded(
        self, inode: int, generation: int, version: Version, place: Place, also: Also
    ) -> Node | None:
        """The cloud took a file's content of that generation at that place; its version there.

        What was written since stays modified; what was renamed since is moved, what was removed a
        tombstone. also: for the same commit. Returns the entry, None where it is gone.
        """
        answer = Answer(place, version, generation)
        async with self._holding(inode):
            is_known, aftermath = await self._database.commit(
                partial(
                    records.uploaded,
                    inode=inode,
                    answer=answer,
                    also=also,
                    sending=self._sends.concerned(but=inode),
                )
            )
            self._forget([inode])
            await self._show_aftermath(aftermath)
            return self._if_kept(inode) if is_known else None

    async def record_made(self, inode: int, place: Place, version: Version | None = None) -> Node | None:
        """The cloud has a folder at that place now. Returns it, None where it is gone."""
        answer = Answer(place, Version(None, None, 0) if version is None else version)
        async with self._holding(inode):
            is_known, aftermath = await self._database.commit(
                partial(records.made, inode=inode, answer=answer, sending=self._sends.concerned(but=inode))
            )
            self._forget([inode])
            await self._show_aftermath(aftermath)
            return self._if_kept(inode) if is_known else None

    async def record_moved(self, inode: int, place: Place) -> Sequence[int]:
        """The cloud has an entry, with all below, at that place now; a tombstone of that place is gone.

        Tags are those of one URL: the entry and what is below lose theirs, in the cache's rows too, until a
        listing tells the new ones. Returns whose these are.
        """
        async with self._holding(inode):
            untagged, aftermath = await self._database.commit(
                partial(records.moved, inode=inode, place=place, sending=self._sends.concerned(but=inode))
            )
            self._forget([inode, *untagged])
            await self._show_aftermath(aftermath)
            return untagged

    async def record_deleted(self, inode: int) -> None:
        """The cloud has a tombstone no more. ValueError where it still has something below it."""
        async with self._holding(inode):
            aftermath = await self._database.commit(partial(records.deleted, inode=inode))
            await self._show_aftermath(aftermath)

    async def note_failure(self, inode: int, error: str, reason: str, next_try_ms: int | None) -> None:
        """One more try failed: the enum's name, a sentence, and when an automatic sync tries again."""
        async with self._holding(inode):
            await self._database.commit(
                partial(
                    records.note_failure, inode=inode, error=error, reason=reason, next_try_ms=next_try_ms
                )
            )
            self._forget([inode])

    async def clear_waits(self, scope: Scope | None = None) -> None:
        """Let all that waits for its next try, of one scope or of both, be tried at once."""
        waiting = [
            node.inode
            for each in (Scope if scope is None else [scope])
            for node in self.changes(each)
            if node.next_try_ms is not None
        ]
        if waiting:
            await self._database.commit(lambda connection: EntryChanges(connection).clear_waits(waiting))
            self._forget(waiting)

    # --- where both sides changed something ---

    async def detach(self, inode: int) -> None:
        """The cloud has an entry no more, but it lives on here, as if it had just been made.

        What was removed from it here goes. Nothing happens where it is not linked any more.
        """
        async with self._holding(inode):
            aftermath = await self._database.commit(
                partial(meeting.detach, inode=inode, sending=self._sends.concerned())
            )
            self._forget([inode])
            await self._show_aftermath(aftermath)

    async def bury(self, inode: int) -> None:
        """The cloud lost what was removed here too: its row goes, with those of what was removed below."""
        async with self._holding(inode):
            aftermath = await self._database.commit(
                partial(meeting.bury, inode=inode, sending=self._sends.concerned())
            )
            await self._show_aftermath(aftermath)

    async def adopt_version(
        self,
        inode: int,
        entry: RemoteEntry,
        generation: int,
        place: Place | None = None,
        also: Also = _nothing_more,
    ) -> Node | None:
        """The content of that generation here is what the cloud has as `entry`: there is nothing to send.

        place: where the cloud has it; by default where it was known to be, else where it lies here. What was
        written since stays modified. Returns the entry, None where it is not linked any more.
        """
        async with self._holding(inode):
            node = self._if_kept(inode)
            if node is None or node.parent is None:
                return None
            seen = place or node.cloud_place or Place(node.parent, node.name)
            answer = Answer(seen, entry.version, generation)
            is_known, aftermath = await self._database.commit(
                partial(meeting.adopt_version, inode=inode, answer=answer, file_id=entry.file_id, also=also)
            )
            self._forget([inode])
            await self._show_aftermath(aftermath)
            return self.node(inode) if is_known else None

    async def make_conflict(self, inode: int, name: bytes, entry: RemoteEntry | None) -> Node | None:
        """Call the local entry `name`, and show what the cloud has, if anything, under the name it had.

        The local one keeps its inode and who has it open. What the cloud has elsewhere stays what it is;
        else the cloud never had it, and what is the user's (owner, mode, pin, attributes, media id) is the
        cloud's entry's too. Returns the cloud's entry. AlreadyExists where `name` is taken.
        """
        async with self._holding(inode):
            node = self._if_kept(inode)
            if node is None or node.parent is None:
                return None
            conflict = Conflict(inode, name, entry, self._defaults_like(node, node.parent))
            before, inserted, aftermath = await self._database.commit(
                partial(meeting.make_conflict, conflict=conflict, sending=self._sends.concerned())
            )
            self._forget([inode, node.parent])
            await self._show_aftermath(aftermath)
            if before is not None:
                if inserted is not None:
                    self._index.enlist(node.parent, inserted.inode)
                self._topic.publish(EntryChanged(node.parent, node.name))
                self._topic.publish(EntryChanged(node.parent, name))
            return inserted

    async def restore(self, inode: int, entry: RemoteEntry | None) -> bool:
        """Let what was removed here show again, as a placeholder of what the cloud has in its place.

        entry: what that is; None: what it was known to be. False where it is no tombstone any more, its
        name is taken here, or its folder is not linked.
        """
        try:
            node = self.node(inode)
            if node.home is None:
                return False
            path = join(self.path(node.home.parent), node.home.name)
        except NotFound:
            return False
        folder = node.home.parent
        async with self._locks.hold(folder):
            with trio.CancelScope(shield=True):
                restored = await self._restore(node, folder, path, entry)
        return restored

    async def _restore(self, node: Node, folder: int, path: bytes, entry: RemoteEntry | None) -> bool:
        restoration = Restoration(
            node.inode,
            entry,
            self.is_held(node.inode),
            path,
            self._gallery,
            self._defaults_like(node, folder),
        )
        restored = await self._database.commit(
            partial(meeting.restore, restoration=restoration, sending=self._sends.concerned())
        )
        if restored.node is None:
            return False
        self._forget([node.inode, restored.node.inode, *restored.renumbered])
        self._index.drop_listing(node.inode)
        self._index.enlist(folder, restored.node.inode)
        self._topic.publish(EntryChanged(folder, restored.node.name))
        await self._show_aftermath(restored.aftermath)
        return True

    # --- inside ---

    def _if_kept(self, inode: int) -> Node | None:
        """The entry, unless it is gone."""
        try:
            return self.node(inode)
        except NotFound:
            return None

    def _defaults_like(self, node: Node, folder: int) -> Defaults:
        """What a new entry gets that stands for another one: its owner."""
        return Defaults(node.uid, node.gid, self.scope(folder) is Scope.GALLERY, self._now_ns())
