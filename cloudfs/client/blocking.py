"""The client without async: every call waits in the thread that makes it.

    with CloudFileCache() as cache:
        cache.on("progress", lambda progress: print(progress.processed, progress.size))
        end = cache.run("file://com.example.files/data/storage/el2/cloud/1.txt")

As `cloudfs.client.cloudsync`, which tells the whole of it, but for this: the block is a `with`; calls may be
made from several threads at the same time; a listener is a plain function, called in a thread of its own.
An event loop in another thread does the work, for as long as the block, else for one call.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Generic, Literal, Self, TypeVar

from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal

from cloudfs.client import cloudsync
from cloudfs.client.errors import CloudSyncError
from cloudfs.client.listeners import Listener, SkippedListener
from cloudfs.client.remote_object import EventScope, RemoteObject, Socket
from cloudfs.model.enums import FileSyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

__all__ = ["CloudFileCache", "CloudSyncError", "Download", "FileSync", "GallerySync", "get_file_sync_state"]

log = logging.getLogger(__name__)

P = TypeVar("P", SyncProgress, DownloadProgress)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _InThread:
    """A listener that is called outside of the event loop, so that it may wait, and make calls itself."""

    callback: Callable[..., object]

    async def __call__(self, *told: object) -> None:
        try:
            await to_thread.run_sync(self.callback, *told)
        except Exception:
            log.exception("a listener failed; its block hears nothing more, and raises this when it is left")
            raise


class _Blocking(Generic[P]):
    """An object of the async client, and the event loop behind it."""

    def __init__(self, inner: RemoteObject[P]) -> None:
        self._inner: RemoteObject[P] = inner
        self._portal: BlockingPortal | None = None
        self._block = ExitStack()

    def __enter__(self) -> Self:
        if self._portal is not None:
            raise RuntimeError(f"this {type(self).__name__} is in a block already; make another")
        with ExitStack() as block:
            portal = block.enter_context(start_blocking_portal())
            block.enter_context(portal.wrap_async_context_manager(self._inner))
            self._block = block.pop_all()
            self._portal = portal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._block.__exit__(kind, error, traceback)
        finally:
            self._portal = None

    def off(self, event: Literal["progress"], callback: Listener[P] | None = None) -> None:
        """Reference: off."""
        registered = None if callback is None else _InThread(callback)
        self._wait(partial(self._inner.off, event, registered))

    def wait_lost(self) -> None:
        """Return once the connection is lost. Within a `with` block only."""
        self._wait(self._inner.wait_lost)

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._portal is not None:
            return self._portal.call(call)
        with start_blocking_portal() as portal:
            return portal.call(call)


class _Sync(_Blocking[SyncProgress]):
    def __init__(self, inner: cloudsync.FileSync | cloudsync.GallerySync) -> None:
        super().__init__(inner)
        self._sync = inner

    def on(
        self,
        event: Literal["progress"],
        callback: Listener[SyncProgress],
        *,
        skipped: SkippedListener | None = None,
    ) -> None:
        """Reference: on. Within a `with` block only."""
        told = None if skipped is None else _InThread(skipped)
        self._wait(partial(self._sync.on, event, _InThread(callback), skipped=told))

    def start(self) -> None:
        """Reference: start."""
        self._wait(self._sync.start)

    def run(self) -> SyncProgress:
        """`start`, and wait for the end of that sync."""
        return self._wait(self._sync.run)

    def stop(self) -> None:
        """Reference: stop."""
        self._wait(self._sync.stop)

    def get_last_sync_time(self) -> int:
        """Reference: getLastSyncTime. Epoch milliseconds."""
        return self._wait(self._sync.get_last_sync_time)


class FileSync(_Sync):
    """Reference: FileSync. As `cloudsync.FileSync`."""

    def __init__(self, socket: Socket = None) -> None:
        super().__init__(cloudsync.FileSync(socket))


class GallerySync(_Sync):
    """Reference: GallerySync. As `cloudsync.GallerySync`."""

    def __init__(self, socket: Socket = None) -> None:
        super().__init__(cloudsync.GallerySync(socket))


class _Downloads(_Blocking[DownloadProgress]):
    def __init__(self, inner: cloudsync.Download | cloudsync.CloudFileCache) -> None:
        super().__init__(inner)
        self._downloads = inner

    def on(
        self,
        event: Literal["progress"],
        callback: Listener[DownloadProgress],
        *,
        scope: EventScope = "own",
        skipped: SkippedListener | None = None,
    ) -> None:
        """Reference: on. Within a `with` block only."""
        told = None if skipped is None else _InThread(skipped)
        self._wait(partial(self._downloads.on, event, _InThread(callback), scope=scope, skipped=told))

    def start(self, uri: str) -> None:
        """Reference: start."""
        self._wait(partial(self._downloads.start, uri))

    def run(self, uri: str) -> DownloadProgress:
        """`start`, and wait for the end of that download."""
        return self._wait(partial(self._downloads.run, uri))

    def stop(self, uri: str, need_clean: bool = True) -> None:
        """Reference: stop."""
        self._wait(partial(self._downloads.stop, uri, need_clean))


class Download(_Downloads):
    """Reference: Download. As `cloudsync.Download`."""

    def __init__(self, socket: Socket = None) -> None:
        super().__init__(cloudsync.Download(socket))


class CloudFileCache(_Downloads):
    """Reference: CloudFileCache. As `cloudsync.CloudFileCache`."""

    def __init__(self, socket: Socket = None) -> None:
        inner = cloudsync.CloudFileCache(socket)
        super().__init__(inner)
        self._cache = inner

    def clean_cache(self, uri: str) -> None:
        """Reference: cleanCache."""
        self._wait(partial(self._cache.clean_cache, uri))


def get_file_sync_state(uris: Iterable[str], *, socket: Socket = None) -> list[FileSyncState]:
    """Reference: cloudSync.getFileSyncState."""
    with start_blocking_portal() as portal:
        return portal.call(partial(cloudsync.get_file_sync_state, uris, socket=socket))
