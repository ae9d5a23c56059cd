"""Entries that lost their name and their last user: rows and content go, many at a time.

Each by itself would cost two commits and a hop to a thread, as much as the removal that a program waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from cloudfs.cache.store import Store
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.tree.tree import Tree

_log = logging.getLogger(__name__)

_GATHER_S = 0.1
_AT_ONCE = 256


class Unused:
    """Takes inodes at any moment and drops them in the background.

    What is left when the mount ends, or can't be dropped, goes at the next start.
    """

    def __init__(self, tree: Tree, store: Store) -> None:
        self._tree = tree
        self._store = store
        self._noted: set[int] = set()
        self._something = trio.Event()

    def note(self, inode: int) -> None:
        """No program can come to the inode any more, unless a sync gives it a name again. Does not wait."""
        self._noted.add(inode)
        self._something.set()

    async def run(self) -> None:
        """Drop what was noted, until cancelled."""
        while True:
            await self._something.wait()
            await trio.sleep(_GATHER_S)
            noted, self._noted, self._something = sorted(self._noted), set(), trio.Event()
            for start in range(0, len(noted), _AT_ONCE):
                await self._drop(noted[start : start + _AT_ONCE])

    async def _drop(self, inodes: Sequence[int]) -> None:
        for inode in inodes:
            if self._store.is_in_use(inode):  # a download of it is about to end
                self.note(inode)
        gone = [inode for inode in inodes if inode not in self._noted and self._is_nameless(inode)]
        try:
            await self._store.forget(*gone)
            await self._tree.forget_unlinked(*gone)
        except CloudfsError as error:
            _log.warning("%d removed entries are kept until the next mount: %s", len(gone), error.reason)

    def _is_nameless(self, inode: int) -> bool:
        try:
            return self._tree.node(inode).parent is None
        except NotFound:
            return False
