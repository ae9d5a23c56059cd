"""Sending files: one at a time an inode, from a snapshot, and recorded as the generation that was sent.

Invariants: an inode has one upload at most; nothing is sent with holes, or while bytes are being written
that no flush has committed; before a PUT its intent is committed, and as long as its answer is open no
other is sent.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from cloudfs.cache.content import Content
from cloudfs.cache.snapshots import Snapshot
from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.database.intents import Intent
from cloudfs.model.entry import Version
from cloudfs.model.errors import (
    AccessRefused,
    ChangedMeanwhile,
    CloudStorageFull,
    Incomplete,
    Locked,
    NameRefused,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    TryAgain,
)
from cloudfs.model.node import Node, Place
from cloudfs.transfers.pool import Transfers
from cloudfs.transfers.retry import Patience, patience_s
from cloudfs.transfers.settling import PUT, Settling
from cloudfs.transfers.transfer import TransferStatus
from cloudfs.tree.tree import Tree

log = logging.getLogger(__name__)

_ABORTS = 4  # uploads of one try that writes may cut short; the last one's snapshot is a copy

# After these the cloud has positively not taken what was sent.
_REFUSALS = (AccessRefused, CloudStorageFull, Locked, NameRefused, NotFound, TooManyRequests)


class _NotBegun(TryAgain):
    """Before the first byte went out, nothing was to be begun any more."""


@dataclass(slots=True)
class _Sending:
    """One upload. size and processed in bytes; has_slot: it does not only wait."""

    inode: int
    size: int
    may_begin: Callable[[], bool]
    processed: int = 0
    has_slot: bool = False
    began: float = field(default_factory=trio.current_time)

    def status(self) -> TransferStatus:
        elapsed = trio.current_time() - self.began
        return TransferStatus(
            self.inode, self.processed, self.size, self.processed / elapsed if elapsed > 0 else 0.0
        )


class Uploads:
    """Sends contents of the store to the cloud.

    timeout_s: `[cloud] timeout`; what is worth another try is tried again for most of it.
    """

    def __init__(
        self,
        tree: Tree,
        store: Store,
        cloud: Cloud,
        transfers: Transfers,
        settling: Settling,
        *,
        timeout_s: float,
    ) -> None:
        self._tree = tree
        self._store = store
        self._cloud = cloud
        self._transfers = transfers
        self._settling = settling
        self._patience_s = patience_s(timeout_s)
        self._slots = trio.CapacityLimiter(1)
        self._sendings: dict[int, _Sending] = {}

    def running(self) -> list[TransferStatus]:
        """The uploads under way; not those that wait for their turn or for another try."""
        return [sending.status() for sending in self._sendings.values() if sending.has_slot]

    def progress(self, inode: int) -> tuple[int, int] | None:
        """(processed, size) in bytes while the file is sent; else None."""
        sending = self._sendings.get(inode)
        return None if sending is None else (sending.processed, sending.size)

    def is_quiet(self, inode: int) -> bool:
        """Whether a file's content could be sent at this moment: it is not being written or sent."""
        return not (self._store.is_unflushed(inode) or self._settling.is_asked(inode))

    async def upload(
        self,
        inode: int,
        place: Place,
        base: Version | None,
        *,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Send a file's content to `place`, where the cloud has `base` (None: nothing).

        Returns whether the cloud has it; False where it is no longer as that says, is being written, or
        is being sent by somebody else: it is left to the next round. Tried again while that is worth it;
        an answer that was lost is settled before. What the cache lacks of it is fetched first.
        may_begin: asked when its turn has come, before each try, and before its first byte goes out; False
        leaves it to a later round.

        Raises PreconditionFailed where the cloud has something else, NotFound where the folder is not
        there, the cause why what lacks can't be fetched, and all that `Cloud.write` does. Cancelled, the
        file is as it was, or an intent tells what may have come through.
        """
        if self._settling.is_asked(inode):
            return False
        self._sendings[inode] = sending = _Sending(inode, self._tree.node(inode).size, may_begin)
        # Beside the requests others commit, or wait for each other's confirmations.
        self._slots.total_tokens = 4 * max(1, self._cloud.max_connections)
        try:
            async with self._settling.asking(inode):
                async for attempt in Patience(self._patience_s).attempts():
                    with attempt:
                        async with self._turn(sending):
                            return may_begin() and await self._try(sending, place, base)
        finally:
            del self._sendings[inode]
        raise AssertionError("the last attempt returns or raises")

    @asynccontextmanager
    async def _turn(self, sending: _Sending) -> AsyncIterator[None]:
        async with self._slots:
            sending.has_slot = True
            try:
                yield
            finally:
                sending.has_slot = False

    async def _try(self, sending: _Sending, place: Place, base: Version | None) -> bool:
        if await self._settling.settle(sending.inode):
            return True
        node = self._tree.node(sending.inode)
        if not self._may_send(node, place, base):
            return False
        content = await self._store.open(node.inode, node.content_version)
        try:
            for _ in range(_ABORTS):
                await self._fetch_rest(node, content)
                try:
                    return await self._send(sending, content, place, base)
                except ChangedMeanwhile:
                    await self._settling.refused(sending.inode)  # its body never came whole
                except _NotBegun:
                    await self._settling.refused(sending.inode)
                    return False
        except TryAgain:
            log.debug("inode %d is being written to", sending.inode)
        finally:
            await self._store.close(content)
        return False

    async def _fetch_rest(self, node: Node, content: Content) -> None:
        """Have all of the content here. Incomplete where what lacks is nowhere any more."""
        if content.is_whole:
            if node.size and content.file_id is None:
                raise Incomplete("the content is not here, and the cloud no longer has it")
            return
        base, known = content.version, node.version
        if base is None or known is None or not base.is_same_as(known):
            raise Incomplete("a part of the file was never fetched, and the cloud no longer has it")
        await self._transfers.need(content, 0, content.size)

    def _may_send(self, node: Node, place: Place, base: Version | None) -> bool:
        """Whether the entry still is what the upload was planned for."""
        is_there = node.cloud_place == place if base is not None else node.cloud_place is None
        return (
            node.parent is not None
            and is_there
            and (base is not None or (node.parent, node.name) == place)
            and (node.is_modified or node.is_unsent)
            and not self._store.is_unflushed(node.inode)
        )

    async def _send(self, sending: _Sending, content: Content, place: Place, base: Version | None) -> bool:
        # Read before the snapshot is taken: its bytes are of this generation, or of a newer one, and then
        # the entry stays modified.
        generation = self._tree.node(sending.inode).generation
        async with self._store.snapshot(content) as snapshot:
            node = self._tree.node(sending.inode)
            if not self._may_send(node, place, base):
                return False
            intent = Intent(
                inode=node.inode,
                operation=PUT,
                place=place,
                generation=generation,
                size=snapshot.size,
                sha256=snapshot.sha256,
                base=node.version,
            )
            try:
                await self._settling.begin(intent)
            except NotFound:
                return False  # it was removed in this moment
            version = await self._put(sending, intent, snapshot, node.mtime_ns)
        if version is not None:
            with trio.CancelScope(shield=True):
                await self._settling.uploaded(intent, version, content)
        return True

    async def _put(
        self, sending: _Sending, intent: Intent, snapshot: Snapshot, mtime_ns: int
    ) -> Version | None:
        """Send it once. None where it was found to have come through in an earlier try."""
        sending.size, sending.processed = snapshot.size, 0
        path = self._tree.place_path(intent.place)
        body = _Counted(snapshot.chunks(), sending)
        try:
            return await self._cloud.write(path, body, snapshot.size, intent.base, mtime_ns=mtime_ns)
        except PreconditionFailed:
            if await self._settling.settle(intent.inode):
                return None
            raise
        except _REFUSALS:
            await self._settling.refused(intent.inode)
            raise


class _Counted:
    """A body that tells how far it is, and does not begin once nothing is to be begun any more.

    No generator: one given up half-way would have to be closed.
    """

    def __init__(self, chunks: AsyncIterator[bytes], sending: _Sending) -> None:
        self._chunks = chunks
        self._sending = sending

    def __aiter__(self) -> _Counted:
        return self

    async def __anext__(self) -> bytes:
        if not self._sending.processed and not self._sending.may_begin():
            raise _NotBegun("it is left for later")
        chunk = await anext(self._chunks)
        self._sending.processed += len(chunk)
        return chunk
