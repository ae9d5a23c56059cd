"""Enumerations of the cloudSync reference (same names, same numbers) and of the public contract."""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum


class SyncState(IntEnum):
    """Reference: SyncState."""

    UPLOADING = 0
    UPLOAD_FAILED = 1
    DOWNLOADING = 2
    DOWNLOAD_FAILED = 3
    COMPLETED = 4
    STOPPED = 5

    @property
    def is_end(self) -> bool:
        """Whether a sync run is over once it has said this."""
        return self not in (SyncState.UPLOADING, SyncState.DOWNLOADING)


class ErrorType(IntEnum):
    """Reference: ErrorType, the reason that a sync ended early."""

    NO_ERROR = 0
    NETWORK_UNAVAILABLE = 1
    WIFI_UNAVAILABLE = 2
    BATTERY_LEVEL_LOW = 3
    BATTERY_LEVEL_WARNING = 4
    CLOUD_STORAGE_FULL = 5
    LOCAL_STORAGE_FULL = 6


class State(IntEnum):
    """Reference: State, of one download."""

    RUNNING = 0
    COMPLETED = 1
    FAILED = 2
    STOPPED = 3

    @property
    def is_end(self) -> bool:
        """Whether nothing follows it for this download."""
        return self is not State.RUNNING


class DownloadErrorType(IntEnum):
    """Reference: DownloadErrorType."""

    NO_ERROR = 0
    UNKNOWN_ERROR = 1
    NETWORK_UNAVAILABLE = 2
    LOCAL_STORAGE_FULL = 3
    CONTENT_NOT_FOUND = 4
    FREQUENT_USER_REQUESTS = 5


class FileSyncState(IntEnum):
    """Reference: FileSyncState."""

    UPLOADING = 0
    DOWNLOADING = 1
    COMPLETED = 2
    STOPPED = 3


class Kind(IntEnum):
    """What an entry is; the numbers are stored."""

    FILE = 0
    FOLDER = 1


class Listing(IntEnum):
    """How much of a folder's children is known; the numbers are stored.

    Unknown is not absent: only in a WHOLE folder is a missing name a negative answer.
    """

    NEVER = 0
    WHOLE = 1


class Location(StrEnum):
    """`user.cloudfs.location`: where a file's content is."""

    LOCAL = "local"
    CLOUD = "cloud"
    PARTIAL = "partial"
    BOTH = "both"


class Pin(StrEnum):
    """`user.cloudfs.pin`."""

    ALWAYS = "always"
    AUTO = "auto"


class Scope(StrEnum):
    """What one sync covers: the gallery folders, or all else."""

    FILES = "files"
    GALLERY = "gallery"


class CloudState(StrEnum):
    """`status`: how the cloud answered last."""

    READY = "ready"
    OFFLINE = "offline"
    UNAUTHORIZED = "unauthorized"


class EventClass(StrEnum):
    """The class of the reference that an event belongs to."""

    FILE_SYNC = "FileSync"
    GALLERY_SYNC = "GallerySync"
    DOWNLOAD = "Download"
    CLOUD_FILE_CACHE = "CloudFileCache"


class Priority(Enum):
    """Who waits for a range of a file, most urgent first."""

    DEMAND = 0  # a program is blocked in read()
    ASKED = 1  # CloudFileCache.start or Download.start
    OPENED = 2  # an open file under on_open = "full"
    PINNED = 3
