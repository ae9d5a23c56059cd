"""The states of one scope's sync, as one transition table (INTERFACE section 8, "Sync").

Pure. What a state and a happening lead to is the next state and what is said on the way; a run says
DOWNLOADING, then perhaps UPLOADING, then one end. A start in mid-run asks for one rerun, however many
come: the running pass then says no end of its own, the rerun's end is the one end.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from cloudfs.model.enums import SyncState


class Run(Enum):
    """Where a scope's sync is; …_AGAIN: a rerun follows."""

    IDLE = auto()
    PULLING = auto()
    PUSHING = auto()
    STOPPING = auto()
    PULLING_AGAIN = auto()
    PUSHING_AGAIN = auto()
    STOPPING_AGAIN = auto()

    @property
    def is_idle(self) -> bool:
        return self is Run.IDLE

    @property
    def is_pushing(self) -> bool:
        """Whether the pass under way has found something to upload."""
        return self in (Run.PUSHING, Run.PUSHING_AGAIN)

    @property
    def is_stopping(self) -> bool:
        """Whether the pass under way has been cancelled and only its end is awaited."""
        return self in (Run.STOPPING, Run.STOPPING_AGAIN)


class Happening(Enum):
    """START, STOP: somebody's wish. PUSH: the pass found something to upload. END: the pass is over."""

    START = auto()
    STOP = auto()
    PUSH = auto()
    END = auto()


class Outcome(Enum):
    """In a step's `says`: what the pass that ended found (COMPLETED, DOWNLOAD_FAILED, UPLOAD_FAILED)."""

    OF_THE_PASS = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """What follows: the next state, and what is said, in order."""

    run: Run
    says: tuple[SyncState | Outcome, ...] = ()


_DOWNLOADING = SyncState.DOWNLOADING
_UPLOADING = SyncState.UPLOADING
_STOPPED = SyncState.STOPPED
_OUTCOME = Outcome.OF_THE_PASS

# A happening that means nothing in a state (the pass of an idle scope has no end) is not in the table.
STEPS: dict[tuple[Run, Happening], Step] = {
    (Run.IDLE, Happening.START): Step(Run.PULLING, (_DOWNLOADING,)),
    (Run.IDLE, Happening.STOP): Step(Run.IDLE),
    (Run.PULLING, Happening.START): Step(Run.PULLING_AGAIN),
    (Run.PULLING, Happening.STOP): Step(Run.STOPPING),
    (Run.PULLING, Happening.PUSH): Step(Run.PUSHING, (_UPLOADING,)),
    (Run.PULLING, Happening.END): Step(Run.IDLE, (_OUTCOME,)),
    (Run.PUSHING, Happening.START): Step(Run.PUSHING_AGAIN),
    (Run.PUSHING, Happening.STOP): Step(Run.STOPPING),
    (Run.PUSHING, Happening.PUSH): Step(Run.PUSHING),
    (Run.PUSHING, Happening.END): Step(Run.IDLE, (_OUTCOME,)),
    (Run.STOPPING, Happening.START): Step(Run.STOPPING_AGAIN),
    (Run.STOPPING, Happening.STOP): Step(Run.STOPPING),
    (Run.STOPPING, Happening.PUSH): Step(Run.STOPPING),
    (Run.STOPPING, Happening.END): Step(Run.IDLE, (_STOPPED,)),
    (Run.PULLING_AGAIN, Happening.START): Step(Run.PULLING_AGAIN),
    (Run.PULLING_AGAIN, Happening.STOP): Step(Run.STOPPING),
    (Run.PULLING_AGAIN, Happening.PUSH): Step(Run.PUSHING_AGAIN, (_UPLOADING,)),
    (Run.PULLING_AGAIN, Happening.END): Step(Run.PULLING, (_DOWNLOADING,)),
    (Run.PUSHING_AGAIN, Happening.START): Step(Run.PUSHING_AGAIN),
    (Run.PUSHING_AGAIN, Happening.STOP): Step(Run.STOPPING),
    (Run.PUSHING_AGAIN, Happening.PUSH): Step(Run.PUSHING_AGAIN),
    (Run.PUSHING_AGAIN, Happening.END): Step(Run.PULLING, (_DOWNLOADING,)),
    (Run.STOPPING_AGAIN, Happening.START): Step(Run.STOPPING_AGAIN),
    (Run.STOPPING_AGAIN, Happening.STOP): Step(Run.STOPPING),
    (Run.STOPPING_AGAIN, Happening.PUSH): Step(Run.STOPPING_AGAIN),
    # The stopped sync has its end; the start that came after the stop is a sync of its own.
    (Run.STOPPING_AGAIN, Happening.END): Step(Run.PULLING, (_STOPPED, _DOWNLOADING)),
}
