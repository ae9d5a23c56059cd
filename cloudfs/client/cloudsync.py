"""The classes of @ohos.file.cloudSync in Python: same names, same enums, same events, in snake_case.

**Connections.** Within `async with FileSync() as sync:` an object holds one connection, and can have
listeners; the task that entered the block leaves it, any task may make calls. Outside of a block each call
makes a connection for itself alone. What a call started goes on when its connection ends. A connection that
is lost stays lost: `wait_lost` returns, every call ends with 13600001, and listeners hear nothing more, until
a new block is entered.

**Listeners.** A listener is a function, or coroutine function, of one argument: the progress. It is called
with one event at a time, in order, and may make calls itself. While it takes its time it holds up nothing
else; of RUNNING events it then gets the latest one of each file, and every end. What it raises ends the block
and comes out of it. Who leaves the block waits until it has been told what came so far; an error or a
cancellation that leaves the block cancels it. One that is registered while the block is left hears nothing.

**Errors.** A call raises CloudSyncError with a code of the reference's table. 13600001, "IPC error.": no
daemon listens, several do and none was named, or the connection was lost; `data["reason"]` says which. Calls
have no time limit of their own and may be cancelled at any moment: the call has then taken effect or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from cloudfs.client.connection import Connection
from cloudfs.client.endings import DownloadEnding, SyncEnding
from cloudfs.client.listeners import Listener, SkippedListener
from cloudfs.client.remote_object import EventScope, RemoteObject, Socket
from cloudfs.client.wire import download_progress, sync_progress
from cloudfs.model.enums import FileSyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress


class _Sync(RemoteObject[SyncProgress]):
    async def on(
        self,
        event: Literal["progress"],
        callback: Listener[SyncProgress],
        *,
        skipped: SkippedListener | None = None,
    ) -> None:
        """Reference: on. Registers a listener for the synchronization progress. 201, 202, 401, 13600001.

        callback: is called with the current SyncProgress at once, then with each new one.
        skipped: is called with the first and the last number of events of the mount that this listener does
        not get, as it was too far behind; an end is among them only once the journal has dropped it.
        RuntimeError outside of an `async with` block.
        """
        await self._on(event, callback, "own", skipped)

    async def start(self) -> None:
        """Reference: start. Starts the synchronization; returns once that is accepted.

        While a sync runs, it goes on into one more. 201, 202, 401, 13600001, and, the sync then not being
        begun, 22400001, 22400002, 22400003.
        """
        await self._call("start")

    async def run(self) -> SyncProgress:
        """`start`, and wait for the end of that sync: COMPLETED, or what ended it. The codes of `start`.

        The reference leaves this to a listener. Cancelled, the sync goes on; `stop` ends it.
        """
        return await self._run(SyncEnding())

    async def stop(self) -> None:
        """Reference: stop. Stops the synchronization, automatic ones too, until the next `start`.

        Without a sync under way it is accepted and emits nothing. 201, 202, 401, 13600001.
        """
        await self._call("stop")

    async def get_last_sync_time(self) -> int:
        """Reference: getLastSyncTime. When a sync completed last, in epoch milliseconds; 0: never yet.

        201, 202, 401, 13600001.
        """
        return int(await self._call("getLastSyncTime"))

    def _progress(self, shown: Any) -> SyncProgress:
        return sync_progress(shown)


class FileSync(_Sync):
    """Reference: FileSync. Device-cloud synchronization of all files but those of the gallery folders.

    async with FileSync() as sync:
        await sync.on("progress", lambda progress: print(progress.state.name, progress.error.name))
        end = await sync.run()
        print("synchronized" if end.state is SyncState.COMPLETED else f"failed: {end.error.name}")

    Events are SyncProgress(state: SyncState, error: ErrorType). A sync goes DOWNLOADING, then UPLOADING where
    there is something to upload, and ends in exactly one of COMPLETED, DOWNLOAD_FAILED, UPLOAD_FAILED and
    STOPPED. An end's `error` tells why, NO_ERROR where no ErrorType fits. How connections and listeners
    behave is told by help(cloudfs.client.cloudsync).

    201       Permission verification failed, usually the result returned by VerifyAccessToken.
    202       Permission verification failed, application which is not a system application uses system API.
    401       The input parameter is invalid.
    13600001  IPC error.
    22400001  Cloud status not ready.
    22400002  Network unavailable.
    22400003  Battery level warning.
    """

    _name = "FileSync"


class GallerySync(_Sync):
    """Reference: GallerySync. Device-cloud synchronization of media assets: the files of the gallery folders.

    async with GallerySync() as sync:
        await sync.on("progress", lambda progress: print(progress.state.name))
        await sync.start()
        await anyio.sleep(60)
        await sync.stop()

    Events are SyncProgress(state: SyncState, error: ErrorType). A sync goes DOWNLOADING, then UPLOADING where
    there is something to upload, and ends in exactly one of COMPLETED, DOWNLOAD_FAILED, UPLOAD_FAILED and
    STOPPED. An end's `error` tells why, NO_ERROR where no ErrorType fits. How connections and listeners
    behave is told by help(cloudfs.client.cloudsync).

    201       Permission verification failed.
    202       The caller is not a system application.
    401       The input parameter is invalid.
    13600001  IPC error.
    22400001  Cloud status not ready.
    22400002  Network unavailable.
    22400003  Battery level warning.
    """

    _name = "GallerySync"


class _Downloads(RemoteObject[DownloadProgress]):
    async def on(
        self,
        event: Literal["progress"],
        callback: Listener[DownloadProgress],
        *,
        scope: EventScope = "own",
        skipped: SkippedListener | None = None,
    ) -> None:
        """Reference: on. Registers a listener for the download progress. 401, 13600001; Download: 201, 202.

        callback: is called with each DownloadProgress.
        scope: "own", the downloads that this object started, with the URI that it gave; "all", those of the
        mount whose file the caller may read, opens included, with the canonical URI.
        skipped: is called with the first and the last number of events of the mount that this listener does
        not get, as it was too far behind; an end is among them only once the journal has dropped it.
        RuntimeError outside of an `async with` block.
        """
        await self._on(event, callback, scope, skipped)

    async def start(self, uri: str) -> None:
        """Reference: start. Starts to download a file, or joins its download; returns once that is accepted.

        A file that is here completes at once. 201, 401, 13600001, 13900002, 13900025, 14000002; Download:
        202.
        """
        await self._call("start", uri=uri)

    async def run(self, uri: str) -> DownloadProgress:
        """`start`, and wait for the end of that download: COMPLETED, FAILED or STOPPED. The codes of `start`.

        The reference leaves this to a listener. Cancelled, the download goes on; `stop` ends it.
        """
        return await self._run(DownloadEnding(uri), uri=uri)

    async def stop(self, uri: str, need_clean: bool = True) -> None:
        """Reference: stop. Stops a download and deletes what came of it; `start` begins anew.

        need_clean: False keeps the partial content, and the next `start` resumes it. A download that does not
        run is no error. 201, 401, 13600001, 13900002, 14000002; Download: 202.
        """
        await self._call("stop", uri=uri, needClean=need_clean)

    def _progress(self, shown: Any) -> DownloadProgress:
        return download_progress(shown)


class Download(_Downloads):
    """Reference: Download. Downloads image files of the gallery, by URIs such as file://media/Photo/1.

    async with Download() as download:
        await download.on("progress", lambda progress: print(progress.processed, progress.size))
        end = await download.run("file://media/Photo/1")
        print(end.state.name, end.error.name)

    A file's URI is its extended attribute `user.cloudfs.media_uri`. Events are DownloadProgress(state: State,
    processed: int, size: int, uri: str, error: DownloadErrorType), in bytes: RUNNING any number of times,
    `processed` never falling, then exactly one of COMPLETED, FAILED, with its `error`, and STOPPED. How
    connections and listeners behave is told by help(cloudfs.client.cloudsync).

    201       Permission verification failed.
    202       The caller is not a system application.
    401       The input parameter is invalid.
    13600001  IPC error.
    13900002  No such file or directory.
    13900025  No space left on device.
    14000002  Invalid uri. (beyond the reference)
    """

    _name = "Download"


class CloudFileCache(_Downloads):
    """Reference: CloudFileCache. Downloads files to the local device, for whoever can read them.

    async with CloudFileCache() as cache:
        await cache.on("progress", lambda progress: print(progress.processed, progress.size))
        end = await cache.run("file://com.example.files/data/storage/el2/cloud/1.txt")
        print(end.state.name, end.error.name)

    A file's URI is its extended attribute `user.cloudfs.uri`. Events are DownloadProgress(state: State,
    processed: int, size: int, uri: str, error: DownloadErrorType), in bytes: RUNNING any number of times,
    `processed` never falling, then exactly one of COMPLETED, FAILED, with its `error`, and STOPPED. How
    connections and listeners behave is told by help(cloudfs.client.cloudsync).

    201       Permission verification failed, usually the result returned by VerifyAccessToken.
              Of on, off, start and stop beyond the reference: the caller can't read the file.
    202       Permission verification failed, application which is not a system application uses system API.
              (clean_cache alone)
    401       The input parameter is invalid.
    13600001  IPC error.
    13900002  No such file or directory.
    13900010  Try again. (clean_cache alone, beyond the reference)
    13900025  No space left on device. (start alone)
    14000002  Invalid uri.
    """

    _name = "CloudFileCache"

    async def clean_cache(self, uri: str) -> None:
        """Reference: cleanCache. Deletes a file's cached content; returns once that is done.

        The file stays, as a placeholder. One that is not cached is no error. 201, 202, 401, 13600001,
        13900002, 14000002; 13900010, nothing being deleted, where the cloud lacks this content, or the file
        is pinned or open for writing.
        """
        await self._call("cleanCache", uri=uri)


async def get_file_sync_state(uris: Iterable[str], *, socket: Socket = None) -> list[FileSyncState]:
    """Reference: cloudSync.getFileSyncState. The states of 100 files or folders at most, in their order.

    states = await get_file_sync_state(["file://com.example.files/data/storage/el2/cloud/1.txt"])

    One URI that is wrong, and there is no answer for any; `data["uri"]` names it.
    socket: as of the classes.

    201       Permission verification failed, usually the result returned by VerifyAccessToken.
    202       Permission verification failed, application which is not a system application uses system API.
    401       The input parameter is invalid.
    13600001  IPC error.
    13900002  No such file or directory.
    14000002  Invalid uri.
    """
    # A lone string is a wrong parameter, and not a list of letters.
    uri = uris if isinstance(uris, str) else list(uris)
    async with Connection(socket) as connection:
        states = await connection.call("cloudSync.getFileSyncState", {"uri": uri})
    return [FileSyncState(state) for state in states]
