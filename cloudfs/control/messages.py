"""The reference's error texts, method by method: the same code reads differently in different tables."""

from __future__ import annotations

from collections.abc import Mapping

Messages = Mapping[int, str]

# GallerySync and Download, since API version 10.
PERMISSION_10: Messages = {
    201: "Permission verification failed.",
    202: "The caller is not a system application.",
}
# FileSync, CloudFileCache and getFileSyncState, since API version 11.
PERMISSION_11: Messages = {
    201: "Permission verification failed, usually the result returned by VerifyAccessToken.",
    202: "Permission verification failed, application which is not a system application uses system API.",
}
PARAMETER: Messages = {401: "The input parameter is invalid."}
IPC: Messages = {13600001: "IPC error."}
NO_FILE: Messages = {13900002: "No such file or directory."}
NO_SPACE: Messages = {13900025: "No space left on device."}
INVALID_URI: Messages = {14000002: "Invalid uri."}
TRY_AGAIN: Messages = {13900010: "Try again."}
SYNC_REFUSED: Messages = {
    22400001: "Cloud status not ready.",
    22400002: "Network unavailable.",
    22400003: "Battery level warning.",
}

# What any method may say beyond its table: a daemon that ends, a disk that fails, a code that this
# contract adds to the reference.
ANY: Messages = {
    **PERMISSION_11,
    **PARAMETER,
    **IPC,
    **NO_FILE,
    **NO_SPACE,
    **INVALID_URI,
    **TRY_AGAIN,
    **SYNC_REFUSED,
}


def table(*parts: Messages) -> Messages:
    """One method's table; every one has 401."""
    return {code: text for part in (PARAMETER, *parts) for code, text in part.items()}
