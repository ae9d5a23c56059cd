"""What a pin brings at once: the file, or all files below the folder, folders never listed included.

A failure is not retried here: it is recorded on the file, and the next sync hydrates what is pinned; that
sync takes up as well what `stop` ended.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress

import trio

from cloudfs.model.enums import Priority, Scope
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

_WORKERS = 8  # files and folders that are waited for at the same time
_PAGE = 256


class Pins:
    """Hydrates pinned entries in the background, first come first served."""

    def __init__(self, tree: Tree, listings: Listings, transfers: Transfers) -> None:
        self._tree = tree
        self._listings = listings
        self._transfers = transfers
        self._send, self._receive = trio.open_memory_channel[int](math.inf)
        self._bringing: dict[trio.CancelScope, int] = {}

    def hydrate(self, inode: int) -> None:
        """Bring what was pinned just now, by itself or with the folder above; does not wait."""
        self._send.send_nowait(inode)

    def stop(self, scope: Scope) -> None:
        """End what is being brought of a scope, and give up what waits for its turn; keeps what came."""
        for bringing, inode in self._bringing.items():
            if self._lies_in(inode, scope):
                bringing.cancel()
        waiting = []
        with suppress(trio.WouldBlock):
            while True:
                waiting.append(self._receive.receive_nowait())
        for inode in waiting:
            if not self._lies_in(inode, scope):
                self.hydrate(inode)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the background tasks until cancelled; the next sync takes up what is left then."""
        async with trio.open_nursery() as nursery:
            for _ in range(_WORKERS):
                nursery.start_soon(self._work)
            task_status.started()

    async def _work(self) -> None:
        async for inode in self._receive:
            with trio.CancelScope() as bringing:
                self._bringing[bringing] = inode
                try:
                    await self._bring(inode)
                except CloudfsError as error:
                    log.info("inode %d is pinned and does not come yet: %s", inode, error.reason)
                finally:
                    del self._bringing[bringing]

    async def _bring(self, inode: int) -> None:
        if not self._tree.is_pinned(inode):
            return  # unpinned meanwhile
        if not self._tree.node(inode).is_folder:
            await self._transfers.hydrate(inode, Priority.PINNED)
            return
        await self._listings.ensure(inode)
        after = 0
        while page := self._tree.children(inode, after, _PAGE):
            after = page[-1].inode
            for child in page:
                self.hydrate(child.inode)

    def _lies_in(self, inode: int, scope: Scope) -> bool:
        try:
            return self._tree.scope(inode) is scope
        except NotFound:
            return False  # removed meanwhile: its worker finds that out
