"""Carrying one range from the cloud into the cache: resumed at the byte, checked, handed out as it comes."""

from __future__ import annotations

import trio

from cloudfs.cache.content import Content as CachedContent
from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud, Content, Lane
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import ContentNotFound, NetworkUnavailable, NotFound, VersionChanged
from cloudfs.transfers.announcing import Announcer
from cloudfs.transfers.dispatcher import Dispatcher
from cloudfs.transfers.download import Download, Flying
from cloudfs.transfers.listings import Listings
from cloudfs.tree.tree import Tree


class Carrier:
    """Does the I/O of flights; the dispatcher hears of each connection that is free again."""

    def __init__(
        self,
        tree: Tree,
        store: Store,
        cloud: Cloud,
        *,
        listings: Listings,
        announcer: Announcer,
        dispatcher: Dispatcher,
    ) -> None:
        self._tree = tree
        self._store = store
        self._cloud = cloud
        self._listings = listings
        self._announcer = announcer
        self._dispatcher = dispatcher

    async def carry(self, download: Download, flight: Flying) -> None:
        """Bring the flight's range, trying again while its patience lasts.

        Returns early where nobody wants it any more. Raises the last CloudfsError; what came before it is
        held, and `flight.position` says how far that is.
        """
        async for attempt in flight.patience.attempts():
            with attempt:
                flight.on_air = True
                try:
                    await self._try(download, flight)
                finally:
                    flight.on_air = False
                    self._dispatcher.wake()

    async def _try(self, download: Download, flight: Flying) -> None:
        path = self._path(download.content.inode)
        try:
            await self._ask(download, flight, path)
        except (ContentNotFound, NotFound):
            now = await self._moved_path(download.content.inode)
            if now == path:
                raise
            await self._ask(download, flight, now)  # a move overtook the request (DESIGN 8.9)

    async def _ask(self, download: Download, flight: Flying, path: RemotePath) -> None:
        content = download.content
        began, first, stop = trio.current_time(), flight.position, flight.stop
        if first >= stop or content.version is None:
            return  # it was cut short while it paused, or made anew
        lane = Lane.DEMAND if flight.urgent else Lane.BULK
        request = self._cloud.read(path, self._version(content), first, stop, lane)
        async with request as body:
            if (body.start, body.stop) != (first, stop):
                if download.stream in download.flights and download.stream is not flight:
                    return  # another flight brings the whole file already
                download.become_serial(flight)
            await self._receive(download, flight, body)
        if flight.stop == stop and flight.position == stop and flight.patience.last is None:
            self._dispatcher.landed(stop - first, trio.current_time() - began)

    def _version(self, content: CachedContent) -> Version:
        """The version to ask for: as the tree has it, which forgets the tag of what was moved."""
        assert content.version is not None
        known = self._tree.node(content.inode).version
        return known if known is not None and known.is_same_as(content.version) else content.version

    async def _receive(self, download: Download, flight: Flying, body: Content) -> None:
        async for chunk in body.chunks():
            if flight.scope.cancel_called:
                return
            await self._take(download, flight, chunk[: max(0, flight.stop - flight.position)])
            if flight.position >= flight.stop or not download.is_wanted:
                return
        if flight.position < flight.stop:
            raise NetworkUnavailable("the body ended early")

    async def _take(self, download: Download, flight: Flying, chunk: bytes) -> None:
        """Write, then hand out. A stream of the whole file passes over what is held."""
        content = download.content
        start, stop = flight.position, flight.position + len(chunk)
        if not content.holds(start, stop):
            await self._store.write_at(content, start, chunk)
            flight.patience.progressed()
        flight.came(len(chunk))
        if not download.has_come:
            self._dispatcher.wake()  # now others may fly beside it
        download.arrived(start, stop)
        transfer = download.transfer
        if transfer is not None:
            transfer.advance(content.held_bytes)
            if transfer.has_news():
                self._announcer.say(transfer)

    async def _moved_path(self, inode: int) -> RemotePath:
        """The path once all moves are over that the cloud may have done already."""
        try:
            await self._listings.until_moved(inode)
        except NotFound as error:
            raise VersionChanged("the file is gone") from error
        return self._path(inode)

    def _path(self, inode: int) -> RemotePath:
        """The path of this moment, made anew for each request."""
        try:
            return self._tree.remote_path(inode)
        except NotFound as error:
            raise VersionChanged("the cloud has no such file any more") from error
