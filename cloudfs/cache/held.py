"""How many bytes are held of each file, as the world was last told: the recent ones without a read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from cloudfs.database.contents import Contents


class HeldBytes:
    """A bounded memory over the rows. Whoever changes what is held says so by `note` or `forget`.

    changed: told of an inode of which more or less is held now; the kernel remembers it as st_blocks.
    """

    CAPACITY = 100_000

    def __init__(self, rows: Contents, changed: Callable[[int], None]) -> None:
        self._rows = rows
        self._changed = changed
        self._held: OrderedDict[int, int] = OrderedDict()

    def of(self, inode: int) -> int:
        if inode not in self._held:
            self.warm([inode])
        self._held.move_to_end(inode)
        return self._held[inode]

    def warm(self, inodes: Sequence[int]) -> None:
        """Know all of these, by one read where some are new."""
        unknown = [inode for inode in inodes if inode not in self._held]
        if not unknown:
            return
        found = self._rows.held_bytes_of(unknown)
        for inode in unknown:
            self.remember(inode, found.get(inode, 0))

    def note(self, inode: int, held_bytes: int) -> None:
        """So much is held of it now."""
        if self._held.get(inode) != held_bytes:
            self.remember(inode, held_bytes)
            self._changed(inode)

    def forget(self, inode: int) -> None:
        """Its row is gone, or about to be."""
        self._held.pop(inode, None)
        self._changed(inode)

    def remember(self, inode: int, held_bytes: int) -> None:
        """`note` for what the kernel knows: a program wrote all of it."""
        self._held[inode] = held_bytes
        self._held.move_to_end(inode)
        if len(self._held) > self.CAPACITY:
            self._held.popitem(last=False)
