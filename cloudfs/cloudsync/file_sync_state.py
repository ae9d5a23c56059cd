"""What the reference's FileSyncState, and `status`, say of one entry (INTERFACE sections 5, 8 and 11)."""

from __future__ import annotations

from cloudfs.cache.store import Store
from cloudfs.model.enums import FileSyncState, Location
from cloudfs.model.node import Node
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree


class FileSyncStates:
    """Answers from memory, or by one small read; nothing here waits."""

    def __init__(self, tree: Tree, store: Store, transfers: Transfers) -> None:
        self._tree = tree
        self._store = store
        self._transfers = transfers

    def state(self, inode: int) -> FileSyncState:
        """The state of a file or folder. NotFound."""
        node = self._tree.node(inode)
        if self._transfers.progress(node.inode) is not None:
            return FileSyncState.DOWNLOADING
        return FileSyncState.COMPLETED

    def location(self, node: Node) -> Location:
        """Where the content is. A folder, and a file of size 0, have nothing to fetch."""
        held = self.held_bytes(node)
        if held >= node.size:
            return Location.BOTH
        return Location.PARTIAL if held else Location.CLOUD

    def progress(self, node: Node) -> tuple[int, int]:
        """(processed, size) in bytes: of the running transfer, else of the content held here."""
        return self._transfers.progress(node.inode) or (self.held_bytes(node), node.size)

    def held_bytes(self, node: Node) -> int:
        """Bytes of its content held here."""
        return 0 if node.is_folder or not node.size else self._store.held_bytes(node.inode)
