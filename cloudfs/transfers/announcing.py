"""What the world hears of downloads: events, and the last error of each file."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cloudfs.events import EventLog
from cloudfs.model.enums import EventClass, Scope
from cloudfs.model.errors import CloudfsError, NotFound
from cloudfs.transfers.transfer import Transfer
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)


class Announcer:
    """uri_of: the canonical URI of an inode, None where it has none (its name is no UTF-8)."""

    def __init__(self, tree: Tree, events: EventLog, uri_of: Callable[[int], str | None]) -> None:
        self._tree = tree
        self._events = events
        self._uri_of = uri_of

    def origin(self, inode: int) -> tuple[EventClass, str | None]:
        """The class that a file's events belong to, and its URI. NotFound where it is unlinked."""
        is_gallery = self._tree.scope(inode) is Scope.GALLERY
        return EventClass.DOWNLOAD if is_gallery else EventClass.CLOUD_FILE_CACHE, self._uri_of(inode)

    def say(self, transfer: Transfer) -> None:
        """Publish where a transfer stands: that it runs, or its end."""
        self._events.publish(transfer.source, transfer.progress(), transfer.inode)

    async def note_error(self, inode: int, error: CloudfsError) -> None:
        """`user.cloudfs.error` shows this failure."""
        await self._set(inode, error.download_error.name, error.reason)

    async def note_success(self, inode: int) -> None:
        """`user.cloudfs.error` shows none; no commit where it showed none before."""
        await self._set(inode, None, None)

    async def _set(self, inode: int, name: str | None, reason: str | None) -> None:
        try:
            node = self._tree.node(inode)
            if (node.error, node.error_reason) != (name, reason):
                await self._tree.set_error(inode, name, reason)
        except NotFound:
            return  # the file is gone, and its error with it
        except CloudfsError as failure:
            log.warning("the error of inode %d can't be recorded: %s", inode, failure.reason)
