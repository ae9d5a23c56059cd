"""The tree as programs change it: each call one commit, made under the locks of the folders concerned.

A call that returned survives the end of the process; one that failed has changed nothing. The kernel made
the change itself and is told nothing. What a change leaves to nobody goes at once, row and content.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio

from cloudfs.database.bridge import Database
from cloudfs.events import Topic
from cloudfs.model.entry import join, name_fault
from cloudfs.model.enums import Kind, Scope
from cloudfs.model.errors import Busy, InvalidParameter, NotAFolder, NotFound
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree import local_transactions
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.changing import ChangingView
from cloudfs.tree.gallery import galleries_from
from cloudfs.tree.local_transactions import Also, Attributes, Draft, Moved, Route, Written
from cloudfs.tree.succession import Aftermath

__all__ = ["Also", "LocalTree", "nothing"]


def nothing(_: object) -> None:
    """Nobody asked to be told."""


class LocalTree(ChangingView):
    """What FUSE changes.

    changed_here: told the scope after each change that the cloud lacks. content_free: told of an inode
    whose row is gone, so that its content can go. Neither may block, nor call the tree.
    """

    def __init__(
        self,
        database: Database,
        topic: Topic[TreeChange],
        *,
        gallery: Sequence[bytes],
        capacity: int,
        now_ns: Callable[[], int] = time.time_ns,
        changed_here: Callable[[Scope], None] = nothing,
        content_free: Callable[[int], None] = nothing,
    ) -> None:
        super().__init__(database, topic, gallery=gallery, capacity=capacity)
        self._now_ns = now_ns
        self._changed_here = changed_here
        self._content_free = content_free

    # --- new names ---

    async def create(self, parent: int, name: bytes, mode: int, uid: int, gid: int) -> Node:
        """Make an empty file, which the cloud lacks; a gallery file gets its media id.

        mode: permission bits. AlreadyExists, NotFound (the folder is gone), NotAFolder, InvalidParameter
        (no name a file can have).
        """
        return await self._create(Kind.FILE, Place(parent, name), mode, uid, gid)

    async def make_folder(self, parent: int, name: bytes, mode: int, uid: int, gid: int) -> Node:
        """Make a folder, which the cloud lacks: all that is in it is known. Raises as `create`."""
        return await self._create(Kind.FOLDER, Place(parent, name), mode, uid, gid)

    async def _create(self, kind: Kind, place: Place, mode: int, uid: int, gid: int) -> Node:
        self._check_name(place.name)
        async with self._holding_folders(place.parent) as (folder,):
            in_gallery = self.scope(place.parent) is Scope.GALLERY
            draft = Draft(kind, mode, uid, gid, in_gallery, self._now_ns())
            node, aftermath = await self._database.commit(
                partial(local_transactions.create, place=place, draft=draft, sending=self._sends.concerned())
            )
            self._index.put(node)
            self._index.enlist(place.parent, node.inode)
            if kind is Kind.FOLDER and node.version is None:
                self._index.put_listing(node.inode, ())
            self._show_times(folder, draft.now_ns)
            await self._show_aftermath(aftermath)
        self._tell(node)
        return node

    # --- names that go ---

    async def unlink(self, parent: int, name: bytes) -> Node:
        """Take a file out of its folder; returns it as it was. Who has it open keeps it.

        NotFound, IsAFolder.
        """
        return await self._take_away(Kind.FILE, Place(parent, name))

    async def remove_folder(self, parent: int, name: bytes) -> Node:
        """Take a folder out that is known to be empty; returns it as it was.

        NotFound, NotAFolder, NotEmpty (one never listed whole too), Busy (a gallery folder).
        """
        return await self._take_away(Kind.FOLDER, Place(parent, name))

    async def _take_away(self, kind: Kind, place: Place) -> Node:
        async with self._holding_folders(place.parent) as (folder,):
            if kind is Kind.FOLDER and self._path_of(place) in self._gallery:
                raise Busy("it is a gallery folder")
            now_ns = self._now_ns()
            sending = self._sends.concerned()
            node, aftermath = await self._database.commit(
                lambda connection: local_transactions.remove(connection, place, kind, now_ns, sending)
            )
            self._show_gone(node)
            self._show_times(folder, now_ns)
            await self._show_aftermath(aftermath)
        self._tell_removed(node)
        return node

    # --- names that change ---

    async def rename(
        self, parent: int, name: bytes, new_parent: int, new_name: bytes, *, no_replace: bool = False
    ) -> Node | None:
        """Give an entry another place (rename(2)); returns what was replaced there, as it was, if anything.

        An entry keeps its inode, a folder all that is below it; what is replaced goes as by `unlink` or
        `remove_folder`, in the same commit. NotFound, AlreadyExists (no_replace), IsAFolder, NotAFolder,
        NotEmpty, InvalidParameter (into itself), Busy (a gallery folder, or one above it).
        """
        self._check_name(new_name)
        async with self._holding_folders(parent, new_parent) as folders:
            route = self._route(Place(parent, name), Place(new_parent, new_name))
            sending = self._sends.concerned()
            moved = await self._database.commit(
                partial(local_transactions.rename, route=route, sending=sending, no_replace=no_replace)
            )
            await self._show_moved(moved, folders)
        self._tell_moved(moved)
        return moved.replaced

    async def exchange(self, parent: int, name: bytes, new_parent: int, new_name: bytes) -> None:
        """Let two entries change places (renameat2(2), RENAME_EXCHANGE).

        NotFound, InvalidParameter (one lies within the other), Busy (a gallery folder, or one above it).
        """
        async with self._holding_folders(parent, new_parent) as folders:
            route = self._route(Place(parent, name), Place(new_parent, new_name))
            sending = self._sends.concerned()
            moved = await self._database.commit(
                partial(local_transactions.exchange, route=route, sending=sending)
            )
            await self._show_moved(moved, folders)
        self._tell_moved(moved)

    def _route(self, source: Place, target: Place) -> Route:
        source_path, target_path = self._path_of(source), self._path_of(target)
        for place, path in ((source, source_path), (target, target_path)):
            if galleries_from(path, self._gallery):
                node = self.child(*place)
                if node is not None and node.is_folder:
                    raise Busy("a gallery folder lies there")
        return Route(source, target, source_path, target_path, self._gallery, self._now_ns())

    # --- what a file is like ---

    async def set_attributes(
        self,
        inode: int,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        mtime_ns: int | None = None,
        now_ns: int | None = None,
    ) -> Node:
        """Set what is given, and the ctime, to `now_ns` or this moment; returns the entry as it is then.

        It is no change that the cloud hears of. Works for what is unlinked too. NotFound.
        """
        attributes = Attributes(mode, uid, gid, mtime_ns, self._now_ns() if now_ns is None else now_ns)
        async with self._holding(inode):
            before = self.node(inode)
            await self._database.commit(
                partial(local_transactions.set_attributes, inode=inode, attributes=attributes)
            )
            self._show_same(
                before,
                replace(
                    before,
                    mode=before.mode if mode is None else mode,
                    uid=before.uid if uid is None else uid,
                    gid=before.gid if gid is None else gid,
                    mtime_ns=before.mtime_ns if mtime_ns is None else mtime_ns,
                    ctime_ns=attributes.now_ns,
                ),
            )
            return self.node(inode)

    async def mark_modified(self, inode: int, also: Also, *, durable: bool = False) -> None:
        """The content is about to change, after which nothing that was or is being sent is the newest.

        also: what the same commit writes of the content. durable: it survives power loss. Works for what is
        unlinked too. NotFound.
        """
        async with self._holding(inode):
            before = self.node(inode)
            work = partial(local_transactions.mark_modified, inode=inode, also=also)
            await self._database.commit(work, durable=durable)
            self._show_same(before, replace(before, generation=before.generation + 1))
        self._tell(before)

    async def record_content(
        self, inode: int, size: int, mtime_ns: int, also: Also, *, durable: bool = False
    ) -> None:
        """The content was changed to `size` bytes at `mtime_ns`; the ctime moves.

        also: what the same commit writes of the content. durable: it survives power loss. Works for what is
        unlinked too. NotFound.
        """
        written = Written(size, mtime_ns, self._now_ns())
        async with self._holding(inode):
            before = self.node(inode)
            work = partial(local_transactions.record_content, inode=inode, written=written, also=also)
            await self._database.commit(work, durable=durable)
            self._show_same(before, replace(before, size=size, mtime_ns=mtime_ns, ctime_ns=written.now_ns))
        self._tell(before)

    async def sync(self) -> None:
        """Return once all that was committed by now survives power loss (fsync of a folder)."""
        if not self._database.is_durable:
            await self._database.commit(local_transactions.write_nothing_new, durable=True)

    # --- locks ---

    @asynccontextmanager
    async def _holding_folders(self, *inodes: int) -> AsyncIterator[list[Node]]:
        """Hold the locks of folders, with the nodes; shielded from cancellation. NotFound, NotAFolder."""
        async with self._locks.hold(*inodes):
            folders = [self.node(inode) for inode in dict.fromkeys(inodes)]
            if not all(folder.is_folder for folder in folders):
                raise NotAFolder("it is no folder")
            with trio.CancelScope(shield=True):
                yield folders

    @asynccontextmanager
    async def _holding(self, inode: int) -> AsyncIterator[None]:
        """Hold the lock of the folder that an entry lies in, if in any; shielded from cancellation."""
        while True:
            folder = self._folder_of(inode)
            async with self._locks.hold(*(() if folder is None else (folder,))):
                if self._folder_of(inode) == folder:
                    with trio.CancelScope(shield=True):
                        yield
                    return

    def _folder_of(self, inode: int) -> int | None:
        """None: it is gone, or unlinked."""
        try:
            return self.node(inode).parent
        except NotFound:
            return None

    # --- showing ---

    def _show_same(self, before: Node, after: Node) -> None:
        """An entry changed where it is. Without a read, unless something else was shown of it meanwhile."""
        if self._index.node(before.inode) is before:
            self._index.put(after)
        else:
            self._forget([before.inode])

    def _show_times(self, folder: Node, now_ns: int) -> None:
        self._show_same(folder, replace(folder, mtime_ns=now_ns, ctime_ns=now_ns))

    def _show_gone(self, node: Node) -> None:
        self._forget([node.inode])
        if node.parent is not None:
            self._index.delist(node.parent, node.inode)

    async def _show_moved(self, moved: Moved, folders: Iterable[Node]) -> None:
        if moved.replaced is not None:
            self._show_gone(moved.replaced)
        for node in moved.nodes:
            self._show_gone(node)
        for node in moved.nodes:
            now = self.node(node.inode)
            assert now.parent is not None
            self._index.enlist(now.parent, now.inode)
        self._forget(moved.renumbered)
        self._forget(folder.inode for folder in folders)
        await self._show_aftermath(moved.aftermath)

    async def _show_aftermath(self, aftermath: Aftermath) -> None:
        self._forget(aftermath.changed)
        for inode in await self._let_go(aftermath.loose):
            self._content_free(inode)

    async def _let_go(self, loose: Sequence[int]) -> list[int]:
        """Delete the rows of what was left to its users, where it has none; the kernel's forget does else.

        What is being sent is spared: its place in the cloud is known only when the answer came. Returns the
        files that are gone for good.
        """
        self._forget(loose)
        nodes = [self._node_of_row(inode) for inode in loose if not self.is_held(inode)]
        gone = [(node.inode, node.kind) for node in nodes if node and not self.is_sending(node.inode)]
        return await self._delete(gone) if gone else []

    def _node_of_row(self, inode: int) -> Node | None:
        """None where the row is gone, or about to: the kernel's forget came just after the commit."""
        try:
            return self.node(inode)
        except NotFound:
            return None

    # --- telling ---

    def _tell(self, node: Node) -> None:
        """An entry has a change that the cloud lacks."""
        try:
            self._changed_here(self.change_scope(node))
        except NotFound:
            return  # unlinked, or its folder is about to go: nothing to send

    def _tell_removed(self, node: Node) -> None:
        if node.cloud_place is not None:
            self._tell(node)

    def _tell_moved(self, moved: Moved) -> None:
        for node in moved.nodes:
            self._tell(node)

    # --- checks ---

    def _path_of(self, place: Place) -> bytes:
        return join(self.path(place.parent) if place.parent != ROOT else b"", place.name)

    def _check_name(self, name: bytes) -> None:
        if fault := name_fault(name):
            raise InvalidParameter(f"the name can't be: {fault}")
