"""A client of the control socket, for programs: async on trio and asyncio, or (`blocking`) without.

async with CloudFileCache() as cache:
    await cache.on("progress", lambda progress: print(progress.processed, progress.size))
    await cache.start("file://com.example.files/data/storage/el2/cloud/1.txt")
"""

from cloudfs.client.cloudsync import CloudFileCache, Download, FileSync, GallerySync, get_file_sync_state
from cloudfs.client.connection import CloudSyncError
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
