"""One class a cause: what a failure means for a program (errno), for the API (enum, code) and for a retry.

Translated in by `clouds/http`, `cache/store` and `database/bridge`; translated out by `fuse/session` and
`control/methods`. The table is INTERFACE section 8, "Errors to errno".
"""

from __future__ import annotations

import errno as e
from typing import ClassVar

from cloudfs.model.enums import DownloadErrorType, ErrorType

# What that table names a cause for, of all that a server may answer; what `simulate` has it answer.
SERVER_ERRORS = (401, 403, 404, 410, 429, 500, 502, 503, 504, 507)


class CloudfsError(Exception):
    """A failure with a known cause.

    `reason` says in one sentence what happened and, where there is one, the mend; it names no secret.
    `status` is the HTTP status that said so, if one did. `retry_after` is the server's wish in seconds.
    """

    errno: ClassVar[int] = e.EIO
    download_error: ClassVar[DownloadErrorType] = DownloadErrorType.UNKNOWN_ERROR
    sync_error: ClassVar[ErrorType] = ErrorType.NO_ERROR
    code: ClassVar[int] = 13600001
    retryable: ClassVar[bool] = False

    def __init__(self, reason: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


# --- the network and the cloud ---


class NetworkUnavailable(CloudfsError):
    """No route, refused, DNS, reset."""

    errno = e.ENETUNREACH
    download_error = DownloadErrorType.NETWORK_UNAVAILABLE
    sync_error = ErrorType.NETWORK_UNAVAILABLE
    retryable = True


class NetworkTimeout(NetworkUnavailable):
    """No answer, or no progress, in time."""

    errno = e.ETIMEDOUT


class TooManyRequests(CloudfsError):
    """429, or 503 with Retry-After."""

    errno = e.EAGAIN
    download_error = DownloadErrorType.FREQUENT_USER_REQUESTS
    retryable = True


class ServerError(CloudfsError):
    """A 5xx (503 without Retry-After and 504 too), or an answer that makes no sense."""

    retryable = True


class AccessRefused(CloudfsError):
    """403 for this file or folder."""

    errno = e.EACCES


class Unauthorized(AccessRefused):
    """401: the credentials are not (or no longer) good, whatever was asked for."""


class CloudStorageFull(CloudfsError):
    """507, or the quota is used up."""

    errno = e.EDQUOT
    sync_error = ErrorType.CLOUD_STORAGE_FULL


class FileTooLarge(CloudfsError):
    """413: the cloud takes no file of this size."""

    errno = e.EFBIG


class ContentNotFound(CloudfsError):
    """404 or 410 for the content of a file that the tree shows. It removes nothing by itself."""

    download_error = DownloadErrorType.CONTENT_NOT_FOUND


class WrongContent(CloudfsError):
    """The answer is not the file: length, range, encoding or type contradict what was asked for.

    Retried once by the download: a proxy's hiccup passes, a captive portal does not.
    """


class VersionChanged(CloudfsError):
    """The cloud holds another version than the one asked for (412, or the answer's version differs)."""


class Incomplete(CloudfsError):
    """A part of a file that was changed here was never fetched, and the cloud no longer has it.

    What there is of the file stays here; it is never sent with holes.
    """


class PreconditionFailed(CloudfsError):
    """412 to a conditional write, delete or move: somebody else was there first."""


class AlreadyExists(CloudfsError):
    """The target name of a move or a new folder is taken."""

    errno = e.EEXIST


class Locked(CloudfsError):
    """423: somebody holds a WebDAV lock."""

    errno = e.EAGAIN


class NameRefused(CloudfsError):
    """The cloud cannot hold this name (400, 403, 414 or 422 to a name, or too long a URL)."""


# --- this machine ---


class LocalStorageFull(CloudfsError):
    """The disk or the cache is full."""

    errno = e.ENOSPC
    download_error = DownloadErrorType.LOCAL_STORAGE_FULL
    sync_error = ErrorType.LOCAL_STORAGE_FULL
    code = 13900025


class LocalIOError(CloudfsError):
    """The cache directory or its database does not do what a disk should."""


class ReadOnly(CloudfsError):
    """The mount takes no changes."""

    errno = e.EROFS


class MountFailed(CloudfsError):
    """The mountpoint, or FUSE itself, cannot be used. The reason names the mend."""

    errno = e.EINVAL


class Interrupted(CloudfsError):
    """The program that waited was asked to end (signal(7))."""

    errno = e.EINTR


class Stopped(CloudfsError):
    """The transfer was stopped by somebody's wish."""

    errno = e.EINTR


# --- what a caller asked for ---


class NotFound(CloudfsError):
    """No such file or folder, by a positive answer."""

    errno = e.ENOENT
    code = 13900002


class NotAFolder(CloudfsError):
    errno = e.ENOTDIR
    code = 13900002


class IsAFolder(CloudfsError):
    errno = e.EISDIR
    code = 14000002


class NotEmpty(CloudfsError):
    """The folder still holds something."""

    errno = e.ENOTEMPTY


class Busy(CloudfsError):
    """A configured gallery folder can't be renamed or removed."""

    errno = e.EBUSY


class InvalidUri(CloudfsError):
    """The URI is malformed, foreign, or names what the method does not take."""

    errno = e.EINVAL
    code = 14000002


class InvalidParameter(CloudfsError):
    errno = e.EINVAL
    code = 401


class PermissionDenied(CloudfsError):
    errno = e.EACCES
    code = 201


class NotSystemApp(CloudfsError):
    errno = e.EPERM
    code = 202


class TryAgain(CloudfsError):
    """Busy: dirty, pinned or open for writing; nothing was lost."""

    errno = e.EAGAIN
    code = 13900010


class ChangedMeanwhile(TryAgain):
    """The file was written to while it was sent: what went out is no state of it, and is given up."""


class CloudNotReady(CloudfsError):
    """The credentials were refused, or the cloud's root cannot be listed."""

    errno = e.EACCES
    code = 22400001


class NoNetwork(CloudfsError):
    """The device has no network (or not the kind that `wifi_only` wants), so no sync may start."""

    errno = e.ENETUNREACH
    code = 22400002


class BatteryLow(CloudfsError):
    errno = e.EAGAIN
    code = 22400003
