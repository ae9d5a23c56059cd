"""What is held of one file's content, and in which state that is. No I/O.

Invariants: `held` lies within [0, version.size); `held_bytes` is its total; the arrivals are the same
bytes in the order in which they came; `state` agrees with them but while EVICTING, when nothing may be
added or taken away; `reserved` is never negative.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto

from cloudfs.model.entry import Version
from cloudfs.model.ranges import Range, RangeSet


class ContentState(Enum):
    """How much of the content is in the cache."""

    PLACEHOLDER = auto()
    PARTIAL = auto()
    WHOLE = auto()
    EVICTING = auto()  # its row is being taken away, its file follows; an open waits for the end of it


class Change(Enum):
    """What happens to a content."""

    GAINED = auto()  # bytes came, some still lack
    FILLED = auto()  # the last bytes came
    LOST = auto()  # bytes went, some are left
    EMPTIED = auto()  # the last bytes went
    LEAVING = auto()  # it was chosen to be evicted
    GONE = auto()  # row and file are away


TRANSITIONS: dict[tuple[ContentState, Change], ContentState] = {
    (ContentState.PLACEHOLDER, Change.GAINED): ContentState.PARTIAL,
    (ContentState.PLACEHOLDER, Change.FILLED): ContentState.WHOLE,
    (ContentState.PLACEHOLDER, Change.EMPTIED): ContentState.PLACEHOLDER,
    (ContentState.PLACEHOLDER, Change.LEAVING): ContentState.EVICTING,
    (ContentState.PARTIAL, Change.GAINED): ContentState.PARTIAL,
    (ContentState.PARTIAL, Change.FILLED): ContentState.WHOLE,
    (ContentState.PARTIAL, Change.LOST): ContentState.PARTIAL,
    (ContentState.PARTIAL, Change.EMPTIED): ContentState.PLACEHOLDER,
    (ContentState.PARTIAL, Change.LEAVING): ContentState.EVICTING,
    (ContentState.WHOLE, Change.FILLED): ContentState.WHOLE,
    (ContentState.WHOLE, Change.LOST): ContentState.PARTIAL,
    (ContentState.WHOLE, Change.EMPTIED): ContentState.PLACEHOLDER,
    (ContentState.WHOLE, Change.LEAVING): ContentState.EVICTING,
    (ContentState.EVICTING, Change.GONE): ContentState.PLACEHOLDER,
}


class Content:
    """One version of one file's content, as far as it is held.

    inode: the file. A content that was cleaned while programs read it is `detached`: it has no row and
    no name any more and serves those programs alone, while the inode has a new Content.
    file_id: the name of its cache file, None before the first byte. fd: open while it is in use.
    users: open handles and transfers. reserved: bytes that admission keeps free for it.
    wanted: ranges that somebody waits for; they are not dropped to make room.
    was_filled: whether any byte was ever held, so that somebody may have seen it.
    is_stale: the cloud no longer has this version, so what is missing can't come any more.
    unsaved: whether `held` differs from the committed map. durable: whether the committed map is of bytes
    that survive power loss.
    """

    __slots__ = (
        "__weakref__",
        "_arrivals",
        "_held_bytes",
        "detached",
        "durable",
        "fd",
        "file_id",
        "held",
        "inode",
        "is_stale",
        "reserved",
        "state",
        "unsaved",
        "users",
        "version",
        "wanted",
        "was_filled",
    )

    def __init__(
        self, inode: int, version: Version, held: RangeSet | None = None, file_id: str | None = None
    ) -> None:
        self.inode = inode
        self.version = version
        self.held = RangeSet()
        self.state = ContentState.WHOLE if version.size == 0 else ContentState.PLACEHOLDER
        self.file_id = file_id
        self.fd: int | None = None
        self.users = 0
        self.reserved = 0
        self.wanted: list[Range] = []
        self.detached = False
        self.is_stale = False
        self.was_filled = False
        self._held_bytes = 0
        self._arrivals: deque[Range] = deque()
        for start, stop in held or ():
            self.add(start, stop)
        self.unsaved = False
        self.durable = False

    def __repr__(self) -> str:
        return f"<Content {self.inode} {self.state.name} {self._held_bytes}/{self.size}>"

    @property
    def size(self) -> int:
        """The full size in bytes, whatever is held."""
        return self.version.size

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def is_whole(self) -> bool:
        return self._held_bytes == self.version.size

    def missing(self, start: int, stop: int) -> list[Range]:
        """The gaps within [start, stop), as far as the file reaches."""
        return self.held.missing(start, min(stop, self.size))

    def holds(self, start: int, stop: int) -> bool:
        """Whether every byte of [start, stop) that the file has is held."""
        return self.held.covers(start, min(stop, self.size))

    def add(self, start: int, stop: int) -> int:
        """The bytes [start, stop) are in the cache file now. Returns how many of them are new."""
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"[{start}, {stop}) is outside of {self!r}")
        gaps = self.held.missing(start, stop)
        gained = _total(gaps)
        if not gained:
            return 0
        self.was_filled = True
        self._change(Change.FILLED if self._held_bytes + gained == self.size else Change.GAINED)
        self.held.add(start, stop)
        self._held_bytes += gained
        self.unsaved = True
        self.durable = False
        self._note_arrival(gaps)
        return gained

    def drop(self, start: int, stop: int) -> int:
        """The bytes [start, stop) are not to be read any more. Returns how many were held."""
        stop = min(stop, self.size)
        lost = max(0, stop - start) - _total(self.held.missing(start, stop))
        if not lost:
            return 0
        self._change(Change.LOST if lost < self._held_bytes else Change.EMPTIED)
        self.held.remove(start, stop)
        self._arrivals = deque(part for arrival in self._arrivals for part in _without(arrival, start, stop))
        self._held_bytes -= lost
        self.unsaved = True
        self.durable = False
        return lost

    def clip(self, size: int) -> int:
        """The cache file is no longer than `size` bytes: claim nothing beyond. Returns the bytes lost."""
        return self.drop(size, self.size)

    def rebase(self, version: Version) -> None:
        """Belong to another version. Only if no byte was ever held (ValueError else): never a mixture."""
        if self.was_filled:
            raise ValueError(f"{self!r} has held bytes of another version")
        self.version = version
        self.state = ContentState.WHOLE if version.size == 0 else ContentState.PLACEHOLDER
        self._arrivals.clear()

    def leave(self) -> None:
        """Chosen to be evicted."""
        self._change(Change.LEAVING)

    def gone(self) -> None:
        """Row and file are away."""
        self._change(Change.GONE)
        self.held = RangeSet()
        self._held_bytes = 0
        self._arrivals.clear()

    def oldest(self, count: int) -> list[Range]:
        """At least `count` held bytes that came first and that nobody waits for, or all there are."""
        found: list[Range] = []
        wanted = RangeSet(self.wanted)
        for arrival in self._arrivals:
            for start, stop in wanted.missing(*arrival):
                if count <= 0:
                    return found
                found.append((start, min(stop, start + count)))
                count -= stop - start
        return found

    def _note_arrival(self, gaps: Sequence[Range]) -> None:
        """Keep the order in which bytes came; what follows on the newest is one with it."""
        for start, stop in gaps:
            if self._arrivals and self._arrivals[-1][1] == start:
                self._arrivals[-1] = (self._arrivals[-1][0], stop)
            else:
                self._arrivals.append((start, stop))
        if len(self._arrivals) > _ARRIVALS:
            self._arrivals = deque(self.held)

    def _change(self, change: Change) -> None:
        state = TRANSITIONS.get((self.state, change))
        if state is None:
            raise RuntimeError(f"{self!r} cannot take {change.name}")
        self.state = state


# So many arrivals are told apart; a reader more random than that loses the order, not the bytes.
_ARRIVALS = 4096


def _total(ranges: Sequence[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def _without(arrival: Range, start: int, stop: int) -> list[Range]:
    """What is left of `arrival` without [start, stop)."""
    parts = ((arrival[0], min(arrival[1], start)), (max(arrival[0], stop), arrival[1]))
    return [part for part in parts if part[0] < part[1]]
