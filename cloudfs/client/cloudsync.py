"""The classes of @ohos.file.cloudSync in Python: same names, same enums, same events, in snake_case.

Each object is an async context manager that holds one connection; subscriptions, and what counts as `own`
downloads, live as long as it. Outside of a block each call makes a connection for itself alone: what it
started goes on. Every call raises CloudSyncError with a code of the reference's table, or 13600001 where no
daemon answers.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from cloudfs.client.connection import Connection
from cloudfs.model.enums import DownloadErrorType, ErrorType, FileSyncState, State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

P = TypeVar("P", SyncProgress, DownloadProgress)
Socket = str | os.PathLike[str] | None
EventScope = Literal["own", "all"]


class _Class(ABC, Generic[P]):
    """What the four classes share: a connection, and `on` and `off`."""

    _name: str

    def __init__(self, socket: Socket = None) -> None:
        """Reference: constructor. socket: the daemon's; None: $CLOUDFS_SOCKET, else the only one running."""
        self._socket = socket
        self._connection: Connection | None = None
        self._callbacks: list[tuple[int, Callable[[P], None]]] = []

    async def __aenter__(self) -> Self:
        connection = Connection(self._socket)
        await connection.__aenter__()
        self._connection = connection
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        connection, self._connection = self._held(), None
        self._callbacks.clear()
        await connection.__aexit__(kind, error, traceback)

    async def on(self, event: Literal["progress"], callback: Callable[[P], None]) -> None:
        """Reference: on. Registers a listener for the progress; within an `async with` block only.

        A sync class's listener is called with the current progress at once.
        """
        await self._on(event, callback, "own")

    async def off(self, event: Literal["progress"], callback: Callable[[P], None] | None = None) -> None:
        """Reference: off. Unregisters a listener, or all of them; one that is not registered is no error."""
        connection = self._held()
        for number, registered in list(self._callbacks):
            if callback in (None, registered):
                self._callbacks.remove((number, registered))
                connection.forget(number)
                await self._call("off", event=event, subscription=number)

    async def wait_lost(self) -> None:
        """Return once the daemon has ended the connection: no event comes any more."""
        await self._held().wait_lost()

    async def _on(self, event: str, callback: Callable[[P], None], scope: EventScope) -> None:
        def notify(params: dict[str, Any]) -> None:
            if "progress" in params:
                callback(self._progress(params["progress"]))

        params = {"event": event, "scope": scope}
        answer = await self._held().call(f"{self._name}.on", params, notify)
        self._callbacks.append((answer["subscription"], callback))

    async def _call(self, method: str, **params: Any) -> Any:
        if self._connection is not None:
            return await self._connection.call(f"{self._name}.{method}", params)
        async with Connection(self._socket) as connection:
            return await connection.call(f"{self._name}.{method}", params)

    def _held(self) -> Connection:
        if self._connection is None:
            raise RuntimeError(f"listeners need a connection: async with {type(self).__name__}() as …")
        return self._connection

    @abstractmethod
    def _progress(self, shown: dict[str, Any]) -> P:
        """An event as the daemon sends it."""


class _Sync(_Class[SyncProgress]):
    async def start(self) -> None:
        """Reference: start. Starts the synchronization; returns once it is accepted.

        201, 202, 22400001 cloud status not ready, 22400002 network unavailable, 22400003 battery level.
        """
        await self._call("start")

    async def stop(self) -> None:
        """Reference: stop. Stops the synchronization; `start` resumes it. 201, 202."""
        await self._call("stop")

    async def get_last_sync_time(self) -> int:
        """Reference: getLastSyncTime. Epoch milliseconds; 0 before the first success. 201, 202."""
        return int(await self._call("getLastSyncTime"))

    def _progress(self, shown: dict[str, Any]) -> SyncProgress:
        return SyncProgress(SyncState(shown["state"]), ErrorType(shown["error"]))


class FileSync(_Sync):
    """Reference: FileSync. Device-cloud synchronization of all files but the gallery's."""

    _name = "FileSync"


class GallerySync(_Sync):
    """Reference: GallerySync. Device-cloud synchronization of media assets in the gallery folders."""

    _name = "GallerySync"


class _Downloads(_Class[DownloadProgress]):
    async def on(
        self,
        event: Literal["progress"],
        callback: Callable[[DownloadProgress], None],
        *,
        scope: EventScope = "own",
    ) -> None:
        """Reference: on. Registers a listener for the download progress; within an `async with` block only.

        scope: `own`, the downloads that this object started, or `all` of the mount that the caller may read.
        """
        await self._on(event, callback, scope)

    async def start(self, uri: str) -> None:
        """Reference: start. Starts to download a file; returns once it is accepted.

        13900002 no such file, 13900025 no space left, 14000002 invalid URI.
        """
        await self._call("start", uri=uri)

    async def stop(self, uri: str, need_clean: bool = True) -> None:
        """Reference: stop. Stops the download and clears what came of it.

        need_clean: False keeps the partial content, and the next start resumes it. 13900002, 14000002.
        """
        await self._call("stop", uri=uri, needClean=need_clean)

    def _progress(self, shown: dict[str, Any]) -> DownloadProgress:
        return DownloadProgress(
            State(shown["state"]),
            shown["processed"],
            shown["size"],
            shown["uri"],
            DownloadErrorType(shown["error"]),
        )


class Download(_Downloads):
    """Reference: Download. Downloads of gallery assets, by URIs such as file://media/Photo/1. 201, 202."""

    _name = "Download"


class CloudFileCache(_Downloads):
    """Reference: CloudFileCache. Downloads of files to the local device, for who can read them."""

    _name = "CloudFileCache"

    async def clean_cache(self, uri: str) -> None:
        """Reference: cleanCache. Drops a file's cached content; returns once that is done.

        201, 202, 13900002, 14000002; 13900010 (try again) where something would be lost or is pinned.
        """
        await self._call("cleanCache", uri=uri)


async def get_file_sync_state(uris: Iterable[str], *, socket: Socket = None) -> list[FileSyncState]:
    """Reference: cloudSync.getFileSyncState. The states of 100 files at most, in order.

    201, 202, 401, 13900002, 14000002: one wrong URI, and there is no answer for any.
    """
    async with Connection(socket) as connection:
        states = await connection.call("cloudSync.getFileSyncState", {"uri": list(uris)})
    return [FileSyncState(state) for state in states]
