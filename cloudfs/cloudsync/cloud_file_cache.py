"""CloudFileCache and Download of the reference: content on demand, by URI or inode.

Both classes are this one: they share one transfer a file, and differ only in which URIs they take.
"""

from __future__ import annotations

from collections.abc import Callable

from cloudfs.cache.store import Store
from cloudfs.cloudsync.pins import Pins
from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import Listing, Priority
from cloudfs.model.errors import InvalidUri, NotFound, TryAgain
from cloudfs.model.node import Node
from cloudfs.model.uri import MediaId, Uris, media_uri
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.pool import Transfers
from cloudfs.tree.tree import Tree

# Told of the deepest known entry of a path before it is said that nothing is there, or a folder is listed;
# raises where the caller may not search the folders down to it.
MaySearch = Callable[[int], None]


Place = RemotePath | MediaId


def anybody(folder: int) -> None:
    """Every folder may be searched."""


class CloudFileCache:
    """Starts, stops and drops what is cached of files, and pins them.

    asked: told the inode and the process that has a file's content fetched; never blocks.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        transfers: Transfers,
        *,
        listings: Listings,
        pins: Pins,
        uris: Uris,
        asked: Callable[[int, int], None],
    ) -> None:
        self._tree = tree
        self._store = store
        self._transfers = transfers
        self._listings = listings
        self._pins = pins
        self._uris = uris
        self._asked = asked

    # --- URIs ---

    def parse(self, uri: str) -> Place:
        """What a URI names, without looking whether it is there. Raises InvalidUri, NotFound."""
        return self._uris.parse(uri)

    def parse_path(self, path: str) -> Place:
        """The same for an absolute path of this machine. Raises InvalidUri."""
        return self._uris.inside(path)

    def find(self, place: Place, may_search: MaySearch = anybody) -> int | None:
        """The inode, from what is known; None: `resolve` has to list a folder.

        Raises NotFound, and what `may_search` raises.
        """
        if isinstance(place, MediaId):
            return self._asset(place)
        node, rest = self._tree.find(place)
        if not rest:
            return node.inode
        may_search(node.inode)
        if not node.is_folder or node.listing is Listing.WHOLE:
            raise NotFound("there is no such file")
        return None

    async def resolve(self, place: Place, may_search: MaySearch = anybody) -> int:
        """The inode; folders on the way that were never listed are listed.

        Raises NotFound, what `may_search` raises, and what kept the cloud from answering.
        """
        while (inode := self.find(place, may_search)) is None:
            assert isinstance(place, bytes)
            folder, _ = self._tree.find(place)
            await self._listings.ensure(folder.inode)
        return inode

    def uri_of(self, inode: int) -> str | None:
        """The canonical URI; None for a name that is no UTF-8. NotFound where it is unlinked."""
        return self._uris.canonical(self._tree.path(inode))

    def canonical(self, path: RemotePath) -> str | None:
        """The canonical URI of a path inside the mount."""
        return self._uris.canonical(path)

    def media_uri(self, inode: int) -> str | None:
        """The URI as a gallery asset; None for what is none. NotFound."""
        media_id = self._tree.node(inode).media_id
        return None if media_id is None else media_uri(media_id)

    def _asset(self, media_id: MediaId) -> int:
        node = self._tree.by_media_id(media_id.value)
        if node is None or node.parent is None:
            raise NotFound("no gallery asset has this ID")
        return node.inode

    # --- content ---

    def start(self, inode: int, pid: int) -> int:
        """Have the whole content come; joins what is under way, and completes at once where it is here.

        pid: who asks for it. Returns the number of the transfer.
        Raises InvalidUri for a folder, LocalStorageFull where it can't fit whatever is evicted.
        """
        node = self._file(inode)
        self._transfers.check_fits(inode)
        if not self._store.is_whole(inode, node.size):
            self._asked(inode, pid)
        return self._transfers.start(inode, Priority.ASKED)

    async def stop(self, inode: int, *, need_clean: bool) -> None:
        """End the download, if one runs. need_clean: partial content goes too; whole content, and what the
        cloud does not have yet, never does.

        Raises InvalidUri for a folder.
        """
        self._file(inode)
        await self._transfers.stop(inode, keep_partial=not need_clean or self._store.is_dirty(inode))

    async def clean_cache(self, inode: int) -> None:
        """Drop the content and keep the placeholder; programs that have it open go on reading.

        Raises InvalidUri for a folder; TryAgain, with nothing lost, for a file that is pinned, that the cloud
        does not have as it is here, or that a program has open for writing.
        """
        node = self._file(inode)
        if self._tree.is_pinned(inode):
            raise TryAgain("the file is pinned, itself or by a folder above, which `cloudfs why` names")
        if node.is_unsent or node.is_modified or self._store.is_dirty(inode):
            raise TryAgain("the cloud does not have this content yet")
        if self._store.is_written(inode):
            raise TryAgain("a program has the file open for writing")
        # An open file is fetched further for its readers alone; a transfer would bring back what goes.
        await self._transfers.stop(inode, keep_partial=True)
        await self._store.discard(inode)

    async def set_pin(self, inode: int, pinned: bool) -> None:
        """Set or clear the entry's own pin; what is pinned begins to come, and all below a folder.

        Returns once the pin is durable. NotFound.
        """
        await self._tree.set_pin(inode, pinned)
        if pinned:
            self._pins.hydrate(inode)

    def _file(self, inode: int) -> Node:
        node = self._tree.node(inode)
        if node.is_folder:
            raise InvalidUri("it is a folder")
        return node
