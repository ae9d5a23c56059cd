"""A file that was replaced in the cloud while it was to be fetched: taken over in time, or not at all."""

from __future__ import annotations

from cloudfs.cache.store import Store
from cloudfs.model.errors import CloudfsError, ContentNotFound, NotFound, VersionChanged
from cloudfs.transfers.download import Download
from cloudfs.transfers.listings import Listings

_ADOPTIONS = 3  # a file that changes faster than it can be asked for is an error in the end


class Versions:
    """Takes downloads over to the version that the cloud has now."""

    def __init__(self, store: Store, listings: Listings) -> None:
        self._store = store
        self._listings = listings

    async def adopt(self, download: Download) -> CloudfsError | None:
        """Go over to the cloud's present version, if nobody has seen a byte of the old one.

        Returns None once that is done, else why it can't be: a VersionChanged where it is too late. The
        download is paused meanwhile, and its flights, which are of the old version, are cancelled.
        """
        content, past = download.content, download.past
        too_late = VersionChanged("the file was replaced in the cloud while it came")
        if not self._store.is_untouched(content) or past.adoptions == _ADOPTIONS:
            return too_late
        past.adoptions += 1
        download.is_paused = True
        download.cancel_all()
        try:
            node = await self._listings.adopt(content.inode)
            if node.version is None or not self._store.is_untouched(content):
                return too_late
            content.rebase(node.version)
            if download.transfer is not None:
                download.transfer.size = content.size
                self._store.waive(content)
                await self._store.admit(content, content.size)
            download.wake_all()
        except NotFound:
            return ContentNotFound("the cloud no longer has the file")
        except CloudfsError as error:
            return error
        finally:
            download.is_paused = False
        return None
