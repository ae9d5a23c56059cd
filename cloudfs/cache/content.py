"""What is held of one file's content, and in which state that is. No I/O.

A clean content is one version of the cloud's, as far as it was fetched. A dirty one is newer than that: what
programs wrote lies over its base version, and the gaps between still are the base's. Whatever lies at or
beyond the smallest size that it has had since is held, as zeros or as written, so that bytes of the base
never come back after a cut.

Invariants: `held` lies within [0, size), and what is missing of it within the base version too; `held_bytes`
is its total; `state` agrees with them but while EVICTING, when nothing may be added or taken away;
`reserved` is never negative; a clean content has the size of its version.
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
    """What has become of a content."""

    NONE_HELD = auto()
    SOME_HELD = auto()
    ALL_HELD = auto()
    LEAVING = auto()  # it was chosen to be evicted
    GONE = auto()  # row and file are away


TRANSITIONS: dict[tuple[ContentState, Change], ContentState] = {
    (state, change): after
    for state in (ContentState.PLACEHOLDER, ContentState.PARTIAL, ContentState.WHOLE)
    for change, after in (
        (Change.NONE_HELD, ContentState.PLACEHOLDER),
        (Change.SOME_HELD, ContentState.PARTIAL),
        (Change.ALL_HELD, ContentState.WHOLE),
        (Change.LEAVING, ContentState.EVICTING),
    )
} | {(ContentState.EVICTING, Change.GONE): ContentState.PLACEHOLDER}


class Content:
    """One file's content, as far as it is held.

    inode: the file. A content that was cleaned while programs read it is `detached`: it has no row and
    no name any more and serves those programs alone, while the inode has a new Content.
    version: what the cloud has, or had when the change began; None: it never had anything.
    size: bytes of the whole content, whatever is held.
    file_id: the name of its cache file, None before the first byte. fd: open while it is in use.
    has_row: whether a committed row names it. is_placed: whether its file's name survives power loss.
    users: open handles and transfers. writers: open handles that may write.
    changers: changes of it that are under way or wait for their turn (see cache.turns).
    reserved: bytes that admission keeps free for it.
    wanted: ranges that somebody waits for; they are not dropped to make room.
    was_filled: whether any byte was ever held, so that somebody may have seen it.
    is_stale: the cloud no longer has this version, so what is missing can't come any more.
    unsaved: whether `held` differs from the committed map. durable: whether the committed map is of bytes
    that survive power loss; of a dirty content, whether all that programs wrote survives it.
    row_survives: whether a row that calls all of it held and safe survives power loss itself.

    is_dirty: newer than any version of the cloud's. is_marked: the committed state says that it is newer
    than whatever is being sent, too; only then may bytes change. was_sent: since it was marked last it was
    taken to be sent, so that a commit may call it clean at any moment. unflushed: bytes or size changed since
    they were last committed. edits: how often that happened. mtime_ns: when it happened last.
    written_ns: the cache file's own mtime when the content was last flushed.
    """

    __slots__ = (
        "__weakref__",
        "_arrivals",
        "_held_bytes",
        "changers",
        "detached",
        "durable",
        "edits",
        "fd",
        "file_id",
        "has_row",
        "held",
        "inode",
        "is_dirty",
        "is_marked",
        "is_placed",
        "is_stale",
        "mtime_ns",
        "reserved",
        "row_survives",
        "size",
        "state",
        "unflushed",
        "unsaved",
        "users",
        "version",
        "wanted",
        "was_filled",
        "was_sent",
        "writers",
        "written_ns",
    )

    def __init__(
        self,
        inode: int,
        version: Version | None,
        held: RangeSet | None = None,
        file_id: str | None = None,
        *,
        size: int | None = None,
    ) -> None:
        """size: given for a dirty content, which then may differ from its version."""
        self.inode = inode
        self.version = version
        self.is_dirty = size is not None or version is None
        self.size = size if size is not None else version.size if version is not None else 0
        self.held = RangeSet()
        self._held_bytes = 0
        self._arrivals: deque[Range] = deque()
        self.state = ContentState.PLACEHOLDER
        self._settle_state()
        self.file_id = file_id
        self.fd: int | None = None
        self.has_row = False
        self.is_placed = False
        self.row_survives = False
        self.users = 0
        self.writers = 0
        self.changers = 0
        self.reserved = 0
        self.wanted: list[Range] = []
        self.detached = False
        self.is_stale = False
        self.was_filled = False
        self.is_marked = False
        self.was_sent = False
        self.unflushed = False
        self.edits = 0
        self.mtime_ns: int | None = None
        self.written_ns = 0
        for start, stop in held or ():
            self.add(start, stop)
        self.unsaved = False
        self.durable = False

    def __repr__(self) -> str:
        dirty = " dirty" if self.is_dirty else ""
        return f"<Content {self.inode} {self.state.name} {self._held_bytes}/{self.size}{dirty}>"

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def is_whole(self) -> bool:
        return self._held_bytes == self.size

    @property
    def fetch_limit(self) -> int:
        """Nothing that lies here or beyond is ever to be fetched."""
        return min(self.size, self.version.size) if self.version is not None else 0

    def missing(self, start: int, stop: int) -> list[Range]:
        """The gaps within [start, stop), as far as the file reaches."""
        return self.held.missing(start, min(stop, self.size))

    def holds(self, start: int, stop: int) -> bool:
        """Whether every byte of [start, stop) that the file has is held."""
        return self.held.covers(start, min(stop, self.size))

    # --- what comes from the cloud, and goes ---

    def add(self, start: int, stop: int) -> int:
        """The cloud's bytes [start, stop) are in the cache file now. Returns how many of them are new."""
        if not 0 <= start <= stop <= self.size:
            raise ValueError(f"[{start}, {stop}) is outside of {self!r}")
        gaps = self.held.missing(start, stop)
        if not gaps:
            return 0
        gained = self._hold(start, stop, _total(gaps))
        if not self.is_dirty:
            self.durable = False
            self._note_arrival(gaps)
        return gained

    def drop(self, start: int, stop: int) -> int:
        """The bytes [start, stop) are not to be read any more. Returns how many were held."""
        stop = min(stop, self.size)
        lost = max(0, stop - start) - _total(self.held.missing(start, stop))
        if not lost:
            return 0
        self.held.remove(start, stop)
        self._arrivals = deque(part for arrival in self._arrivals for part in _without(arrival, start, stop))
        self._held_bytes -= lost
        self._settle_state()
        self.unsaved = True
        self.durable = False
        return lost

    def clip(self, length: int) -> int:
        """The cache file is no longer than `length` bytes: claim nothing beyond. Returns the bytes lost."""
        return self.drop(length, self.size)

    def rebase(self, version: Version) -> None:
        """Belong to another version. Only if no byte was ever held (ValueError else): never a mixture."""
        if self.was_filled or self.is_dirty:
            raise ValueError(f"{self!r} has held bytes of another version")
        self.version = version
        self.size = version.size
        self._settle_state()
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
        """At least `count` held bytes that came first and that nobody waits for, or all there are.

        None of a dirty content: what programs wrote can't come again.
        """
        if self.is_dirty:
            return []
        found: list[Range] = []
        wanted = RangeSet(self.wanted)
        for arrival in self._arrivals:
            for start, stop in wanted.missing(*arrival):
                if count <= 0:
                    return found
                found.append((start, min(stop, start + count)))
                count -= stop - start
        return found

    # --- what programs change ---

    def marked(self) -> None:
        """It is committed that the content is newer than what the cloud has and than what is being sent."""
        self.is_dirty = self.is_marked = True
        self.was_sent = False
        self._arrivals.clear()

    def taken(self) -> None:
        """It is about to be sent: the next change is another generation's."""
        self.is_marked = False
        self.was_sent = True

    def cleaned(self, version: Version) -> None:
        """The cloud has this very content now."""
        self.version = version
        self.is_dirty = self.is_marked = False
        self._arrivals = deque(self.held)

    def wrote(self, start: int, stop: int, now_ns: int) -> int:
        """A program's bytes are in [start, stop) now. Returns how many more are held.

        What lies between the end so far and `start` reads as zeros.
        """
        before = self.size
        if self._held_bytes == before:
            gained = max(0, stop - before)
            start = min(start, before)
        else:
            start = min(start, before)
            gained = _total(self.held.missing(start, stop))
        self.size = max(before, stop)
        if gained:
            self._hold(start, stop, gained)
        self.note_edit(now_ns)
        return gained

    def resize(self, size: int, now_ns: int) -> int:
        """A program cut the file, or made it longer by zeros. Returns how many more (or fewer: below 0)
        bytes are held."""
        before = self._held_bytes
        if size < self.size:
            self.drop(size, self.size)
            self.size = size
            self._settle_state()
        elif size > self.size:
            start, self.size = self.size, size
            self._hold(start, size, size - start)
        self.note_edit(now_ns)
        return self._held_bytes - before

    # --- inside ---

    def note_edit(self, now_ns: int) -> None:
        self.edits += 1
        self.mtime_ns = now_ns
        self.unflushed = True
        self.durable = False

    def _hold(self, start: int, stop: int, gained: int) -> int:
        """[start, stop) is held, `gained` bytes of it newly."""
        if self.state is ContentState.EVICTING:
            raise RuntimeError(f"{self!r} takes no bytes")
        self.was_filled = True
        self.held.add(start, stop)
        self._held_bytes += gained
        self._settle_state()
        self.unsaved = True
        return gained

    def _note_arrival(self, gaps: Sequence[Range]) -> None:
        """Keep the order in which bytes came; what follows on the newest is one with it."""
        for start, stop in gaps:
            if self._arrivals and self._arrivals[-1][1] == start:
                self._arrivals[-1] = (self._arrivals[-1][0], stop)
            else:
                self._arrivals.append((start, stop))
        if len(self._arrivals) > _ARRIVALS:
            self._arrivals = deque(self.held)

    def _settle_state(self) -> None:
        if self._held_bytes == self.size:
            change = Change.ALL_HELD
        else:
            change = Change.SOME_HELD if self._held_bytes else Change.NONE_HELD
        self._change(change)

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
