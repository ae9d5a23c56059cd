"""A download that somebody asked for: its states, its progress, its one end.

Invariants: `processed` never falls, but where a program cuts the file short; of COMPLETED, FAILED and
STOPPED exactly one comes, and nothing follows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import trio

from cloudfs.model.enums import DownloadErrorType, EventClass, Priority, State
from cloudfs.model.errors import CloudfsError
from cloudfs.model.progress import DownloadProgress


class TransferState(Enum):
    """Where a transfer stands."""

    QUEUED = auto()
    RUNNING = auto()
    COMPLETED = auto()
    FAILED = auto()
    STOPPED = auto()


class Step(Enum):
    """What happens to a transfer."""

    BEGIN = auto()
    COMPLETE = auto()
    FAIL = auto()
    STOP = auto()


TRANSITIONS: dict[tuple[TransferState, Step], TransferState] = {
    (TransferState.QUEUED, Step.BEGIN): TransferState.RUNNING,
    (TransferState.QUEUED, Step.COMPLETE): TransferState.COMPLETED,
    (TransferState.QUEUED, Step.FAIL): TransferState.FAILED,
    (TransferState.QUEUED, Step.STOP): TransferState.STOPPED,
    (TransferState.RUNNING, Step.COMPLETE): TransferState.COMPLETED,
    (TransferState.RUNNING, Step.FAIL): TransferState.FAILED,
    (TransferState.RUNNING, Step.STOP): TransferState.STOPPED,
}

_SAID = {
    TransferState.RUNNING: State.RUNNING,
    TransferState.COMPLETED: State.COMPLETED,
    TransferState.FAILED: State.FAILED,
    TransferState.STOPPED: State.STOPPED,
}
_RATE_WINDOW_S = 2.0
_SAY_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class TransferStatus:
    """A transfer as `status` shows it. processed and size in bytes, rate in bytes a second."""

    inode: int
    processed: int
    size: int
    rate: float


class Transfer:
    """One download of one file, however many asked for it.

    source: the class of the reference that its events belong to. uri: the canonical one, as it was when
    the transfer began. order: who came first. priority: the most urgent of those who asked.
    is_finishing: every byte is there, what is left is to make them safe; it can't be stopped any more.
    """

    def __init__(
        self, inode: int, *, size: int, source: EventClass, uri: str | None, priority: Priority, order: int
    ) -> None:
        self.inode = inode
        self.size = size
        self.source = source
        self.uri = uri
        self.priority = priority
        self.order = order
        self.state = TransferState.QUEUED
        self.error: CloudfsError | None = None
        self.processed = 0
        self.is_finishing = False
        self.ended = trio.Event()
        self._said_at = float("-inf")
        self._marks = [(trio.current_time(), 0)]

    @property
    def has_ended(self) -> bool:
        return self.ended.is_set()

    def take(self, step: Step, error: CloudfsError | None = None) -> None:
        """Go on by the table. RuntimeError where it has no such step."""
        state = TRANSITIONS.get((self.state, step))
        if state is None:
            raise RuntimeError(f"a transfer that is {self.state.name} cannot {step.name}")
        self.state = state
        self.error = error
        if state is TransferState.COMPLETED:
            self.processed = self.size
        if step is not Step.BEGIN:
            self.ended.set()

    def begin(self, size: int, processed: int) -> None:
        """It runs from here on, with so many bytes held already."""
        self.take(Step.BEGIN)
        self.size, self.processed = size, processed
        self._marks = [(trio.current_time(), processed)]

    def resize(self, size: int) -> None:
        """A program changed the file's size meanwhile."""
        self.size = size
        self.processed = min(self.processed, size)

    def advance(self, held_bytes: int) -> None:
        """So many bytes are held by now."""
        self.processed = max(self.processed, held_bytes)
        now = trio.current_time()
        if now - self._marks[-1][0] >= _RATE_WINDOW_S:
            self._marks = [self._marks[-1], (now, self.processed)]

    def has_news(self) -> bool:
        """Whether it is time to say how far it is; asking counts as saying."""
        now = trio.current_time()
        if self.state is not TransferState.RUNNING or now - self._said_at < _SAY_EVERY_S:
            return False
        self._said_at = now
        return True

    def progress(self) -> DownloadProgress:
        """What an event says of it at this moment."""
        error = DownloadErrorType.NO_ERROR if self.error is None else self.error.download_error
        return DownloadProgress(_SAID[self.state], self.processed, self.size, self.uri, error)

    def status(self) -> TransferStatus:
        since, before = self._marks[0]
        elapsed = trio.current_time() - since
        rate = (self.processed - before) / elapsed if elapsed > 0 else 0.0
        return TransferStatus(self.inode, self.processed, self.size, rate)
