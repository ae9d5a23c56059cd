"""Which event is the end of what a `start` began (INTERFACE section 8).

An ending is told all events of a subscription that is older than the start, and `accepted` in between, as
they come. What ended before the start was accepted is an earlier run's.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from cloudfs.model.progress import DownloadProgress, SyncProgress

P_contra = TypeVar("P_contra", SyncProgress, DownloadProgress, contravariant=True)


class Ending(Protocol, Generic[P_contra]):
    """Both classes below."""

    def accepted(self) -> None:
        """The start was accepted."""
        ...

    def is_met_by(self, progress: P_contra) -> bool:
        """An event came: whether it is the end."""
        ...


class SyncEnding:
    """A sync that was under way at the start emits no end of its own: it goes on into the one asked for."""

    def __init__(self) -> None:
        self._is_accepted = False
        self._is_running = False

    def accepted(self) -> None:
        self._is_accepted = True

    def is_met_by(self, progress: SyncProgress) -> bool:
        was_running, self._is_running = self._is_running, not progress.state.is_end
        return self._is_accepted and was_running and progress.state.is_end


class DownloadEnding:
    """uri: as it was given to `start`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._is_accepted = False

    def accepted(self) -> None:
        self._is_accepted = True

    def is_met_by(self, progress: DownloadProgress) -> bool:
        return self._is_accepted and progress.uri == self._uri and progress.state.is_end
