"""All downloads of one mount: who joins whom, how many at once, and how each ends.

Invariants: an inode has one transfer at most, a content one download at most; flights are started by the
dispatcher alone, in its nursery; a download without waiter, flight and transfer is closed.
What only readers ask for has no transfer: it makes no events, but `progress` shows it.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from contextlib import suppress
from itertools import count

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.events import EventLog, Topic
from cloudfs.model.enums import Priority
from cloudfs.model.errors import (
    CloudfsError,
    ContentNotFound,
    LocalStorageFull,
    NotFound,
    Stopped,
    TryAgain,
    VersionChanged,
)
from cloudfs.transfers.announcing import Announcer
from cloudfs.transfers.carrying import Carrier
from cloudfs.transfers.choosing import Queue
from cloudfs.transfers.closing import Closing
from cloudfs.transfers.dispatcher import Dispatcher
from cloudfs.transfers.download import Download, Flying
from cloudfs.transfers.downloads import Downloads
from cloudfs.transfers.listings import Listings
from cloudfs.transfers.read_ahead import LARGEST_WINDOW
from cloudfs.transfers.transfer import Step, Transfer, TransferState, TransferStatus
from cloudfs.transfers.underway import Underway
from cloudfs.transfers.versions import Versions
from cloudfs.tree.changes import TreeChange
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

_SHARE_OF_PATIENCE = 0.9  # the cause comes before the reader's own deadline strikes


class Transfers:
    """Brings content from the cloud into the store.

    news: what the tree tells of its changes. uri_of: the canonical URI of an inode, or None.
    timeout_s: `[cloud] timeout`, how long a fetch may bring nothing before it fails.
    max_waiters: readers that may wait at the same time (DESIGN 8.15).
    fetched: told of an inode how many bytes came for whom, once a download is over; never blocks.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        cloud: Cloud,
        listings: Listings,
        events: EventLog,
        *,
        news: Topic[TreeChange],
        uri_of: Callable[[int], str | None],
        timeout_s: float,
        max_waiters: int = 936,
        fetched: Callable[[int, int, Priority], None] = lambda inode, count, purpose: None,
    ) -> None:
        self._tree = tree
        self._store = store
        self._listings = listings
        self._announcer = Announcer(tree, events, uri_of)
        self._max_waiters = max_waiters
        self._downloads = Downloads(store, cloud, fetched)
        self._queue = Queue()
        self._dispatcher = Dispatcher(
            cloud,
            self._downloads,
            self._queue,
            patience_s=timeout_s * _SHARE_OF_PATIENCE,
            begin=self._begin,
            fly=self._fly,
            land=self._land,
            close=Closing(tree, store, listings).close,
        )
        self._carrier = Carrier(
            tree, store, cloud, listings=listings, announcer=self._announcer, dispatcher=self._dispatcher
        )
        self._versions = Versions(store, listings)
        self._transfers = Underway(news, self._fail)
        self._order = count()
        self._waiters = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dispatch until cancelled; what is under way then is resumed by the next start of each file."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._transfers.run)
            await self._dispatcher.run(task_status=task_status)

    # --- what callers ask for ---

    def start(self, inode: int, priority: Priority) -> int:
        """See to it that the whole file comes; joins what is under way. Never waits. NotFound.

        Returns the transfer's number, which no other one of this mount has. A file of which nothing lacks
        completes at once: to who asked for it by the API that is an event, to an open or a pin it is nothing.
        """
        transfer = self._transfers.get(inode)
        if transfer is not None:
            self._queue.hasten(transfer, priority)
            return transfer.order
        node = self._tree.node(inode)
        source, uri = self._announcer.origin(inode)
        transfer = Transfer(
            inode, size=node.size, source=source, uri=uri, priority=priority, order=next(self._order)
        )
        if self._store.is_whole(inode, node.size):
            if priority is Priority.ASKED:
                transfer.take(Step.COMPLETE)
                self._announcer.say(transfer)
            return transfer.order
        self._transfers.add(transfer)
        self._queue.put(transfer)
        self._dispatcher.wake()
        return transfer.order

    async def hydrate(self, inode: int, priority: Priority) -> None:
        """`start`, and wait for the end. Raises the cause of a failure, or Stopped.

        Cancelled, it ends the transfer, and keeps what came, unless somebody more urgent wants it too.
        """
        self.start(inode, priority)
        transfer = self._transfers.get(inode)
        if transfer is None:
            return
        try:
            await transfer.ended.wait()
        finally:
            is_mine = not transfer.has_ended and transfer.priority is priority
            if is_mine and self._transfers.get(inode) is transfer and not transfer.is_finishing:
                self._end(transfer, Step.STOP)
        if transfer.error is not None:
            raise copy.copy(transfer.error) from transfer.error
        if transfer.state is TransferState.STOPPED:
            raise Stopped("the download was stopped")

    async def stop(self, inode: int, *, keep_partial: bool) -> None:
        """End the file's transfer, if it has one, with STOPPED; drop partial content unless it is kept.

        Programs that have the file open go on reading: what they ask for is fetched without a transfer.
        Neither whole content nor what programs wrote is dropped. Raises LocalStorageFull, LocalIOError where
        the cache can't drop what it should.
        """
        transfer = self._transfers.get(inode)
        if transfer is not None and not transfer.is_finishing:
            self._end(transfer, Step.STOP)
        if keep_partial or (transfer is not None and transfer.is_finishing):
            return
        size = self._tree.node(inode).size
        if 0 < self._store.held_bytes(inode) < size and not self._store.is_dirty(inode):
            with trio.CancelScope(shield=True):
                await self._store.discard(inode)

    async def need(self, content: Content, start: int, stop: int) -> None:
        """Return once the bytes [start, stop), as far as the file reaches, are held.

        To be read in the same step, before anybody can drop them again. For users of the content only.
        Raises the cause why they don't come, TryAgain where too many wait already. Cancelled, it leaves
        nothing behind but what others want too.
        """
        self.note_read(content, start, stop)
        while not content.holds(start, stop):
            self._refuse(content, start, stop)
            await self._wait(self._downloads.of(content), start, min(stop, content.size))

    def note_read(self, content: Content, start: int, stop: int) -> None:
        """A program reads held bytes: under `on_open = "ranges"` read-ahead goes on from there."""
        if content.is_whole or content.is_stale:
            return
        streams = self._downloads.past_of(content).streams
        streams.note_read(start, stop, min(LARGEST_WINDOW, self._store.window(content) // 4))
        windows = streams.windows(content.size)
        if self._downloads.get(content) is None and windows and content.missing(*windows[0]):
            self._downloads.of(content)
            self._dispatcher.wake()

    def note_edit(self, content: Content) -> None:
        """A program changed a content: what it wrote or cut off is fetched and waited for no more."""
        download = self._downloads.get(content)
        if download is not None:
            download.note_edit()
            self._dispatcher.wake()

    def cause(self, content: Content) -> CloudfsError | None:
        """What fetching this content is held up by at the moment, or met a moment ago."""
        return self._downloads.cause(content)

    def check_fits(self, inode: int) -> None:
        """Raise LocalStorageFull where the rest of a file can't fit, whatever is evicted. NotFound."""
        if inode not in self._transfers:
            self._store.check_fits(inode, self._tree.node(inode).size)

    def progress(self, inode: int) -> tuple[int, int] | None:
        """(processed, size) in bytes while the file is fetched, for a transfer or for readers; else None."""
        transfer = self._transfers.get(inode)
        if transfer is None:
            return self._downloads.progress(inode)
        return max(transfer.processed, self._store.held_bytes(inode)), transfer.size

    def running(self) -> list[TransferStatus]:
        """The transfers that were begun."""
        return self._transfers.running()

    # --- readers ---

    def _refuse(self, content: Content, start: int, stop: int) -> None:
        """Raise where waiting makes no sense; begin a failed transfer anew where it does."""
        self._refuse_stale(content)
        past = self._downloads.past_of(content)
        failure = past.failure(start, stop)
        if failure is not None:
            raise copy.copy(failure) from failure
        if self._waiters >= self._max_waiters:
            raise TryAgain(f"{self._waiters} reads wait for the cloud already")
        if past.begins_again and not content.detached:
            past.begins_again = False
            with suppress(NotFound):  # without a name it has no transfer: what is read is fetched by itself
                self.start(content.inode, Priority.OPENED)

    def _refuse_stale(self, content: Content) -> None:
        """What lacks of a replaced version can't come; the tree may still have to hear of the new one."""
        if content.version is None:
            raise VersionChanged("the cloud no longer has what lacks of this file")
        if content.is_stale:
            self._listings.begin_refresh(content.inode)
            raise VersionChanged("the file was replaced in the cloud before this part of it came")

    async def _wait(self, download: Download, start: int, stop: int) -> None:
        demand = download.wait_for(start, stop)
        self._waiters += 1
        self._dispatcher.wake()
        try:
            await demand.done.wait()
        finally:
            self._waiters -= 1
            download.leave(demand)
            self._dispatcher.wake()
        if demand.error is not None:
            raise copy.copy(demand.error) from demand.error

    async def _fly(self, download: Download, flight: Flying) -> None:
        """One flight, from its request to what follows from its end."""
        error: CloudfsError | None = None
        try:
            with flight.scope:
                await self._carrier.carry(download, flight)
        except CloudfsError as failure:
            error = failure
        except Exception:
            log.exception("a fetch of inode %d failed by a bug", download.content.inode)
            error = CloudfsError("a bug; the log has its traceback")
        download.flights.remove(flight)
        download.settling += 1
        self._dispatcher.wake()
        try:
            if error is not None:
                await self._met(download, flight, error)
            elif download.content.is_whole or flight.position == flight.stop:
                await self._landed(download)
        finally:
            download.settling -= 1
            self._dispatcher.wake()

    async def _land(self, download: Download) -> None:
        """A program's writes made a content whole that was being fetched; `settling` counts this task."""
        try:
            await self._landed(download)
        finally:
            download.settling -= 1
            self._dispatcher.wake()

    # --- beginning ---

    async def _begin(self, transfer: Transfer) -> None:
        try:
            await self._open(transfer)
        except CloudfsError as error:
            await self._fail(transfer, error)
        except Exception:
            log.exception("the download of inode %d did not begin, by a bug", transfer.inode)
            await self._fail(transfer, CloudfsError("a bug; the log has its traceback"))
        finally:
            self._dispatcher.begun()

    async def _open(self, transfer: Transfer) -> None:
        """From queued to running. An open whose file does not fit is read as under `ranges`, silently."""
        node = self._tree.node(transfer.inode)
        content = await self._store.open(transfer.inode, node.content_version)
        try:
            if transfer.has_ended:
                return
            if not content.is_whole:
                self._refuse_stale(content)
            past = self._downloads.past_of(content)
            past.failures.clear()
            past.begins_again = False
            if not content.is_whole and not await self._admit(transfer, content):
                return
            transfer.begin(content.size, content.held_bytes)
            download = self._downloads.of(content)
            download.transfer = transfer
            self._announcer.say(transfer)
            if content.is_whole:
                await self._landed(download)
        finally:
            await self._store.close(content)

    async def _admit(self, transfer: Transfer, content: Content) -> bool:
        """Whether there is room, and the transfer still wanted once there is."""
        try:
            await self._store.admit(content, content.size - content.held_bytes)
        except LocalStorageFull as error:
            if transfer.has_ended:
                return False
            if transfer.priority is not Priority.OPENED:
                raise
            transfer.take(Step.FAIL, error)
            self._transfers.drop(transfer)
            return False
        if transfer.has_ended or content.is_stale:
            self._store.waive(content)
            self._refuse_stale(content)
            return False
        return True

    # --- ending ---

    def _end(self, transfer: Transfer, step: Step, error: CloudfsError | None = None) -> None:
        """Its one end: said at once, and what it alone wanted is cancelled."""
        transfer.take(step, error)
        self._queue.remove(transfer)
        self._transfers.drop(transfer)
        for download in self._downloads:
            if download.transfer is transfer:
                download.transfer, download.purpose = None, transfer.priority
                download.cancel_unwanted()
                self._store.waive(download.content)
                download.past.begins_again = step is Step.FAIL and not isinstance(error, LocalStorageFull)
        self._announcer.say(transfer)
        self._dispatcher.wake()

    async def _fail(self, transfer: Transfer, error: CloudfsError) -> None:
        if not transfer.has_ended:
            self._end(transfer, Step.FAIL, error)
        await self._announcer.note_error(transfer.inode, error)

    async def _landed(self, download: Download) -> None:
        """A range came; where it was the last one the file is made safe and the transfer completes."""
        transfer, content = download.transfer, download.content
        if transfer is not None and content.is_whole and not transfer.is_finishing:
            transfer.is_finishing = True
            try:
                await self._store.settle(content)
            except CloudfsError as error:
                await self._fail(transfer, error)
                return
            self._end(transfer, Step.COMPLETE)
        await self._announcer.note_success(content.inode)

    async def _met(self, download: Download, flight: Flying, error: CloudfsError) -> None:
        """A flight failed, past its patience."""
        content = download.content
        if isinstance(error, VersionChanged):
            if content.is_stale or download.is_paused:
                return  # another flight met it first
            hindrance = await self._versions.adopt(download)
            if hindrance is None:
                await self._landed(download)  # where the new version is empty nothing else ends it
                return
            error = hindrance
        if isinstance(error, VersionChanged):
            content.is_stale = True
            download.cancel_all()
            download.fail_demands(0, content.size, error)
        download.met(flight, error)
        if isinstance(error, ContentNotFound):
            self._listings.begin_parent(content.inode)
        transfer = download.transfer
        if transfer is not None and not transfer.is_finishing:
            await self._fail(transfer, error)
        else:
            await self._announcer.note_error(content.inode, error)
