"""The tree as readers see it at this moment: memory first, else one read of what is committed.

Invariant: a version that a commit has brought is seen only once the tree has made sure, in one step
with showing it, that nobody has the file open under the one before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from cloudfs.database.attributes import Attributes
from cloudfs.database.bridge import Database
from cloudfs.database.entries import Entries
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import Scope
from cloudfs.model.errors import NotFound
from cloudfs.model.node import ROOT, Node
from cloudfs.tree.gallery import lies_in_gallery
from cloudfs.tree.index import Index, page_after

_PAGE = 1000  # children that a walk reads at once
_NAMED_CAPACITY = 50_000  # inodes whose attribute names are remembered


class View:
    """All that is known of the tree, without waiting and without change.

    gallery: paths of the gallery folders. capacity: nodes kept in memory.
    Methods raise NotFound for an inode that is gone and LocalIOError where the database fails.
    """

    def __init__(self, database: Database, *, gallery: Sequence[bytes], capacity: int) -> None:
        self._entries = Entries(database)
        self._attributes = Attributes(database)
        self._gallery = tuple(path.strip(b"/") for path in gallery)
        self._index = Index(capacity)
        # Names of the user's attributes by inode: most files have none, and that is asked for often.
        self._attribute_names: OrderedDict[int, tuple[bytes, ...]] = OrderedDict()
        self._held: dict[int, int] = {}
        # Files whose new version is (about to be) committed, as they are shown until that is settled.
        self._settling: dict[int, Node] = {}
        # Inodes whose rows are about to be deleted.
        self._going: set[int] = set()

    # --- entries ---

    def node(self, inode: int) -> Node:
        """The entry, linked or not."""
        node = self._index.node(inode)
        if node is None and inode not in self._going:
            node = self._entries.load(inode)
            if node is not None:
                node = self._remember(node)
        if node is None:
            raise NotFound("it is gone")
        return node

    def child(self, parent: int, name: bytes) -> Node | None:
        """None: not known, which is a negative answer only where the folder's listing is WHOLE."""
        node = self._index.child(parent, name)
        if node is None:
            node = self._entries.child(parent, name)
            if node is not None:
                node = self._remember(node)
        return node

    def children(self, folder: int, after: int, limit: int) -> list[Node]:
        """At most `limit` known children above an inode, ascending.

        Only a page that is not all in memory needs a read.
        """
        page = page_after(self._listing(folder), after, limit)
        found = [self._index.node(inode) for inode in page]
        if None in found:
            loaded = {
                node.inode: self._remember(node)
                for node in self._entries.page(folder, page[0] - 1, len(page))
            }
            found = [node or loaded.get(inode) for inode, node in zip(page, found, strict=True)]
        return [node for node in found if node is not None]

    def count_children(self, folder: int) -> int:
        """Known children."""
        listing = self._index.listing(folder)
        return self._entries.count_children(folder) if listing is None else len(listing)

    def by_media_id(self, media_id: int) -> Node | None:
        """The file of a gallery asset."""
        node = self._entries.by_media_id(media_id)
        return None if node is None else self.node(node.inode)

    def _listing(self, folder: int) -> Sequence[int]:
        listing = self._index.listing(folder)
        if listing is None:
            self._index.put_listing(folder, self._entries.child_inodes(folder))
            listing = self._index.listing(folder)
        return listing if listing is not None else ()

    def _remember(self, node: Node) -> Node:
        """Take what was read into memory, as it is to be shown."""
        node = self._settling.get(node.inode, node)
        if node.inode not in self._going:
            self._index.put(node)
        return node

    # --- places ---

    def path(self, inode: int) -> RemotePath:
        """Where the entry lies; NotFound when it, or a folder above, is unlinked."""
        names = [node.name for node in self._lineage(inode)]
        return b"/".join(reversed(names))

    def find(self, path: RemotePath) -> tuple[Node, list[bytes]]:
        """The deepest known entry on a path, and the names still to go."""
        node = self.node(ROOT)
        names = path.split(b"/") if path else []
        for at, name in enumerate(names):
            child = self.child(node.inode, name)
            if child is None:
                return node, names[at:]
            node = child
        return node, []

    def is_pinned(self, inode: int) -> bool:
        """The effective pin: its own, or that of a folder above (none is above what is unlinked)."""
        node = self.node(inode)
        while not node.pinned and node.parent is not None:
            node = self.node(node.parent)
        return node.pinned

    def scope(self, inode: int) -> Scope:
        """Which sync covers the entry."""
        return Scope.GALLERY if lies_in_gallery(self.path(inode), self._gallery) else Scope.FILES

    def walk(self, folder: int) -> Iterator[list[tuple[Node, RemotePath]]]:
        """All known entries below a folder, as they are shown, with their paths; memory is left as it is.

        A caller may pause between pages; what is moved meanwhile may come twice or not at all.
        """
        waiting = [(folder, self.path(folder))]
        while waiting:
            parent, path = waiting.pop()
            prefix = path + b"/" if path else b""
            after = 0
            while page := self._entries.page(parent, after, _PAGE):
                found = [(self._settling.get(node.inode, node), prefix + node.name) for node in page]
                waiting.extend((node.inode, its_path) for node, its_path in found if node.is_folder)
                yield found
                after = page[-1].inode

    def _lineage(self, inode: int) -> Iterator[Node]:
        """The entry and the folders above, but the root."""
        while inode != ROOT:
            node = self.node(inode)
            if node.parent is None:
                raise NotFound("it is unlinked")
            yield node
            inode = node.parent

    # --- the kernel's lookup counts ---

    def hold(self, inode: int) -> None:
        """The kernel was told of the inode once more."""
        self._held[inode] = self._held.get(inode, 0) + 1

    def release(self, inode: int, count: int) -> None:
        """The kernel forgot `count` of these."""
        left = self._held.get(inode, 0) - count
        if left > 0:
            self._held[inode] = left
        else:
            self._held.pop(inode, None)

    def is_held(self, inode: int) -> bool:
        """Whether the kernel may still ask for the inode."""
        return inode in self._held

    # --- the user's attributes ---

    def attribute(self, inode: int, name: bytes) -> bytes | None:
        """The value of one of the user's own attributes."""
        return self._attributes.value(inode, name) if name in self.attribute_names(inode) else None

    def attribute_names(self, inode: int) -> list[bytes]:
        """The user's own attributes, sorted; no read once warm."""
        names = self._attribute_names.get(inode)
        if names is None:
            names = self._attributes.names(inode)
            self._attribute_names[inode] = names
            if len(self._attribute_names) > _NAMED_CAPACITY:
                self._attribute_names.popitem(last=False)
        return list(names)

    # --- after a commit ---

    def _forget(self, inodes: Iterable[int]) -> None:
        """Let the next reader see what is committed."""
        for inode in inodes:
            self._index.drop(inode)
            self._attribute_names.pop(inode, None)
