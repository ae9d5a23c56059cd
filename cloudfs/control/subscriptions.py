"""The subscriptions of one connection: which events it gets, in order, at its own pace.

One task delivers all progress of a connection, so that a download has one end for all its subscriptions. A
client that does not read holds up this task and nothing else: the log then does without RUNNING for it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import trio

from cloudfs.control.claims import Claim, Claims
from cloudfs.events import EventLog, EventSubscription, Skipped
from cloudfs.model import jsonrpc
from cloudfs.model.enums import EventClass, SyncState
from cloudfs.model.errors import TryAgain
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress

EventScope = Literal["own", "all"]
FOLLOWED = "Mount.event"  # what a follower of the whole journal gets
SUBSCRIPTIONS_MAX = 256  # of one connection, its followers of the journal counted
TOLD_S = 2.0  # how long a start waits for what came before it to be told
FOLLOWERS_MAX = 8  # of these: each holds a page of events of its own while the client does not read

_SYNC_CLASSES = (EventClass.FILE_SYNC, EventClass.GALLERY_SYNC)
_AT_FIRST = SyncProgress(SyncState.COMPLETED)


@dataclass(frozen=True, slots=True)
class _Subscription:
    """after: the last event that it does not get (any more). ready: what goes before it is on its way."""

    number: int
    source: EventClass
    scope: EventScope
    after: int
    ready: trio.Event


class Subscriptions:
    """What `on`, `off`, `start` and Mount.events change, and the tasks that deliver."""

    def __init__(
        self,
        events: EventLog,
        may_read: Callable[[int], bool],
        send: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """may_read: whether the connection's caller may read a file. send: a line to the client; it waits
        as long as the client does not read."""
        self._events = events
        self._may_read = may_read
        self._send = send
        self._numbers = count(1)
        self._open: dict[int, _Subscription] = {}
        self._claims = Claims(events)
        self._is_listening = False
        self._told = 0  # the last event that `_deliver` is done with
        self._went_on = trio.Event()
        self._followers = 0
        self._new_streams, self._streams = trio.open_memory_channel[Callable[[], Awaitable[None]]](math.inf)

    async def run(self) -> None:
        """Own the deliveries until cancelled. Raises what `send` raises."""
        async with trio.open_nursery() as nursery:
            async for stream in self._streams:
                nursery.start_soon(stream)

    def on(self, source: EventClass, scope: EventScope, answered: trio.Event) -> int:
        """A new subscription; nothing of it goes out before `answered`. TryAgain where there are too many.

        Of a sync class the current event comes first, with the number that it had.
        """
        self._check_room()
        self._listen()
        number = next(self._numbers)
        if source in _SYNC_CLASSES:
            subscription = _Subscription(number, source, scope, self._events.last_seq, trio.Event())
            current = self._events.latest(source)
            self._new_streams.send_nowait(partial(self._repeat, subscription, current, answered))
        else:
            subscription = _Subscription(number, source, scope, self._events.last_seq, answered)
        self._open[number] = subscription
        return number

    def off(self, source: EventClass, number: int | None) -> None:
        """End one subscription of a class, or all; one that is not there is no error."""
        for subscription in list(self._open.values()):
            if subscription.source is source and number in (None, subscription.number):
                del self._open[subscription.number]

    def follow(self, since: int | None, answered: trio.Event) -> int:
        """Every event of the mount above `since` (None: from now on), as long as the connection lasts.

        TryAgain where there are too many.
        """
        self._check_room()
        if self._followers == FOLLOWERS_MAX:
            raise TryAgain(f"a connection follows the journal {FOLLOWERS_MAX} times at most")
        self._followers += 1
        number = next(self._numbers)
        reader = self._events.subscribe(since)
        self._new_streams.send_nowait(partial(self._follow, number, reader, answered))
        return number

    def starting(self, source: EventClass, inode: int, uri: str) -> AbstractContextManager[Claim]:
        """The download that is started, or joined, in here without a wait: `own` subscriptions get it, with
        this URI. The claim is to be given the transfer's number."""
        self._listen()
        return self._claims.starting(source, inode, uri)

    async def told(self, source: EventClass) -> None:
        """Return once the client was told all that the syncs of a class said until now.

        For what comes after the answer to a start it takes for that sync's own. Neither a client that does
        not read, nor a journal that can't be written, holds up a start for long.
        """
        with trio.move_on_after(TOLD_S):
            while self._is_listening and self._lags(source):
                await self._went_on.wait()

    def _lags(self, source: EventClass) -> bool:
        latest = self._events.latest(source)
        return self._events.is_on_its_way(source) or (latest is not None and latest.seq > self._told)

    def _check_room(self) -> None:
        if len(self._open) + self._followers >= SUBSCRIPTIONS_MAX:
            raise TryAgain(f"a connection has {SUBSCRIPTIONS_MAX} subscriptions at most")

    def _listen(self) -> None:
        """Events from this step on reach `_deliver`."""
        if not self._is_listening:
            self._is_listening = True
            self._told = self._events.last_seq
            self._new_streams.send_nowait(partial(self._deliver, self._events.subscribe()))

    # --- the streams ---

    async def _repeat(self, subscription: _Subscription, current: Event | None, answered: trio.Event) -> None:
        """`on`'s first event."""
        await answered.wait()
        progress = current.progress if current is not None else _AT_FIRST
        if subscription.number in self._open:
            await self._send(_progress_line(subscription, current.seq if current else 0, progress))
        subscription.ready.set()

    async def _deliver(self, reader: EventSubscription) -> None:
        async for item in reader:
            for subscription in list(self._open.values()):
                line = self._line(subscription, item)
                if line is None:
                    continue
                await subscription.ready.wait()
                if subscription.number in self._open:
                    await self._send(line)
            if isinstance(item, Event) and item.progress.state.is_end:
                self._claims.note_end(item)
            self._told = item.last if isinstance(item, Skipped) else item.seq
            self._went_on.set()
            self._went_on = trio.Event()

    async def _follow(self, number: int, reader: EventSubscription, answered: trio.Event) -> None:
        await answered.wait()
        async for item in reader:
            await self._send(jsonrpc.encode_notification(FOLLOWED, {"subscription": number, **_told(item)}))

    # --- who gets what ---

    def _line(self, subscription: _Subscription, item: Event | Skipped) -> bytes | None:
        """What the subscription gets of an item, or None."""
        if isinstance(item, Skipped):
            if item.last <= subscription.after:
                return None
            return _line(subscription, {"skipped": (max(item.first, subscription.after + 1), item.last)})
        if item.seq <= subscription.after:
            return None
        if isinstance(item.progress, DownloadProgress):
            return self._download_line(subscription, item, item.progress)
        if item.source is not subscription.source:
            return None
        return _progress_line(subscription, item.seq, item.progress)

    def _download_line(
        self, subscription: _Subscription, event: Event, progress: DownloadProgress
    ) -> bytes | None:
        mine = self._claims.uri(subscription.source, event)
        if subscription.scope == "own":
            return _progress_line(subscription, event.seq, progress, mine) if mine is not None else None
        if mine is None and not (event.source is subscription.source and self._is_readable(event)):
            return None
        return _progress_line(subscription, event.seq, progress, progress.uri)

    def _is_readable(self, event: Event) -> bool:
        return event.inode is not None and self._may_read(event.inode)


