"""The client without async: every call waits in the thread that makes it.

An event loop in a thread of its own does the work, for as long as a `with` block, else for one call.
Listeners are called in that thread.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from cloudfs.client import cloudsync
from cloudfs.client.cloudsync import EventScope, Socket
from cloudfs.client.connection import CloudSyncError
from cloudfs.model.enums import FileSyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

__all__ = ["CloudFileCache", "CloudSyncError", "Download", "FileSync", "GallerySync", "get_file_sync_state"]

T = TypeVar("T")


class _Loop:
    """The event loop behind one object."""

    def __init__(self, inner: AbstractAsyncContextManager[object]) -> None:
        self._inner = inner
        self._portal: BlockingPortal | None = None
        self._block = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as block:
            portal = block.enter_context(start_blocking_portal())
            block.enter_context(portal.wrap_async_context_manager(self._inner))
            self._block = block.pop_all()
            self._portal = portal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._portal = None
        self._block.__exit__(kind, error, traceback)

    def _wait(self, call: Callable[[], Awaitable[T]]) -> T:
        if self._portal is not None:
            return self._portal.call(call)
        with start_blocking_portal() as portal:
            return portal.call(call)


class _Sync(_Loop):
    def __init__(self, inner: cloudsync.FileSync | cloudsync.GallerySync) -> None:
        super().__init__(inner)
        self._sync = inner

    def on(self, event: Literal["progress"], callback: Callable[[SyncProgress], None]) -> None:
        """Reference: on. Within a `with` block only."""
        self._wait(partial(self._sync.on, event, callback))

    def off(self, event: Literal["progress"], callback: Callable[[SyncProgress], None] | None = None) -> None:
        """Reference: off."""
        self._wait(partial(self._sync.off, event, callback))

    def start(self) -> None:
        """Reference: start."""
        self._wait(self._sync.start)

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


class _Downloads(_Loop):
    def __init__(self, inner: cloudsync.Download | cloudsync.CloudFileCache) -> None:
        super().__init__(inner)
        self._downloads = inner

    def on(
        self,
        event: Literal["progress"],
        callback: Callable[[DownloadProgress], None],
        *,
        scope: EventScope = "own",
    ) -> None:
        """Reference: on. Within a `with` block only."""
        self._wait(partial(self._downloads.on, event, callback, scope=scope))

    def off(
        self, event: Literal["progress"], callback: Callable[[DownloadProgress], None] | None = None
    ) -> None:
        """Reference: off."""
        self._wait(partial(self._downloads.off, event, callback))

    def start(self, uri: str) -> None:
        """Reference: start."""
        self._wait(partial(self._downloads.start, uri))

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
    call: Callable[[], Any] = partial(cloudsync.get_file_sync_state, list(uris), socket=socket)
    with start_blocking_portal() as portal:
        states: list[FileSyncState] = portal.call(call)
    return states
