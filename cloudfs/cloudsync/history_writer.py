"""Records what happens to files for `cloudfs why`, without holding up what happens."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import trio

from cloudfs.database.history import History, HistoryRecord
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000  # a history with a gap is better than a daemon without memory


class HistoryWriter:
    """Takes records at any moment and commits them in batches.

    Invariant: `note` never blocks and never fails; what the disk does not take is logged and dropped.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._send, self._receive = trio.open_memory_channel[HistoryRecord](_MOST_WAITING)

    def note(self, record: HistoryRecord) -> None:
        """Record it soon."""
        try:
            self._send.send_nowait(record)
        except trio.WouldBlock:
            log.warning("the history of inode %d has a gap: the disk is too slow", record.inode)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until cancelled; what was noted by then is still committed."""
        task_status.started()
        try:
            async for record in self._receive:
                await self._commit([record, *self._waiting()])
        finally:
            with trio.CancelScope(shield=True):
                await self._commit(self._waiting())

    def _waiting(self) -> list[HistoryRecord]:
        records = []
        try:
            while True:
                records.append(self._receive.receive_nowait())
        except trio.WouldBlock:
            return records

    async def _commit(self, records: Sequence[HistoryRecord]) -> None:
        if not records:
            return
        try:
            await self._history.record(records)
        except CloudfsError as error:
            log.warning("the history has a gap of %d records: %s", len(records), error.reason)
