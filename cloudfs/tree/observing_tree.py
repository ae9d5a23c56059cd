"""The tree as it hears of the cloud: listings taken in, names that are gone, moves made there.

What was changed here is never changed by that: it is told as contested, or as vanished, and the sync decides.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, join
from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node, Place
from cloudfs.tree import removals, transactions
from cloudfs.tree.agreeing_tree import AgreeingTree
from cloudfs.tree.changes import EntryChanged, TreeChange
from cloudfs.tree.changing import InUse, Seen, Users, in_steps, nobody
from cloudfs.tree.observation import Comparison, Observation, is_same
from cloudfs.tree.removals import Doomed
from cloudfs.tree.transactions import Defaults, Target


class ObservingTree(AgreeingTree):
    """What `Listings` tells.

    in_use, is_written: whether an inode has a handle, a mapping or a waiter, and whether it is open for
    writing; neither may block.
    """

    def __init__(
        self,
        database: Database,
        topic: Topic[TreeChange],
        *,
        uid: int,
        gid: int,
        gallery: Sequence[bytes],
        capacity: int,
        now_ns: Callable[[], int],
        changed_here: Callable[[Scope], None],
        content_free: Callable[[int], None],
    ) -> None:
        super().__init__(
            database,
            topic,
            gallery=gallery,
            capacity=capacity,
            now_ns=now_ns,
            changed_here=changed_here,
            content_free=content_free,
        )
        self._uid = uid
        self._gid = gid
        # By folder, as of its last listing: what the cloud has under the name of an entry (by inode) whose
        # removal is not decided yet. It is of the other kind, so it can only follow.
        self._successors: dict[int, dict[int, RemoteEntry]] = {}

    def _defaults(self, folder: int) -> Defaults:
        in_gallery = self.scope(folder) is Scope.GALLERY
        return Defaults(self._uid, self._gid, in_gallery, self._now_ns())

    # --- observations ---

    async def observe(
        self,
        folder: int,
        listing: FolderListing,
        in_use: InUse,
        is_written: InUse = nobody,
        *,
        stamp: int | None = None,
    ) -> Observation:
        """Take in a folder's listing that came whole, in one commit; the folder's listing is WHOLE then.

        New names are added and changed versions shown, wherever the entry lies here, those of files in use
        under new inodes. Nothing is removed: what vanished is returned, and so is what is contested. A
        folder made on both sides is one from now on. What was being sent since `stamp` (taken before the
        cloud was asked; None: just now), and what is open for writing, is passed over.

        Raises NotFound, NotAFolder, TryAgain (the stamp is too old), LocalStorageFull, LocalIOError.
        """
        asked_at = self.stamp() if stamp is None else stamp
        async with self._observing(folder):
            return await self._observe(folder, listing, Users(in_use, is_written), asked_at)

    @asynccontextmanager
    async def _observing(self, folder: int) -> AsyncIterator[None]:
        """Hold the locks of a folder, and of those that entries moved to out of it; shielded."""
        while True:
            others = self._moved_from(folder)
            async with self._locks.hold(folder, *others):
                if others == self._moved_from(folder):
                    with trio.CancelScope(shield=True):
                        yield
                    return

    def _moved_from(self, folder: int) -> set[int]:
        return {node.parent for node in self._entries.homes_in(folder) if node.parent is not None}

    async def _observe(self, folder: int, listing: FolderListing, users: Users, stamp: int) -> Observation:
        before = self.node(folder)
        defaults = self._defaults(folder)
        passed = self._sends.passed_over(folder, stamp)
        comparison: Comparison = await self._database.commit(
            partial(transactions.compare_listing, folder=folder, listing=listing, passed=passed)
        )
        comparison.pass_over(users.is_written)

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[list[Node], dict[int, int]]:
            return transactions.apply_listing(connection, folder, comparison, used, defaults)

        added, changed, replaced = await self._show_versions(comparison.stale, users, apply, defaults.now_ns)
        await self._show_touched([(before, listing.folder), *comparison.touched])
        await self._show_added(folder, added, were_denied=before.listing is Listing.WHOLE)
        met = [node.inode for node, _ in comparison.met]
        self._forget(met)
        self._successors.pop(folder, None)
        if comparison.successors:
            self._successors[folder] = comparison.successors
        return Observation(
            added,
            changed,
            replaced,
            comparison.vanished,
            comparison.outdated,
            comparison.contested,
            met,
            # What came to be open for writing meanwhile kept its version.
            is_complete=comparison.is_complete and len(changed) + len(replaced) == len(comparison.stale),
        )

    async def observe_one(
        self,
        inode: int,
        entry: RemoteEntry,
        in_use: InUse,
        is_written: InUse = nobody,
        *,
        stamp: int | None = None,
    ) -> Node:
        """Take in what the cloud says of one file; returns what its name shows now.

        What is modified here, open for writing, or was being sent since `stamp`, stays as it is. NotFound
        where it is unlinked, or where the cloud has a folder in its place (which the next listing of its
        folder shows).
        """
        asked_at = self.stamp() if stamp is None else stamp
        async with self._changing([inode]):
            node = self.node(inode)
            if node.is_folder or entry.kind is Kind.FOLDER:
                raise NotFound("the cloud has no such file in its place")
            passed = self._sends.passed_over(self._place(inode), asked_at)
            is_kept = is_written(inode) or inode in passed.inodes or node.is_unsent
            if is_kept or (node.is_modified and not is_same(node, entry)):
                return node
            return await self._observe_one(node, entry, Users(in_use, is_written))

    async def _observe_one(self, node: Node, entry: RemoteEntry, users: Users) -> Node:
        stale, touched = _by_content(node, entry)
        now_ns = self._now_ns()

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[None, dict[int, int]]:
            transactions.write_touched(connection, touched, now_ns)
            return None, transactions.write_stale(connection, stale, used, now_ns)

        _, _, replaced = await self._show_versions(stale, users, apply, now_ns)
        await self._show_touched(touched)
        return self.node(replaced.get(node.inode, node.inode))

    # --- removals ---

    async def remove(self, inodes: Sequence[int], in_use: InUse, is_written: InUse = nobody) -> list[int]:
        """Take entries that the cloud lost, with all it had below them, out of the tree.

        What was changed here below them stays, with the folders down to it, as if it had just been made;
        a name with a file below that is open for writing is left to the next round. Files in use become
        unlinked and live until `forget_unlinked`. What the cloud has under a name in the other kind
        follows. What is gone already, or was never in the cloud, is passed over.
        """
        by_folder: dict[int, list[int]] = {}
        async for inode in in_steps(inodes):
            try:
                by_folder.setdefault(self._place(inode), []).append(inode)
            except NotFound:
                continue
        gone: list[int] = []
        for folder, children in by_folder.items():
            async with self._locks.hold(folder):
                with trio.CancelScope(shield=True):
                    gone += await self._remove_from(folder, children, Users(in_use, is_written))
        return gone

    async def _remove_from(self, folder: int, inodes: Sequence[int], users: Users) -> list[int]:
        try:
            defaults = self._defaults(folder)
        except NotFound:
            return []  # it went itself, with all below it
        noted = self._successors.get(folder, {})
        successors = {inode: (noted[inode], defaults) for inode in inodes if inode in noted}
        found = await self._database.commit(partial(removals.find_doomed, folder=folder, inodes=inodes))
        tops = [doomed async for doomed in in_steps(found) if not _is_written_below(doomed, users)]
        asked: set[int] = set()
        try:
            used = await self._doom_all(tops, users, asked)
            work = partial(
                removals.remove,
                folder=folder,
                inodes=[doomed.top.inode for doomed in tops],
                successors=successors,
                users=(asked, used),
            )
            removed = await self._database.commit(work)
        finally:
            self._going.difference_update(asked)
        self._forget([*used, *removed.changed])
        await self._show_unlinked(removed.cut)
        for doomed in tops:
            noted.pop(doomed.top.inode, None)
        await self._show_added(folder, removed.followers, were_denied=True)
        files = [inode for inode, kind in removed.deleted if kind is Kind.FILE]
        return files + await self._let_go(removed.loose)

    async def _doom_all(self, tops: Sequence[Doomed], users: Users, asked: set[int]) -> set[int]:
        """Keep anybody from coming to use what is about to go; returns what is in use already."""
        used: set[int] = set()
        async for inode, _ in in_steps([member for doomed in tops for member in doomed.going]):
            asked.add(inode)
            if users.in_use(inode):
                used.add(inode)
            else:
                self._doom(inode)
        return used

    # --- moves ---

    async def adopt_move(self, old: int, new: int, in_use: InUse) -> int | None:
        """Let an entry that vanished live on in the place of one that was added: the cloud moved it.

        The old inode takes the new one's place, version and file id, and the new one goes with all below
        it. A folder keeps its children as last seen and loses its tag, so that it is listed again. A file
        in use whose version differs is replaced in its new place, as by `observe`. What is modified here
        keeps its content, and what was moved here stays where it is: only its place in the cloud is new.

        Returns the inode in the place. None where that can't be, as the new one (or something below) is
        in use or changed here, or the kinds differ: then a file in the place has taken over what is the
        user's of the old one. NotFound where one of the two is gone or unlinked.
        """
        async with self._changing([old, new]):
            return await self._adopt_move(self.node(old), self.node(new), in_use)

    async def _adopt_move(self, kept: Node, place: Node, in_use: InUse) -> int | None:
        below = await self._database.commit(partial(removals.untouched_below, inode=place.inode))
        is_free = below and not place.is_changed and kept.inode not in below and not any(map(in_use, below))
        if kept.kind is not place.kind or not is_free:
            await self._inherit(kept, place)
            return None
        try:
            for inode in below:
                self._doom(inode)
            if kept.is_changed:
                return await self._take_home(kept, place, below)
            return await self._take_place(kept, place, below, in_use)
        finally:
            self._going.difference_update(below)

    async def _take_place(self, kept: Node, place: Node, below: Sequence[int], in_use: InUse) -> int:
        folder, entry = _as_entry(place)
        stale, touched = _by_content(kept, entry)
        target = self._target(folder, place.name)

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[list[int], dict[int, int]]:
            transactions.write_touched(connection, touched, target.now_ns)
            files = transactions.take_place(connection, kept.inode, entry, below, target)
            return files, transactions.write_stale(connection, stale, used, target.now_ns)

        renumbered, _, replaced = await self._show_versions(
            stale, Users(in_use, nobody), apply, target.now_ns, Place(folder, place.name)
        )
        shown = replaced.get(kept.inode, kept.inode)
        self._forget(renumbered)
        self._index.delist(folder, place.inode)
        self._show_move(kept, shown, folder, place.name)
        self._forget_successor(kept)
        return shown

    async def _take_home(self, kept: Node, place: Node, below: Sequence[int]) -> int:
        folder, entry = _as_entry(place)
        target = self._target(folder, place.name)
        renumbered = await self._database.commit(
            partial(transactions.take_home, old=kept.inode, new=entry, below_new=below, target=target)
        )
        self._forget([kept.inode, *renumbered])
        self._index.delist(folder, place.inode)
        if kept.is_moved:
            self._topic.publish(EntryChanged(folder, place.name, place.inode))
        else:
            self._show_move(kept, kept.inode, folder, place.name)
            self._forget_successor(kept)
        return kept.inode

    def _target(self, folder: int, name: bytes) -> Target:
        return Target(folder, name, join(self.path(folder), name), self._gallery, self._now_ns())

    def _forget_successor(self, moved: Node) -> None:
        """An entry left its name free: what the cloud has there comes with the folder's next listing."""
        if moved.parent is not None:
            self._successors.get(moved.parent, {}).pop(moved.inode, None)

    async def _inherit(self, old: Node, new: Node) -> None:
        if old.kind is new.kind is Kind.FILE and not old.is_changed:
            await self._database.commit(partial(transactions.inherit, old=old.inode, new=new.inode))
            self._forget([old.inode, new.inode])


def _is_written_below(doomed: Doomed, users: Users) -> bool:
    return any(users.is_written(inode) for inode, kind in doomed.going if kind is Kind.FILE)


def _as_entry(place: Node) -> tuple[int, RemoteEntry]:
    """The folder that an entry lies in, and the entry as the cloud has it."""
    assert place.parent is not None and place.version is not None  # noqa: PT018
    return place.parent, RemoteEntry(place.name, place.kind, place.version, place.file_id)


def _by_content(node: Node, entry: RemoteEntry) -> tuple[list[Seen], list[Seen]]:
    """Whether the cloud's entry is of other content: ([it], []), or ([], [it]) where it is of the same."""
    return ([], [(node, entry)]) if is_same(node, entry) else ([(node, entry)], [])
