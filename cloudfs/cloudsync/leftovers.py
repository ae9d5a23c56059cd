"""Drops the content of entries that are gone, without holding up what made them go."""

from __future__ import annotations

import logging
import math

import trio

from cloudfs.cache.store import Store
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)


class Leftovers:
    """Takes inodes at any moment and frees their content in the background.

    What is left when the daemon ends, or can't be dropped, makes room by eviction later.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._send, self._receive = trio.open_memory_channel[int](math.inf)

    def drop(self, inode: int) -> None:
        """The entry is gone for good; programs that have it open keep their content. Does not wait."""
        self._send.send_nowait(inode)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Free content until cancelled."""
        task_status.started()
        async for inode in self._receive:
            try:
                await self._store.forget(inode)
            except CloudfsError as error:
                log.warning("the content of inode %d stays for now: %s", inode, error.reason)
