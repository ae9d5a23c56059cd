"""Records what happens to files for `cloudfs why`, without holding up what happens."""

from __future__ import annotations

import logging
import time

import trio

from cloudfs.database.history import CHANGED, HYDRATED, History, HistoryRecord, Note, Received
from cloudfs.model.enums import Priority
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000  # a history with a gap is better than a daemon without memory
_GATHER_S = 0.5  # notes come in crowds, and one commit of many costs little more than one of one


class HistoryWriter:
    """Takes notes at any moment and commits them in batches.

    Invariant: taking one never blocks and never fails; what the disk does not take is logged and dropped,
    and what came in the last _GATHER_S may go with a crash.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._notes: list[Note] = []
        self._any = trio.Event()
        self._committing = trio.Lock()

    # --- what happens ---

    def hydrated(self, inode: int, pid: int, exe: bytes | None) -> None:
        """A program has content fetched. exe: its executable, None where it can't be known."""
        self._note(_record(inode, HYDRATED, pid, exe))

    def received(self, inode: int, count: int, purpose: Priority) -> None:
        """So many bytes came; those of a pin or a sync are no program's."""
        self._note(Received(inode, _now_ms(), count, by_program=purpose is not Priority.PINNED))

    def changed(self, inode: int, pid: int, exe: bytes | None) -> None:
        """A program changed a file that was as the cloud has it."""
        self._note(_record(inode, CHANGED, pid, exe))

    # --- what happened ---

    async def of(self, inode: int) -> list[HistoryRecord]:
        """What was noted of an inode until now, oldest first. LocalIOError."""
        await self._commit()
        return self._history.of(inode)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Commit until cancelled; what was noted by then is still committed."""
        task_status.started()
        try:
            while True:
                await self._any.wait()
                await trio.sleep(_GATHER_S)
                await self._commit()
        finally:
            with trio.CancelScope(shield=True):
                await self._commit()

    def _note(self, note: Note) -> None:
        if len(self._notes) < _MOST_WAITING:
            self._notes.append(note)
            self._any.set()
        else:
            log.warning("the history of inode %d has a gap: the disk is too slow", note.inode)

    async def _commit(self) -> None:
        """All notes until now; who comes while others are committed waits for these too."""
        async with self._committing:
            notes, self._notes = self._notes, []
            self._any = trio.Event()
            if not notes:
                return
            try:
                with trio.CancelScope(shield=True):
                    await self._history.record(notes)
            except CloudfsError as error:
                log.warning("the history has a gap of %d records: %s", len(notes), error.reason)


def _record(inode: int, what: str, pid: int, exe: bytes | None) -> HistoryRecord:
    name = None if exe is None else exe.decode("utf-8", "backslashreplace")  # as JSON can hold it
    return HistoryRecord(inode, _now_ms(), what, pid, name)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
