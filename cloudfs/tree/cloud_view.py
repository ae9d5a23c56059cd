"""The view of the cloud's tree, as far as it is known: where the cloud has entries, and what it lacks."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs.database.bridge import Database
from cloudfs.database.intents import Intent, Intents
from cloudfs.model.entry import RemotePath, join
from cloudfs.model.enums import Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import ROOT, Node, Place
from cloudfs.tree.gallery import lies_in_gallery
from cloudfs.tree.view import View


class CloudView(View):
    """What the sync asks. Methods raise as those of `View`."""

    def __init__(self, database: Database, *, gallery: Sequence[bytes], capacity: int) -> None:
        super().__init__(database, gallery=gallery, capacity=capacity)
        self._intents = Intents(database)

    # --- places ---

    def remote_path(self, inode: int) -> RemotePath:
        """Where the cloud has the entry; NotFound where it, or a folder above, was never there."""
        names = []
        while inode != ROOT:
            place = self.node(inode).cloud_place
            if place is None:
                raise NotFound("the cloud does not have it")
            names.append(place.name)
            inode = place.parent
        return b"/".join(reversed(names))

    def place_path(self, place: Place) -> RemotePath:
        """A place's path in the cloud; NotFound where the cloud does not have the folder."""
        return join(self.remote_path(place.parent), place.name)

    def change_scope(self, node: Node) -> Scope:
        """Which sync sends an entry's changes: the one of its place in the cloud, else of that here.

        NotFound where neither leads to the root.
        """
        place = node.cloud_place
        if place is not None:
            try:
                return self._scope_of(self.place_path(place))
            except NotFound:
                if node.parent is None:
                    raise
        return self.scope(node.inode)

    # --- changes ---

    def changes(self, scope: Scope) -> list[Node]:
        """All that a scope's sync has to send, and what was asked of the cloud without an answer.

        What leads to no place at all (it goes with a folder that is about to) is left out.
        """
        return [node for node in self._entries.changed() if self._is_of(scope, node)]

    def count_changes(self) -> int:
        """Entries with a change that the cloud lacks, in all scopes."""
        return self._entries.count_changed()

    def intents(self) -> list[Intent]:
        """What was asked of the cloud and not yet answered."""
        return self._intents.all()

    # --- the walk ---

    def folders(self, scope: Scope) -> list[int]:
        """Folders that a scope's sync lists: those that the cloud has, parents there before children.

        The root is of `files`, a gallery folder itself of `gallery`. What was removed here is left out.
        """
        below: dict[int, list[int]] = {}
        removed = set()
        for parent, inode, is_linked in self._entries.cloud_folders():
            below.setdefault(parent, []).append(inode)
            if not is_linked:
                removed.add(inode)
        galleries = self._galleries()
        found = [ROOT] if scope is Scope.FILES else sorted(galleries)
        for inode in found:
            found.extend(child for child in below.get(inode, []) if child not in galleries)
        return [inode for inode in found if inode not in removed]

    def untagged_folders(self) -> frozenset[int]:
        """Folders of either scope of which no tag can say that nothing changed."""
        return frozenset(self._entries.untagged_folders())

    def _galleries(self) -> set[int]:
        """The gallery folders that the cloud has."""
        found = set()
        for path in self._gallery:
            node, rest = self.find(path)
            if node.is_folder and not rest and self._is_at(node, path):
                found.add(node.inode)
        return found

    def _is_at(self, node: Node, path: RemotePath) -> bool:
        try:
            return self.remote_path(node.inode) == path
        except NotFound:
            return False

    def _is_of(self, scope: Scope, node: Node) -> bool:
        try:
            return self.change_scope(node) is scope
        except NotFound:
            return False

    def _scope_of(self, path: RemotePath) -> Scope:
        return Scope.GALLERY if lies_in_gallery(path, self._gallery) else Scope.FILES
