"""Whether a caller could read a file through the mount, by mode bits (path_resolution(7))."""

from __future__ import annotations

from cloudfs.control.callers import Caller
from cloudfs.model.errors import NotFound, PermissionDenied
from cloudfs.model.node import Node
from cloudfs.tree.tree import Tree

_READ = 0o4
_SEARCH = 0o1
_ROOT_UID = 0


class ModeBits:
    """The mount's entries as the kernel would guard them. Root passes everywhere."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def require_search(self, caller: Caller, inode: int) -> None:
        """The folders above an entry, and itself where it is one. PermissionDenied; NotFound."""
        node = self._tree.node(inode)
        if node.is_folder:
            _require(caller, node, _SEARCH)
        self._require_above(caller, node)

    def require_read(self, caller: Caller, inode: int) -> None:
        """The entry itself, and the folders above it. PermissionDenied; NotFound where it is unlinked."""
        node = self._tree.node(inode)
        _require(caller, node, _READ)
        self._require_above(caller, node)

    def may_read(self, caller: Caller, inode: int) -> bool:
        """`require_read` as a question; nobody may read what is gone."""
        try:
            self.require_read(caller, inode)
        except (PermissionDenied, NotFound):
            return False
        return True

    def _require_above(self, caller: Caller, node: Node) -> None:
        while node.parent is not None:
            node = self._tree.node(node.parent)
            _require(caller, node, _SEARCH)


def _require(caller: Caller, node: Node, wanted: int) -> None:
    """Exactly one of the three triplets counts, as for the kernel: an owner has no use of the group's."""
    if caller.uid == _ROOT_UID:
        return
    shift = 6 if caller.uid == node.uid else 3 if node.gid in caller.groups else 0
    if not node.mode >> shift & wanted:
        raise PermissionDenied("the mode bits do not let the caller read this file")
