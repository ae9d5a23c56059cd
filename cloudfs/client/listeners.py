"""What listeners are told, at their own pace.

A listener that takes its time holds up neither calls nor other listeners, and grows no list of RUNNING ones.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable
from typing import Generic, TypeVar

import anyio
import anyio.lowlevel

from cloudfs.client.wire import Skipped
from cloudfs.model.enums import State
from cloudfs.model.progress import DownloadProgress, SyncProgress

P = TypeVar("P", SyncProgress, DownloadProgress)

Listener = Callable[[P], object]  # a plain function, or one that returns what is to be awaited
SkippedListener = Callable[[int, int], object]


class Listening(Generic[P]):
    """One registered listener: what it is still to be told, in order, and the task that tells it.

    Invariant: of one file at most one RUNNING waits, the latest, and no end is left out.
    """

    def __init__(self, callback: Listener[P], skipped: SkippedListener | None) -> None:
        self.callback: Listener[P] = callback
        self._skipped = skipped
        self._waiting: dict[object, P | Skipped] = {}
        self._news = anyio.Event()
        self._is_over = False

    def put(self, item: P | Skipped) -> None:
        """Have the listener told, after what waits already."""
        key: object = object()
        if isinstance(item, DownloadProgress):
            self._waiting.pop(item.uri, None)  # a RUNNING that there was no time for
            key = item.uri if item.state is State.RUNNING else key
        self._waiting[key] = item
        self._news.set()

    def finish(self) -> None:
        """Tell it what waits, and nothing more."""
        self._is_over = True
        self._news.set()

    def end(self) -> None:
        """Tell it nothing more; a call under way goes on."""
        self._waiting.clear()
        self.finish()

    async def run(self) -> None:
        """Tell it until `finish` or `end`. Raises what the listener raises."""
        while self._waiting or not self._is_over:
            if self._waiting:
                await self._tell(self._waiting.pop(next(iter(self._waiting))))
                await anyio.lowlevel.checkpoint()
            else:
                self._news = anyio.Event()
                await self._news.wait()

    async def _tell(self, item: P | Skipped) -> None:
        if not isinstance(item, Skipped):
            result = self.callback(item)
        elif self._skipped is not None:
            result = self._skipped(item.first, item.last)
        else:
            return
        if isawaitable(result):
            await result
