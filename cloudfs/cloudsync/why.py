"""Why an entry is as it is: what `cloudfs why` shows (INTERFACE section 11)."""

from __future__ import annotations

from collections.abc import Iterator

from cloudfs.cloudsync.file_sync_state import FileSyncStates
from cloudfs.cloudsync.history_writer import HistoryWriter
from cloudfs.cloudsync.mount_info import StateRows
from cloudfs.cloudsync.waits import Waits
from cloudfs.database.history import CHANGED, HYDRATED, HistoryRecord
from cloudfs.model.entry import TEMPORARY_PREFIX
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node
from cloudfs.tree.tree import Tree


class Why:
    """Explains entries from the tree, the history and what they wait for."""

    def __init__(
        self, tree: Tree, rows: StateRows, states: FileSyncStates, waits: Waits, history: HistoryWriter
    ) -> None:
        self._tree = tree
        self._rows = rows
        self._states = states
        self._waits = waits
        self._history = history

    async def of(self, inode: int) -> dict[str, object]:
        """All that is known of an entry that has a name here. NotFound, LocalIOError."""
        history = await self._history.of(inode)
        node = self._tree.node(inode)
        wait = self._waits.of(node)
        return {
            **self._rows.row(inode),
            "reason": node.error_reason,
            "tries": node.tries,
            "dirty": self._states.is_dirty(node),
            "dirty_because": list(self._changes(node)),
            "changed_by": [_program(record) for record in history if record.what == CHANGED],
            "waiting_for": wait.cause,
            "next_try": wait.next_try_ms,
            "pinned_at": self._pinned_at(node),
            "hydrated_by": [
                {**_program(record), "bytes": record.bytes} for record in history if record.what == HYDRATED
            ],
        }

    def _changes(self, node: Node) -> Iterator[str]:
        """What the cloud lacks of it."""
        if not self._states.is_dirty(node):
            return
        if node.is_unsent:
            yield "created here"
            return
        if node.is_modified:
            yield "changed here"
        if node.home is not None:
            did = "renamed" if node.home.parent == node.parent else "moved"
            former = self._former_path(node)
            yield f"{did} here" if former is None else f"{did} here from {former}"

    def _former_path(self, node: Node) -> str | None:
        """Where the cloud has it; None where no name says that (the cloud lost it, or a folder went)."""
        assert node.home is not None
        if node.home.name.startswith(TEMPORARY_PREFIX):
            return None
        try:
            return self._rows.absolute(self._tree.place_path(node.home))
        except NotFound:
            return None

    def _pinned_at(self, node: Node) -> str | None:
        """The path of what carries the pin: the entry, or a folder above."""
        while not node.pinned:
            if node.parent is None:
                return None
            node = self._tree.node(node.parent)
        return self._rows.absolute(self._tree.path(node.inode))


def _program(record: HistoryRecord) -> dict[str, object]:
    """Who did it and when; the process is null where the daemon did by itself."""
    return {"time": record.time_ms, "pid": record.pid, "exe": record.exe}
