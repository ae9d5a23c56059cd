"""How requests find, make, move and remove names.

The network is waited for only where the answer depends on a folder that was never listed; what the tree
then says of a name is a fact, not a guess.
"""

from __future__ import annotations

import errno
import stat
from dataclasses import dataclass

from pyfuse3 import RENAME_EXCHANGE, RENAME_NOREPLACE, FUSEError, RequestContext

from cloudfs.fuse.waits import NetworkWaits
from cloudfs.model.entry import NAME_MAX, TEMPORARY_PREFIX
from cloudfs.model.enums import Listing
from cloudfs.model.node import ROOT, Node
from cloudfs.transfers.listings import Listings
from cloudfs.tree.tree import Tree


@dataclass(frozen=True, slots=True)
class Birth:
    """What an entry that a program makes is born with, beside its name (open(2), mkdir(2))."""

    mode: int
    uid: int
    gid: int


class Names:
    """The names of one mount."""

    def __init__(self, tree: Tree, listings: Listings, waits: NetworkWaits) -> None:
        self._tree = tree
        self._listings = listings
        self._waits = waits

    # --- finding ---

    async def find(self, parent: int, name: bytes, pid: int) -> Node | None:
        """The entry of a name; None is an answer that may be remembered: the folder was listed whole."""
        node = self._tree.child(parent, name)
        return node if node is not None else await self._seek(parent, name, pid)

    async def know(self, folder: int, pid: int) -> None:
        """Return once the folder has been listed whole at some time; at once where it was.

        Raises why it can't be, NetworkTimeout, or Interrupted where the program `pid` is to end.
        """
        if self._tree.node(folder).listing is not Listing.WHOLE:
            await self._waits.interruptible(lambda: self._listings.ensure(folder), pid)

    async def _seek(self, parent: int, name: bytes, pid: int) -> Node | None:
        """What the index does not have: a folder to be listed first, or no name of an entry."""
        if len(name) > NAME_MAX:
            raise FUSEError(errno.ENAMETOOLONG)
        folder = self._tree.node(parent)
        if name in (b".", b".."):  # asked for by an NFS server that has only the number
            return folder if name == b"." else self._tree.node(folder.parent or ROOT)
        if folder.listing is Listing.WHOLE:  # known at the moment at which the name was not there
            return None
        await self.know(parent, pid)
        return self._tree.child(parent, name)

    # --- making ---

    async def create(self, parent: int, name: bytes, mode: int, ctx: RequestContext) -> Node:
        """A new, empty file. AlreadyExists, also where the name came to be taken behind the kernel's back."""
        await self._prepare(parent, name, ctx.pid)
        birth = self._birth(parent, mode, ctx)
        return await self._tree.create(parent, name, birth.mode, birth.uid, birth.gid)

    async def make_folder(self, parent: int, name: bytes, mode: int, ctx: RequestContext) -> Node:
        """A new, empty folder; one in a folder with S_ISGID has it too (mkdir(2)). AlreadyExists."""
        await self._prepare(parent, name, ctx.pid)
        birth = self._birth(parent, mode | self._tree.node(parent).mode & stat.S_ISGID, ctx)
        return await self._tree.make_folder(parent, name, birth.mode, birth.uid, birth.gid)

    async def _prepare(self, folder: int, name: bytes, pid: int) -> None:
        """See to it that a name may come into a folder, and that it is known whether it is free there."""
        if len(name) > NAME_MAX:
            raise FUSEError(errno.ENAMETOOLONG)
        if name.startswith(TEMPORARY_PREFIX):
            raise FUSEError(errno.EPERM)  # such names are hidden: the entry would never be seen again
        await self.know(folder, pid)

    def _birth(self, folder: int, mode: int, ctx: RequestContext) -> Birth:
        parent = self._tree.node(folder)
        gid = parent.gid if parent.mode & stat.S_ISGID else ctx.gid
        return Birth(stat.S_IMODE(mode) & ~ctx.umask, ctx.uid, gid)

    # --- removing and moving ---

    async def unlink(self, parent: int, name: bytes) -> Node:
        """The file as it was. NotFound, IsAFolder."""
        return await self._tree.unlink(parent, name)

    async def remove_folder(self, parent: int, name: bytes, pid: int) -> Node:
        """The folder as it was; one never listed is listed first. NotFound, NotAFolder, NotEmpty, Busy."""
        folder = await self.find(parent, name, pid)
        if folder is not None and folder.is_folder:
            await self.know(folder.inode, pid)
        return await self._tree.remove_folder(parent, name)

    async def rename(
        self, source: tuple[int, bytes], target: tuple[int, bytes], flags: int, pid: int
    ) -> Node | None:
        """Move an entry as renameat2(2) says; answers what lost its name by that, as it was.

        NotFound, AlreadyExists, IsAFolder, NotAFolder, NotEmpty, InvalidParameter (a folder into itself),
        Busy; FUSEError EINVAL for flags that are not known.
        """
        if flags not in (0, RENAME_NOREPLACE, RENAME_EXCHANGE):
            raise FUSEError(errno.EINVAL)
        await self._prepare(*target, pid)
        if flags == RENAME_EXCHANGE:
            await self._tree.exchange(*source, *target)
            return None
        await self._know_replaced(source, target, pid)
        return await self._tree.rename(*source, *target, no_replace=flags == RENAME_NOREPLACE)

    async def _know_replaced(self, source: tuple[int, bytes], target: tuple[int, bytes], pid: int) -> None:
        """A folder may replace an empty one, and whether that is empty must be known."""
        moved, replaced = self._tree.child(*source), self._tree.child(*target)
        if moved is not None and moved.is_folder and replaced is not None and replaced.is_folder:
            await self.know(replaced.inode, pid)
