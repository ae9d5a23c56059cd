"""What events carry: the reference's SyncProgress and DownloadProgress, and a numbered event around them."""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs.model.enums import DownloadErrorType, ErrorType, EventClass, State, SyncState


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """Reference: SyncProgress."""

    state: SyncState
    error: ErrorType = ErrorType.NO_ERROR


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Reference: DownloadProgress. `processed` and `size` in bytes; `uri` is the canonical one."""

    state: State
    processed: int
    size: int
    uri: str | None
    error: DownloadErrorType = DownloadErrorType.NO_ERROR


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal.

    seq: without gaps, from 1, never used again, also across remounts.
    time_ms: epoch milliseconds.
    inode: the file of a download, else None. It scopes `own` subscriptions and read permission.
    """

    seq: int
    time_ms: int
    source: EventClass
    progress: SyncProgress | DownloadProgress
    inode: int | None = None
