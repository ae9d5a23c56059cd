"""The subscriptions of one connection: which events it gets, in order, at its own pace.

One task delivers all progress of a connection, so that a download has one end for all its subscriptions. A
client that does not read holds up this task and nothing else: the log then does without RUNNING for it.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import trio

from cloudfs.events import EventLog, EventSubscription, Skipped
from cloudfs.model import jsonrpc
from cloudfs.model.enums import EventClass, SyncState
from cloudfs.model.errors import TryAgain
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress

EventScope = Literal["own", "all"]
FOLLOWED = "Mount.event"  # what a follower of the whole journal gets
SUBSCRIPTIONS_MAX = 256  # of one connection, its followers of the journal counted
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


@dataclass(slots=True)
class _Started:
    """A file that this connection had downloaded. ends: how many transfers of it are still to end."""

    uri: str
    after: int
    ends: int = 1


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
        self._started: dict[EventClass, dict[int, _Started]] = {source: {} for source in EventClass}
        self._is_listening = False
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

    def started(self, source: EventClass, inode: int, uri: str, *, joined: bool) -> None:
        """This connection asked for a download just now; `own` subscriptions get it, with this URI.

        joined: a transfer was under way already.
        """
        self._listen()
        mine = self._started[source].setdefault(inode, _Started(uri, self._events.last_seq, ends=0))
        mine.uri = uri
        if not joined or not mine.ends:
            mine.ends += 1

    def _check_room(self) -> None:
        if len(self._open) + self._followers >= SUBSCRIPTIONS_MAX:
            raise TryAgain(f"a connection has {SUBSCRIPTIONS_MAX} subscriptions at most")

    def _listen(self) -> None:
        """Events from this step on reach `_deliver`."""
        if not self._is_listening:
            self._is_listening = True
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
            if isinstance(item, Event):
                self._note_end(item)

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
        mine = self._mine(subscription.source, event)
        if subscription.scope == "own":
            return _progress_line(subscription, event.seq, progress, mine.uri) if mine is not None else None
        if mine is None and not (event.source is subscription.source and self._is_readable(event)):
            return None
        return _progress_line(subscription, event.seq, progress, progress.uri)

    def _mine(self, source: EventClass, event: Event) -> _Started | None:
        """The start by this connection and class that the event belongs to, whichever class it counts as."""
        mine = self._started[source].get(event.inode) if event.inode is not None else None
        return mine if mine is not None and event.seq > mine.after else None

    def _is_readable(self, event: Event) -> bool:
        return event.inode is not None and self._may_read(event.inode)

    def _note_end(self, event: Event) -> None:
        if event.inode is None or not event.progress.state.is_end:
            return
        for source, started in self._started.items():
            mine = self._mine(source, event)
            if mine is not None:
                mine.ends -= 1
                if mine.ends == 0:
                    del started[event.inode]


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
