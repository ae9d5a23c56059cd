"""What follows once nothing brings a content any more: its file may be asked for again, or go at last."""

from __future__ import annotations

import logging

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.model.errors import CloudfsError
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.nameless import let_go
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)


class Closing:
    """Takes the contents of downloads that are over."""

    def __init__(self, tree: Tree, store: Store, listings: Listings) -> None:
        self._tree = tree
        self._store = store
        self._listings = listings

    async def close(self, content: Content) -> None:
        """One user less of the content. What can't be dropped then is, by the next mount."""
        await self._store.close(content)
        if content.is_stale:
            # Only now, so that a file that nobody has open keeps its inode under its new version.
            self._listings.begin_refresh(content.inode)
        if self._tree.is_sending(content.inode):
            return  # its end settles what becomes of it
        try:
            await let_go(self._tree, self._store, content.inode)
        except CloudfsError as error:
            log.warning("inode %d, which has no name, stays for now: %s", content.inode, error.reason)
