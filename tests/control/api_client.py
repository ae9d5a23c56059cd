"""A client of the API and what it hears: the whole journal, and the events of what it started itself."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import trio

from cloudfs.control.subscriptions import Subscriptions
from cloudfs.model.enums import EventClass
from cloudfs.model.progress import DownloadProgress, Event, SyncProgress
from tests.control.desk import CallFailed, Desk
from tests.control.event_grammar import Grammar, download_progress


class Client:
    """grammar: of all that the mount said. heard: told of each event once it fits."""

    def __init__(self, desk: Desk, heard: Callable[[Event], None]) -> None:
        self.grammar = Grammar()
        self._desk = desk
        self._heard = heard
        self._own = Grammar()
        self._own_seqs: set[int] = set()
        self._ends_published: Counter[int | None] = Counter()
        self._ends: dict[int | None, list[int]] = {}  # the numbers of the ends of each inode
        self._owed: list[tuple[str, int, int]] = []  # URI, inode, and which of its ends is owed to us
        self._subscriptions = Subscriptions(desk.events, lambda inode: True, self._take_own)

    async def begin(self, nursery: trio.Nursery) -> None:
        """Listen to everything from here on."""
        self._count_ends()
        nursery.start_soon(self._subscriptions.run)
        for name in ("CloudFileCache", "Download"):
            assert await self.call(f"{name}.on", event="progress") == 0
        self._events = self._desk.events.subscribe(0)

    async def call(self, method: str, **params: Any) -> int:
        """The code of the answer, 0 for a result."""
        try:
            await self._desk.call_on(self._subscriptions, method, json.dumps(params).encode())
        except CallFailed as failed:
            return failed.code
        return 0

    async def start(self, method: str, uri: str, inode: int | None) -> int:
        """`call`; where it is accepted, the end of the transfer that it made or joined is owed to us."""
        number = self._ends_published[inode]
        code = await self.call(method, uri=uri)
        if code == 0 and inode is not None:
            self._owed.append((uri, inode, number))
        return code

    async def listen(self) -> None:
        """Take what was said meanwhile."""
        while self.grammar.seq < self._desk.events.last_seq:
            event = await anext(self._events)
            assert isinstance(event, Event)
            self.grammar.take(event.seq, event.source, event.progress)
            if event.progress.state.is_end and event.inode is not None:
                self._ends.setdefault(event.inode, []).append(event.seq)
            self._heard(event)
        self._check_owed()

    def _check_owed(self) -> None:
        """Who started a download has heard its end once nothing brings the file any more."""
        for owed in list(self._owed):
            uri, inode, number = owed
            if self._desk.transfers.progress(inode) is None:
                assert len(self._ends.get(inode, ())) > number, f"{uri} has no end"
                assert self._ends[inode][number] in self._own_seqs, f"who started {uri} did not hear its end"
                self._owed.remove(owed)

    async def _take_own(self, line: bytes) -> None:
        params = json.loads(line)["params"]
        self._own_seqs.add(params["seq"])
        self._own.take_download(download_progress(params["progress"]))

    def _count_ends(self) -> None:
        """Ends count from the step in which they are said: the journal has them a moment later."""
        publish = self._desk.events.publish

        def counted(
            source: EventClass, progress: SyncProgress | DownloadProgress, inode: int | None = None
        ) -> None:
            self._ends_published[inode] += progress.state.is_end
            publish(source, progress, inode)

        self._desk.events.publish = counted  # type: ignore[method-assign]
