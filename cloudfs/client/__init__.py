"""A client of the control socket, for programs: async on trio and asyncio, or (`blocking`) without.

    async with CloudFileCache() as cache:
        await cache.on("progress", lambda progress: print(progress.processed, progress.size))
        end = await cache.run("file://com.example.files/data/storage/el2/cloud/1.txt")

`cloudsync` tells of connections, listeners and errors; each class has its events and codes.
"""

from cloudfs.client.cloudsync import CloudFileCache, Download, FileSync, GallerySync, get_file_sync_state
from cloudfs.client.errors import CloudSyncError
from cloudfs.model.enums import DownloadErrorType, ErrorType, FileSyncState, State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

__all__ = [
    "CloudFileCache",
    "CloudSyncError",
    "Download",
    "DownloadErrorType",
    "DownloadProgress",
    "ErrorType",
    "FileSync",
    "FileSyncState",
    "GallerySync",
    "State",
    "SyncProgress",
    "SyncState",
    "get_file_sync_state",
]
