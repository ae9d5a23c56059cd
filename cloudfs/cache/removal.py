"""Taking contents away by name: what the cloud has anyway, or whose entry is gone.

Invariant: the row goes before the file, and who has the content open keeps it, detached. From the step in
which it is decided nobody gets the content who had it not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from cloudfs.cache.content import Content, ContentState
from cloudfs.cache.eviction import Eviction
from cloudfs.cache.maps import Maps
from cloudfs.cache.space import Space
from cloudfs.cache.turns import Turns
from cloudfs.model.errors import CloudfsError, TryAgain

Check = Callable[[Content], None]  # raises where a content may not go


class Remove(Protocol):
    async def __call__(self, *inodes: int) -> None:
        """Take away contents that are not in memory."""


class Removal:
    """residents: contents in memory by inode, shared with the store. put_away: for what has no user."""

    def __init__(
        self,
        *,
        residents: dict[int, Content],
        eviction: Eviction,
        maps: Maps,
        space: Space,
        turns: Turns,
        put_away: Callable[[Content], None],
    ) -> None:
        self._residents = residents
        self._eviction = eviction
        self._maps = maps
        self._space = space
        self._turns = turns
        self._put_away = put_away

    async def discard(self, *inodes: int) -> None:
        """See Store.discard."""
        await self._take_away(inodes, self._eviction.discard, _refuse_changed)

    async def forget(self, *inodes: int) -> None:
        """See Store.forget."""
        await self._take_away(inodes, self._eviction.forget, lambda content: None)

    async def _take_away(self, inodes: Sequence[int], remove: Remove, check: Check) -> None:
        in_memory = [inode for inode in inodes if inode in self._residents]
        await remove(*(inode for inode in inodes if inode not in self._residents))
        for inode in in_memory:
            await self._take_one(inode, remove, check)

    async def _take_one(self, inode: int, remove: Remove, check: Check) -> None:
        while True:
            content = self._residents.get(inode)
            if content is None:
                await remove(inode)
                return
            if content.state is ContentState.EVICTING:
                await self._eviction.over(inode)
                return
            check(content)
            async with self._turns.take(content):
                if self._residents.get(inode) is content:
                    check(content)
                    await self._detach(content)
                    return

    async def _detach(self, content: Content) -> None:
        """Take its row and name away; those who have it open read on."""
        is_unused = content.users == 0  # loaded a moment ago, and of another version than asked for
        content.detached = True
        shell = Content(content.inode, content.version, file_id=content.file_id)
        try:
            await self._eviction.remove([shell], freed=0)
        except CloudfsError:
            content.detached = False
            if content.users or is_unused:
                self._residents[content.inode] = content
            else:
                self._space.took(content.held_bytes)  # its last user left meanwhile, yet the row stays
            raise
        self._maps.drop(content)
        content.is_marked = True  # what is written from here on concerns nobody but its users
        if is_unused:
            self._put_away(content)


def _refuse_changed(content: Content) -> None:
    """TryAgain where a program has changed the content, or may."""
    if content.is_dirty or content.writers:
        raise TryAgain("the file has changes that are not in the cloud yet, or is open for writing")
