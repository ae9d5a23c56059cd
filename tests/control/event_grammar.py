"""What the events of a mount may say, in which order (INTERFACE sections 7 and 8), checked as they come."""

from __future__ import annotations

from typing import Any

from cloudfs.model.enums import DownloadErrorType, ErrorType, EventClass, State, SyncState
from cloudfs.model.progress import DownloadProgress, SyncProgress

_FAILURES = (SyncState.DOWNLOAD_FAILED, SyncState.UPLOAD_FAILED)


class Grammar:
    """Takes the events of one mount in order. AssertionError where one does not fit what came before it.

    seq: of the last one. running: the last event of each transfer whose end has not come yet, by URI.
    syncs: the last event of each sync class. ends: the last end of each URI.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.running: dict[str | None, DownloadProgress] = {}
        self.ends: dict[str | None, DownloadProgress] = {}
        self.syncs: dict[EventClass, SyncProgress] = {}

    def take(self, seq: int, source: EventClass, progress: DownloadProgress | SyncProgress) -> None:
        assert seq == self.seq + 1, f"{seq} follows {self.seq}"
        self.seq = seq
        if isinstance(progress, SyncProgress):
            self._take_sync(source, progress)
        else:
            assert source in (EventClass.DOWNLOAD, EventClass.CLOUD_FILE_CACHE)
            self.take_download(progress)

    def take_download(self, progress: DownloadProgress) -> None:
        """An event of a download by itself, as a subscriber of its class sees it."""
        assert 0 <= progress.processed <= progress.size, progress
        has_failed = progress.state is State.FAILED
        assert has_failed == (progress.error is not DownloadErrorType.NO_ERROR), progress
        before = self.running.pop(progress.uri, None)
        # A program that changes the size changes what there is to fetch.
        if before is not None and before.size == progress.size:
            assert before.processed <= progress.processed, f"{progress} falls behind {before}"
        if progress.state is State.COMPLETED:
            assert progress.processed == progress.size, progress
        if progress.state.is_end:
            self.ends[progress.uri] = progress
        else:
            self.running[progress.uri] = progress

    def _take_sync(self, source: EventClass, progress: SyncProgress) -> None:
        before = self.syncs.get(source)
        has_ended = before is None or before.state.is_end
        if progress.state is SyncState.UPLOADING:
            assert before is not None
            assert before.state is SyncState.DOWNLOADING, f"{progress} after {before}"
        elif progress.state is not SyncState.DOWNLOADING:
            assert not has_ended, f"{progress} after {before}, which was an end"
        assert progress.state in _FAILURES or progress.error is ErrorType.NO_ERROR, progress
        self.syncs[source] = progress


def download_progress(shown: dict[str, Any]) -> DownloadProgress:
    """A DownloadProgress as the socket shows it."""
    numbers = {"state": State(shown["state"]), "error": DownloadErrorType(shown["error"])}
    return DownloadProgress(**{**shown, **numbers})
