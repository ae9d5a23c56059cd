"""The durable local tree: what is known (`view`), and every change of it.

Each change is one commit, made under the lock of the folder whose children it touches, and shown after
it. Changes are shielded: a cancel comes before or after. A failed one has changed nothing, but that
`remove` may have unlinked what it could not delete (the next start does).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

import trio

from cloudfs.database.bridge import Database
from cloudfs.database.entry_changes import EntryChanges
from cloudfs.database.settings import Settings
from cloudfs.events import Topic
from cloudfs.model.enums import Scope
from cloudfs.model.errors import InvalidParameter
from cloudfs.model.node import ROOT, Node
from cloudfs.tree import transactions
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.local_tree import nothing
from cloudfs.tree.observing_tree import ObservingTree

__all__ = ["ROOT", "Tree"]

_ATTRIBUTE_LIMIT = 64 * 1024  # bytes, as XATTR_SIZE_MAX of Linux
_GALLERY_SETTING = "tree.gallery"


class Tree(ObservingTree):
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
            uid=uid,
            gid=gid,
            gallery=gallery,
            capacity=capacity,
            now_ns=now_ns,
            changed_here=changed_here,
            content_free=content_free,
        )
        self._settings = Settings(database)

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

    async def forget_unlinked(self, *inodes: int) -> None:
        """The last users of these inodes are gone: rows that nothing else needs go, in one commit.

        Nothing happens to what is linked, to a tombstone, and to what is being sent.
        """
        nodes = [node for inode in inodes if (node := self._node_of_row(inode)) is not None]
        gone = [(node.inode, node.kind) for node in nodes if self._is_needless(node)]
        if gone:
            with trio.CancelScope(shield=True):
                await self._delete(gone)

    def _is_needless(self, node: Node) -> bool:
        is_unlinked = node.parent is None and node.home is None and node.inode != ROOT
        return is_unlinked and not self.is_sending(node.inode)

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
