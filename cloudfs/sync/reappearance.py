"""Which of the files under names that are gone stand under another name by now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from cloudfs.database.identities import Identities, Tag
from cloudfs.model.errors import NotFound
from cloudfs.model.node import ROOT, Node
from cloudfs.sync.planner import Lost, LostFile
from cloudfs.tree.tree import Tree


@dataclass(slots=True)
class _Name:
    """A name that is gone, with all that the tree knew below it."""

    inode: int
    folders: int = 0
    files: list[Node] = field(default_factory=list)


class Reappearance:
    """Reads a round's vanished entries against the rest of the tree."""

    def __init__(self, tree: Tree, identities: Identities) -> None:
        self._tree = tree
        self._identities = identities

    async def lost(self, vanished: Sequence[Node]) -> list[Lost]:
        """What the planner decides about. An entry that vanished twice, or with its folder, counts once.

        What is newer here is no delete: it stays, and goes up again. What the cloud never had there counts
        for nothing.
        """
        names = [self._gather(node) for node in self._topmost(vanished)]
        files = [file for name in names for file in name.files]
        by_id, tags = await self._elsewhere(files)
        return [
            Lost(name.inode, name.folders, tuple(_lost_file(file, by_id, tags) for file in name.files))
            for name in names
        ]

    def _topmost(self, vanished: Sequence[Node]) -> Iterable[Node]:
        """Those still in the tree that lie below no other of them."""
        gone = {node.inode: node for node in vanished}
        for node in gone.values():
            if self._is_topmost(node.inode, gone.keys()):
                yield node

    def _is_topmost(self, inode: int, gone: Collection[int]) -> bool:
        try:
            while inode != ROOT:
                parent = self._tree.node(inode).parent
                if parent is None or parent in gone:
                    return False
                inode = parent
        except NotFound:
            return False
        return True

    def _gather(self, node: Node) -> _Name:
        name = _Name(node.inode)
        if not node.is_folder:
            name.files.append(node)
            return name
        name.folders = 1
        for page in self._tree.walk(node.inode):
            there = [below for below, _ in page if not (below.is_unsent or below.is_moved)]
            name.folders += sum(below.is_folder for below in there)
            name.files += [below for below in there if not below.is_folder]
        return name

    async def _elsewhere(self, files: Sequence[Node]) -> tuple[dict[str, int], set[Tag]]:
        """The file ids (with the inode that shows each now) and tags that stand outside of `files`."""
        ids = {file.file_id for file in files if file.file_id is not None}
        found = await self._identities.find(ids, {tag for file in files if (tag := _tag(file))})
        lost = {file.inode for file in files}
        others = [identity for identity in found if identity.inode not in lost]
        by_id = {other.file_id: other.inode for other in others if other.file_id is not None}
        return by_id, {other.tag for other in others if other.tag is not None}


def _tag(file: Node) -> Tag | None:
    version = file.version
    if version is None or version.etag is None or not version.is_strong:
        return None
    return version.etag, version.size


def _lost_file(file: Node, by_id: dict[str, int], tags: set[Tag]) -> LostFile:
    twin = by_id.get(file.file_id) if file.file_id is not None else None
    return LostFile(file.inode, twin, twin is not None or file.is_modified or _tag(file) in tags)
