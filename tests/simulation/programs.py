"""The local user's programs: they do what FUSE would do for them, and remember what they saw and wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import CloudfsError, IsAFolder
from cloudfs.model.node import ROOT, Node
from tests.simulation.device import NAMES
from tests.simulation.ledger import Ledger
from tests.simulation.machine import CTX, Machine
from tests.simulation.weather import StormyCloud


class Programs:
    """Acts by numbers, as `Device` does. An act that fails as a system call may is no act.

    Invariant: `_bytes` has, by inode, the bytes of each file that was changed here, as a reader would see
    them; it counts only while the tree or the store says that they are newer than the cloud's.
    """

    def __init__(self, machine: Machine, cloud: StormyCloud, ledger: Ledger) -> None:
        self.machine = machine
        self._cloud = cloud
        self._ledger = ledger
        self._bytes: dict[int, bytes] = {}
        self._told: dict[int, bytes] = {}  # by inode: what was last said to be safe
        self._open: list[int] = []  # numbers of handles that write, the oldest first

    async def act(self, verb: str, one: int, other: int) -> None:
        with suppress(CloudfsError):
            await getattr(self, "_" + verb)(one, other)

    async def close_all(self) -> None:
        while self._open:
            await self._close(0, 0)

    def after_crash(self, machine: Machine) -> None:
        """The machine came up again; what was open is gone, and what was flushed is not."""
        self.machine = machine
        self._open.clear()

    # --- what there is ---

    def paths(self) -> dict[RemotePath, Node]:
        """All that the tree shows by now."""
        return {self.machine.tree.path(node.inode): node for node in self._walk(ROOT)}

    def torn(self) -> dict[RemotePath, bytes]:
        """Files that were changed here before all of them was, and whose rest was lost with their base: they
        are kept, told of, and never sent."""
        held = self.machine.store.held_bytes
        return {
            path: self.shown(node)
            for path, node in self.paths().items()
            if node.is_modified and held(node.inode) < node.size and (node.is_unsent or node.error_reason)
        }

    def shown(self, node: Node) -> bytes:
        """The bytes of a file as a reader would see them."""
        if node.is_modified or self.machine.store.is_dirty(node.inode):
            return self._bytes[node.inode]
        assert node.version is not None
        return self._cloud.bytes_of(node.version)

    def _walk(self, folder: int) -> Iterator[Node]:
        for node in self.machine.tree.children(folder, 0, 1000):
            yield node
            if node.is_folder:
                yield from self._walk(node.inode)

    # --- files ---

    async def _write(self, one: int, other: int) -> None:
        """open(O_CREAT | O_TRUNC), write, close."""
        parent, name = await self._place(one, other)
        number = await self._open_new(parent, name)
        await self._append(number)
        await self._flush_and_release(number)

    async def _touch(self, one: int, other: int) -> None:
        """A new, empty file."""
        parent, name = await self._place(one, other)
        await self._flush_and_release(await self._open_new(parent, name))

    async def _edit(self, one: int, other: int) -> None:
        """Append to a file, or write into the midst of it."""
        number = await self._open_old(one)
        if other % 2:
            await self._append(number)
        else:
            await self._patch(number, other)
        await self._flush_and_release(number)

    async def _cut(self, one: int, other: int) -> None:
        """truncate(2)"""
        number = await self._open_old(one)
        inode = self.machine.handles.file(number).inode
        before = self._now(number)
        size = other % (len(before) + 4)
        await self.machine.writing.truncate(number, size)
        self._ledger.give_up(before)
        self._bytes[inode] = before[:size].ljust(size, b"\0")
        await self._flush_and_release(number)

    async def _begin(self, one: int, other: int) -> None:
        """Open a file, write to it, and keep it open."""
        number = await self._open_old(one)
        self._open.append(number)
        await self._append(number)

    async def _more(self, one: int, other: int) -> None:
        """Write more to a file that is kept open; at times followed by fsync."""
        if self._open:
            number = self._open[one % len(self._open)]
            await self._append(number)
            if other % 2:
                await self.machine.writing.sync(number)
                self._keep(number)

    async def _close(self, one: int, other: int) -> None:
        if self._open:
            await self._flush_and_release(self._open.pop(0))

    async def _read(self, one: int, other: int) -> None:
        node = self._choose(one, folders=False)
        if node is None:
            return
        number = await self._open_inode(node.inode, writes=False)
        try:
            before = self._now(number)
            got = await self.machine.files.read(number, 0, 1000)
            # A newer version, if nobody saw a byte of the other; a request asks for no more than that had.
            assert got in (before, self._now(number)[: len(before)])
        finally:
            await self._release(number)

    # --- names ---

    async def _mkdir(self, one: int, other: int) -> None:
        parent, name = await self._place(one, other)
        await self.machine.names.make_folder(parent, name, 0o755, CTX)

    async def _unlink(self, one: int, other: int) -> None:
        node = self._choose(one, folders=False)
        if node is not None:
            await self._remove(node)

    async def _rmtree(self, one: int, other: int) -> None:
        """rm -r of a folder."""
        node = self._choose(one, files=False)
        if node is not None:
            for below in reversed([node, *self._walk(node.inode)]):
                await self._remove(below)

    async def _rename(self, one: int, other: int) -> None:
        node = self._choose(one)
        if node is not None:
            await self._move(node, *await self._place(other, other // 7))

    async def _exchange(self, one: int, other: int) -> None:
        node, with_node = self._choose(one), self._choose(other)
        if node is not None and with_node is not None:
            await self.machine.names.rename(_at(node), _at(with_node), 2, 0)

    async def _save_by_rename(self, one: int, other: int) -> None:
        """As LibreOffice: the new version under another name, which is moved over the old one."""
        node = self._choose(one, folders=False)
        if node is not None:
            number = await self._open_new(node.parent or ROOT, b".~tmp")
            await self._append(number)
            await self._flush_and_release(number)
            tmp = self.machine.tree.child(node.parent or ROOT, b".~tmp")
            if tmp is not None:
                await self._move(tmp, node.parent or ROOT, node.name)

    async def _save_with_backup(self, one: int, other: int) -> None:
        """As vim: the old version moves to a backup, the new one is written, the backup removed."""
        node = self._choose(one, folders=False)
        if node is None:
            return
        parent, name = _at(node)
        await self._move(node, parent, name + b"~")
        number = await self._open_new(parent, name)
        await self._append(number)
        await self._flush_and_release(number)
        backup = self.machine.tree.child(parent, name + b"~")
        if backup is not None and other % 2:
            await self._remove(backup)

    async def _list(self, one: int, other: int) -> None:
        node = self._choose(one, files=False)
        if node is not None:
            await self.machine.names.know(node.inode, 0)

    async def _clean(self, one: int, other: int) -> None:
        """cleanCache"""
        node = self._choose(one, folders=False)
        if node is not None:
            await self.machine.store.discard(node.inode)

    # --- inside ---

    async def _open_new(self, parent: int, name: bytes) -> int:
        node = self.machine.tree.child(parent, name)
        if node is None:
            node = await self.machine.names.create(parent, name, 0o644, CTX)
            self._bytes[node.inode] = b""
            self.machine.tree.hold(node.inode)
            return await self.machine.files.create(node.inode, CTX)
        if node.is_folder:
            raise IsAFolder("as the kernel says")
        number = await self._open_inode(node.inode)
        before = self._now(number)
        await self.machine.writing.truncate(number, 0)
        if before:
            self._ledger.give_up(before)
            self._bytes[node.inode] = b""
        return number

    async def _open_old(self, number: int) -> int:
        node = self._choose(number, folders=False)
        if node is None:
            raise CloudfsError("there is no file")
        return await self._open_inode(node.inode)

    async def _open_inode(self, inode: int, *, writes: bool = True) -> int:
        """The kernel holds an inode for as long as it is open."""
        self.machine.tree.hold(inode)
        try:
            if writes:
                return await self.machine.files.open_for_writing(inode, CTX)
            return await self.machine.files.open(inode, 0)
        except CloudfsError:
            await self.machine.forget(inode)
            raise

    async def _release(self, number: int) -> None:
        inode = self.machine.handles.file(number).inode
        await self.machine.files.release(number)
        await self.machine.forget(inode)

    async def _append(self, number: int) -> None:
        before = self._now(number)
        await self._put(number, len(before), self._ledger.token("l"))

    async def _patch(self, number: int, at: int) -> None:
        await self._put(number, at % (len(self._now(number)) + 1), self._ledger.token("l"))

    async def _put(self, number: int, at: int, data: bytes) -> None:
        inode = self.machine.handles.file(number).inode
        before = self._now(number)
        await self.machine.writing.write(number, at, data)
        self._ledger.give_up(before)
        self._bytes[inode] = before[:at] + data + before[at + len(data) :]

    async def _flush_and_release(self, number: int) -> None:
        try:
            await self.machine.writing.flush(number)
            self._keep(number)
        finally:
            await self._release(number)

    def _keep(self, number: int) -> None:
        """What the user was told is safe; not what has no name any more.

        What was told before is not owed anew: another device may have had it since, and removed it.
        """
        content = self.machine.handles.file(number).content
        inode, now = content.inode, self._bytes.get(content.inode)
        is_news = now is not None and self._told.get(inode) != now
        if is_news and self.machine.tree.node(inode).parent is not None and content.is_dirty:
            self._ledger.keep(self._bytes[inode], f"flushed as inode {inode}")
            self._told[inode] = self._bytes[inode]

    def _now(self, number: int) -> bytes:
        """The bytes that a handle sees."""
        content = self.machine.handles.file(number).content
        if content.is_dirty:
            return self._bytes[content.inode]
        assert content.version is not None
        return self._cloud.bytes_of(content.version)

    async def _move(self, node: Node, parent: int, name: bytes) -> None:
        await self._given_up(await self.machine.names.rename(_at(node), (parent, name), 0, 0))

    async def _remove(self, node: Node) -> None:
        parent, name = _at(node)
        if node.is_folder:
            await self.machine.names.remove_folder(parent, name, 0)
        else:
            await self._given_up(await self.machine.names.unlink(parent, name))

    async def _given_up(self, node: Node | None) -> None:
        if node is not None and not node.is_folder:
            self._ledger.give_up(self.shown(node))
            await self.machine.retire(node.inode)

    def _choose(self, number: int, *, files: bool = True, folders: bool = True) -> Node | None:
        nodes = [node for node in self._walk(ROOT) if (folders if node.is_folder else files)]
        return nodes[number % len(nodes)] if nodes else None

    async def _place(self, one: int, other: int) -> tuple[int, bytes]:
        folders = [ROOT, *(node.inode for node in self._walk(ROOT) if node.is_folder)]
        folder = folders[one % len(folders)]
        await self.machine.names.know(folder, 0)
        return folder, NAMES[other % len(NAMES)]


def _at(node: Node) -> tuple[int, bytes]:
    assert node.parent is not None, "it is shown"
    return node.parent, node.name
