"""The transfers that have not ended, by inode; and which of them bring what the cloud no longer has."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from cloudfs.events import Topic
from cloudfs.model.errors import CloudfsError, ContentNotFound, VersionChanged
from cloudfs.transfers.transfer import Transfer, TransferState, TransferStatus
from cloudfs.tree.changes import EntryChanged, TreeChange

log = logging.getLogger(__name__)


class Underway:
    """news: what the tree heard of the cloud. fail: ends a transfer, for a cause."""

    def __init__(
        self, news: Topic[TreeChange], fail: Callable[[Transfer, CloudfsError], Awaitable[None]]
    ) -> None:
        self._news = news
        self._fail = fail
        self._transfers: dict[int, Transfer] = {}

    def __contains__(self, inode: int) -> bool:
        return inode in self._transfers

    def get(self, inode: int) -> Transfer | None:
        return self._transfers.get(inode)

    def add(self, transfer: Transfer) -> None:
        """It is under way from now on."""
        self._transfers[transfer.inode] = transfer

    def drop(self, transfer: Transfer) -> None:
        """It has ended."""
        del self._transfers[transfer.inode]

    def running(self) -> list[TransferStatus]:
        """Those that were begun."""
        return [each.status() for each in self._transfers.values() if each.state is TransferState.RUNNING]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """End what brings a file that the cloud lost, or replaced while it was in use, until cancelled."""
        with self._news.subscribe() as news:
            task_status.started()
            async for change in news:
                if isinstance(change, EntryChanged):
                    await self._end(change.deleted, ContentNotFound)
                    await self._end(change.replaced, VersionChanged)

    async def _end(self, inode: int | None, cause: type[CloudfsError]) -> None:
        """Where all bytes are here already, what is left to do is done."""
        transfer = None if inode is None else self._transfers.get(inode)
        if transfer is None or transfer.is_finishing:
            return
        try:
            await self._fail(transfer, cause("the cloud does not have this version of the file any more"))
        except Exception:
            log.exception("the download of inode %d could not be ended, by a bug", transfer.inode)