def _progress_line(
    subscription: _Subscription, seq: int, progress: SyncProgress | DownloadProgress, uri: str | None = None
) -> bytes:
    shown = _shown(progress) | ({"uri": uri} if isinstance(progress, DownloadProgress) else {})
    return _line(subscription, {"seq": seq, "progress": shown})


def _line(subscription: _Subscription, params: dict[str, Any]) -> bytes:
    method = f"{subscription.source.value}.progress"
    return jsonrpc.encode_notification(method, {"subscription": subscription.number, **params})


def _told(item: Event | Skipped) -> dict[str, Any]:
    """A line of `events --json` (INTERFACE section 11)."""
    if isinstance(item, Skipped):
        return {"skipped": (item.first, item.last)}
    return {
        "seq": item.seq,
        "time": item.time_ms,
        "class": item.source.value,
        "progress": _shown(item.progress),
    }


def _shown(progress: SyncProgress | DownloadProgress) -> dict[str, Any]:
    """SyncProgress and DownloadProgress as the reference has them, enums as numbers."""
    if isinstance(progress, SyncProgress):
        return {"state": int(progress.state), "error": int(progress.error)}
    return {
        "state": int(progress.state),
        "processed": progress.processed,
        "size": progress.size,
        "uri": progress.uri,
        "error": int(progress.error),
    }
