"""The durable local tree: what is known (`view`), and every change of it.

Each change is one commit, made under the lock of the folder whose children it touches, and shown after
it. Changes are shielded: a cancel comes before or after. A failed one has changed nothing, but that
`remove` may have unlinked what it could not delete (the next start does).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial

import trio

from cloudfs.database.bridge import Database
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.settings import Settings
from cloudfs.events import Topic
from cloudfs.model.entry import FolderListing, RemoteEntry, join
from cloudfs.model.enums import Kind, Listing, Scope
from cloudfs.model.errors import InvalidParameter, NotFound
from cloudfs.model.node import ROOT, Node
from cloudfs.tree import transactions
from cloudfs.tree.agreeing_tree import AgreeingTree
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.changing import InUse, Seen, in_steps
from cloudfs.tree.local_tree import nothing
from cloudfs.tree.observation import Observation
from cloudfs.tree.transactions import Defaults, Subtree, Target

__all__ = ["ROOT", "Tree"]

_ATTRIBUTE_LIMIT = 64 * 1024  # bytes, as XATTR_SIZE_MAX of Linux
_GALLERY_SETTING = "tree.gallery"


class Tree(AgreeingTree):
    """The tree of one mount.

    changes: gets what the kernel must be told. uid, gid: the mounting user, who owns what comes from the
    cloud. gallery: paths of the gallery folders; files there get media ids. capacity: nodes in memory.
    `in_use` of the methods says whether an inode has a handle, a mapping or a waiter; it must not block.
    """

    def __init__(
        self,
        database: Database,
        changes: Topic[TreeChange],
        *,
        uid: int,
        gid: int,
        gallery: Sequence[bytes],
        capacity: int = 50_000,
        now_ns: Callable[[], int] = time.time_ns,
        changed_here: Callable[[Scope], None] = nothing,
        content_free: Callable[[int], None] = nothing,
    ) -> None:
        super().__init__(
            database,
            changes,
            gallery=gallery,
            capacity=capacity,
            now_ns=now_ns,
            changed_here=changed_here,
            content_free=content_free,
        )
        self._settings = Settings(database)
        self._uid = uid
        self._gid = gid
        # By folder, as of its last listing: what the cloud has under the name of an entry (by inode) whose
        # removal is not decided yet. It is of the other kind, so it can only follow.
        self._successors: dict[int, dict[int, RemoteEntry]] = {}

    async def load(self) -> None:
        """Make the root, drop what an earlier run left unlinked, settle media ids for another gallery.

        Content that says to be newer than what the cloud has, of an entry that does not, was changed in the
        moment of a crash: its entry is modified from here on.
        """
        root = transactions.new_root(self._uid, self._gid, self._now_ns())
        await self._database.commit(partial(transactions.make_root, root=root))
        await self._database.commit(transactions.drop_unlinked)
        await self._database.commit(transactions.believe_contents)
        gallery = b"\0".join(sorted(self._gallery))
        if self._settings.get(_GALLERY_SETTING) != gallery:
            await self._database.commit(partial(transactions.settle_gallery, gallery=self._gallery))
            await self._settings.set(_GALLERY_SETTING, gallery)

    def _defaults(self, folder: int) -> Defaults:
        in_gallery = self.scope(folder) is Scope.GALLERY
        return Defaults(self._uid, self._gid, in_gallery, self._now_ns())

    # --- observations ---

    async def observe(self, folder: int, listing: FolderListing, in_use: InUse) -> Observation:
        """Take in a folder's listing that came whole, in one commit; the folder's listing is WHOLE then.

        New names are added and changed versions shown, those of files in use under new inodes. Nothing
        is removed: what vanished is returned. Raises NotFound, NotAFolder, LocalStorageFull, LocalIOError.
        """
        async with self._locks.hold(folder):
            with trio.CancelScope(shield=True):
                observation = await self._observe(folder, listing, in_use)
        return observation

    async def _observe(self, folder: int, listing: FolderListing, in_use: InUse) -> Observation:
        before = self.node(folder)
        defaults = self._defaults(folder)
        comparison = await self._database.commit(
            partial(transactions.compare_listing, folder=folder, listing=listing)
        )

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[list[Node], dict[int, int]]:
            return transactions.apply_listing(connection, folder, comparison, used, defaults)

        added, changed, replaced = await self._show_versions(
            folder, comparison.stale, in_use, apply, defaults.now_ns
        )
        await self._show_touched([(before, listing.folder), *comparison.touched])
        await self._show_added(folder, added, were_denied=before.listing is Listing.WHOLE)
        self._successors.pop(folder, None)
        if comparison.successors:
            self._successors[folder] = comparison.successors
        return Observation(added, changed, replaced, comparison.vanished, comparison.outdated)

    async def observe_one(self, inode: int, entry: RemoteEntry, in_use: InUse) -> Node:
        """Take in what the cloud says of one file; returns what its name shows now.

        NotFound where it is unlinked, or where the cloud has a folder in its place (which the next
        listing of its folder shows).
        """
        async with self._changing([inode]):
            return await self._observe_one(inode, entry, in_use)

    async def _observe_one(self, inode: int, entry: RemoteEntry, in_use: InUse) -> Node:
        node = self.node(inode)
        if node.is_folder or entry.kind is Kind.FOLDER:
            raise NotFound("the cloud has no such file in its place")
        stale, touched = _by_content(node, entry)
        now_ns = self._now_ns()

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[None, dict[int, int]]:
            transactions.write_touched(connection, touched, now_ns)
            return None, transactions.write_stale(connection, stale, used, now_ns)

        _, _, replaced = await self._show_versions(self._place(inode), stale, in_use, apply, now_ns)
        await self._show_touched(touched)
        return self.node(replaced.get(inode, inode))

    # --- removals ---

    async def remove(self, inodes: Sequence[int], in_use: InUse) -> list[int]:
        """Take entries with all below them out of the tree; what is gone already is passed over.

        Those in use become unlinked and live until `forget_unlinked`. What the cloud has under a name
        in the other kind follows. Returns the files that are gone for good, whose content can go.
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
                    gone += await self._remove_from(folder, children, in_use)
        return gone

    async def _remove_from(self, folder: int, inodes: Sequence[int], in_use: InUse) -> list[int]:
        try:
            defaults = self._defaults(folder)
        except NotFound:
            return []  # it went itself, with all below it
        noted = self._successors.get(folder, {})
        successors = {inode: (noted[inode], defaults) for inode in inodes if inode in noted}
        subtrees, followers = await self._database.commit(
            partial(transactions.unlink, folder=folder, inodes=inodes, successors=successors)
        )
        await self._show_unlinked(folder, [subtree.top for subtree in subtrees])
        for subtree in subtrees:
            noted.pop(subtree.top.inode, None)
        await self._show_added(folder, followers, were_denied=True)
        return await self._delete(subtrees, in_use)

    async def forget_unlinked(self, inode: int) -> None:
        """The last user of an inode is gone: if nothing else needs it, its row goes.

        Nothing happens to what is linked, to a tombstone, and to what is being sent.
        """
        try:
            node = self.node(inode)
        except NotFound:
            return
        if node.parent is None and node.home is None and inode != ROOT and not self.is_sending(inode):
            with trio.CancelScope(shield=True):
                await self._delete([Subtree(node, [(inode, node.kind)])], lambda _: False)

    # --- moves ---

    async def move(self, inode: int, parent: int, name: bytes) -> None:
        """Give an entry another place, whose name must be free.

        NotFound, NotAFolder, AlreadyExists, InvalidParameter (a folder into itself).
        """
        async with self._changing([inode], parent):
            moved = self.node(inode)
            target = self._target(parent, name)
            renumbered = await self._database.commit(partial(transactions.move, moved=inode, target=target))
            self._forget(renumbered)
            self._show_move(moved, inode, parent, name)
            self._forget_successor(moved)

    async def adopt_move(self, old: int, new: int, in_use: InUse) -> int | None:
        """Let an entry that vanished live on in the place of one that was added: the cloud moved it.

        The old inode takes the new one's place, version and file id, and the new one goes with all below
        it. A folder keeps its children as last seen and loses its tag, so that it is listed again. A file
        in use whose version differs is replaced in its new place, as by `observe`.

        Returns the inode in the place. None where that can't be, as the new one (or something below) is
        in use, or the kinds differ: then a file in the place has taken over what is the user's of the
        old one. NotFound where one of the two is gone or unlinked.
        """
        async with self._changing([old, new]):
            return await self._adopt_move(self.node(old), self.node(new), in_use)

    async def _adopt_move(self, kept: Node, place: Node, in_use: InUse) -> int | None:
        members = await self._database.commit(
            lambda connection: EntryChanges(connection).subtree(place.inode)
        )
        below = [inode for inode, _ in members]
        if kept.kind is not place.kind or kept.inode in below or any(map(in_use, below)):
            await self._inherit(kept, place)
            return None
        try:
            for inode in below:
                self._doom(inode)
            return await self._take_place(kept, place, below, in_use)
        finally:
            self._going.difference_update(below)

    async def _take_place(self, kept: Node, place: Node, below: Sequence[int], in_use: InUse) -> int:
        folder = place.parent
        assert folder is not None and place.version is not None  # noqa: PT018
        entry = RemoteEntry(place.name, place.kind, place.version, place.file_id)
        stale, touched = _by_content(kept, entry)
        target = self._target(folder, place.name)

        def apply(connection: sqlite3.Connection, used: frozenset[int]) -> tuple[list[int], dict[int, int]]:
            transactions.write_touched(connection, touched, target.now_ns)
            files = transactions.take_place(connection, kept.inode, entry, below, target)
            return files, transactions.write_stale(connection, stale, used, target.now_ns)

        renumbered, _, replaced = await self._show_versions(folder, stale, in_use, apply, target.now_ns)
        shown = replaced.get(kept.inode, kept.inode)
        self._forget(renumbered)
        self._index.delist(folder, place.inode)
        self._show_move(kept, shown, folder, place.name)
        self._forget_successor(kept)
        return shown

    def _target(self, folder: int, name: bytes) -> Target:
        return Target(folder, name, join(self.path(folder), name), self._gallery, self._now_ns())

    def _forget_successor(self, moved: Node) -> None:
        """An entry left its name free: what the cloud has there comes with the folder's next listing."""
        if moved.parent is not None:
            self._successors.get(moved.parent, {}).pop(moved.inode, None)

    async def _inherit(self, old: Node, new: Node) -> None:
        if old.kind is new.kind is Kind.FILE:
            await self._database.commit(partial(transactions.inherit, old=old.inode, new=new.inode))
            self._forget([old.inode, new.inode])

    # --- what is the user's ---

    async def set_pin(self, inode: int, pinned: bool) -> None:
        """Set the entry's own pin. NotFound."""
        self.node(inode)
        await self._database.commit(lambda connection: EntryChanges(connection).set_pin(inode, pinned))
        self._forget([inode])

    async def wanted_files(self, scope: Scope) -> list[int]:
        """Files that a sync hydrates: not whole here, and pinned or failed for want of space; no order."""
        found = await self._database.commit(lambda connection: EntryChanges(connection).wanted_files())
        scopes = {parent: self.scope(parent) for parent in {parent for _, parent in found}}
        return [inode for inode, parent in found if scopes[parent] is scope]

    async def set_error(self, inode: int, error: str | None, reason: str | None) -> None:
        """Record the last failure (an enum name) with its reason, or None: a try succeeded. NotFound."""
        if self.node(inode).error is error is None:
            return
        await self._database.commit(
            lambda connection: EntryChanges(connection).set_error(inode, error, reason)
        )
        self._forget([inode])

    async def set_attribute(self, inode: int, name: bytes, value: bytes) -> None:
        """Store one of the user's own attributes over an older value.

        NotFound; InvalidParameter above 64 KiB.
        """
        if len(value) > _ATTRIBUTE_LIMIT:
            raise InvalidParameter("an attribute holds 64 KiB at most")
        self.node(inode)
        await self._attributes.set(inode, name, value)
        self._attribute_names.pop(inode, None)

    async def remove_attribute(self, inode: int, name: bytes) -> bool:
        """Whether there was one to remove. NotFound."""
        self.node(inode)
        removed = await self._attributes.remove(inode, name)
        self._attribute_names.pop(inode, None)
        return removed


def _by_content(node: Node, entry: RemoteEntry) -> tuple[list[Seen], list[Seen]]:
    """Whether the cloud's entry is of other content: ([it], []), or ([], [it]) where it is of the same."""
    same = node.is_folder or (node.version is not None and node.version.is_same_as(entry.version))
    return ([], [(node, entry)]) if same else ([(node, entry)], [])
