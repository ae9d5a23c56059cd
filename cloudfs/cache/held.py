"""How many bytes are held of each file that nobody has open: the recent ones without a read."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from cloudfs.database.contents import Contents


class HeldBytes:
    """A bounded memory over the rows. Whoever changes a row says so by `note` or `forget`."""

    CAPACITY = 100_000

    def __init__(self, rows: Contents) -> None:
        self._rows = rows
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
            self.note(inode, found.get(inode, 0))

    def note(self, inode: int, held_bytes: int) -> None:
        self._held[inode] = held_bytes
        self._held.move_to_end(inode)
        if len(self._held) > self.CAPACITY:
            self._held.popitem(last=False)

    def forget(self, inode: int) -> None:
        self._held.pop(inode, None)
