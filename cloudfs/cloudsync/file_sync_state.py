"""What the reference's FileSyncState, and `status`, say of one entry (INTERFACE sections 5, 8 and 11)."""

from __future__ import annotations

from collections.abc import Callable

from cloudfs.cache.store import Store
from cloudfs.model.enums import FileSyncState, Location, Scope
from cloudfs.model.node import Node
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.uploads import Uploads
from cloudfs.tree.tree import Tree


class FileSyncStates:
    """Answers from memory, or by one small read; nothing here waits.

    is_syncing: whether a scope's sync is under way.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        transfers: Transfers,
        uploads: Uploads,
        *,
        is_syncing: Callable[[Scope], bool],
    ) -> None:
        self._tree = tree
        self._store = store
        self._transfers = transfers
        self._uploads = uploads
        self._is_syncing = is_syncing

    def state(self, inode: int) -> FileSyncState:
        """The state of a file or folder. NotFound."""
        node = self._tree.node(inode)
        if self._uploads.progress(inode) is not None:
            return FileSyncState.UPLOADING
        if self._transfers.progress(inode) is not None:
            return FileSyncState.DOWNLOADING
        if not self.is_dirty(node):
            return FileSyncState.COMPLETED
        is_queued = not node.tries and self._is_syncing(self._tree.change_scope(node))
        return FileSyncState.UPLOADING if is_queued else FileSyncState.STOPPED

    def is_dirty(self, node: Node) -> bool:
        """Whether the cloud lacks a change of it made here; what was removed is no file any more."""
        return node.parent is not None and node.is_changed

    def location(self, node: Node) -> Location:
        """Where the content is. A file of size 0 that the cloud has, and a folder, have nothing to fetch."""
        if node.is_unsent:
            return Location.LOCAL
        held, size = self._held(node)
        if held >= size:
            return Location.BOTH
        return Location.PARTIAL if held else Location.CLOUD

    def progress(self, node: Node) -> tuple[int, int]:
        """(processed, size) in bytes: of the running transfer, else of the content held here."""
        return self._uploads.progress(node.inode) or self._transfers.progress(node.inode) or self._held(node)

    def held_bytes(self, node: Node) -> int:
        """Bytes of its content held here."""
        return self._held(node)[0]

    def _held(self, node: Node) -> tuple[int, int]:
        """Bytes held and bytes in all, as a program sees the file while another writes to it."""
        if node.is_folder:
            return 0, 0
        written = self._store.written(node.inode)
        size = node.size if written is None else written[0]
        return (self._store.held_bytes(node.inode) if size else 0), size
