"""Undoing the deletes that the brake holds: `cloudfs sync restore`."""

from __future__ import annotations

from collections.abc import Iterator

from cloudfs.cache.store import Store
from cloudfs.model.enums import Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import Node
from cloudfs.sync.brake import DeleteBrake
from cloudfs.sync.encounter import Encounter
from cloudfs.transfers.editing import Editor
from cloudfs.tree.tree import Tree


class Restoring:
    """Brings entries back whose removal, on either side, nobody confirmed."""

    def __init__(
        self, tree: Tree, store: Store, editor: Editor, encounter: Encounter, brake: DeleteBrake
    ) -> None:
        self._tree = tree
        self._store = store
        self._editor = editor
        self._encounter = encounter
        self._brake = brake

    async def restore(self, scope: Scope) -> list[int]:
        """Undo what is held of a scope; returns what can't come back, which stays held.

        What was removed here is a placeholder again; what the cloud lost is as if it were made here,
        where its content is whole, and goes up by the next sync.
        """
        held = self._brake.of(scope)
        removed = [inode for inode in held.here if not await self._bring_back(inode)]
        lost = [inode for top in held.in_cloud for inode in await self._send_again(top)]
        await self._brake.hold_here(scope, removed)
        await self._brake.hold_in_cloud(scope, lost, len(lost), lost)
        return [*removed, *lost]

    async def _bring_back(self, inode: int) -> bool:
        """Whether there is nothing left to undo."""
        try:
            return not self._tree.node(inode).is_removed or await self._encounter.bring_back(inode, None)
        except NotFound:
            return True

    async def _send_again(self, top: int) -> list[int]:
        """Let an entry, and all below it, go up as new; returns the files that lack content for that."""
        try:
            nodes = [self._tree.node(top), *self._below(top)]
        except NotFound:
            return []
        lacking: list[int] = []
        for node in nodes:
            if node.is_unsent:
                continue
            if node.is_folder or await self._take_as_ours(node):
                await self._tree.detach(node.inode)
            else:
                lacking.append(node.inode)
        return lacking

    def _below(self, top: int) -> Iterator[Node]:
        """All below a folder, parents before children."""
        if self._tree.node(top).is_folder:
            for page in self._tree.walk(top):
                yield from (node for node, _ in page)

    async def _take_as_ours(self, node: Node) -> bool:
        """Make a file's cached content one that the cloud lacks; whether it is whole."""
        content = await self._store.open(node.inode, node.content_version)
        try:
            if not content.is_whole:
                return False
            await self._editor.mark(content)
            return True
        finally:
            await self._store.close(content)
