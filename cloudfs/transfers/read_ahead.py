"""Which bytes a sequential reader will want next. No I/O.

Several readers of one file are told apart by where they read. A reader counts as sequential at its third
read in a row: the kernel's own read-ahead already makes two of one small read.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs.model.ranges import Range

KIB = 1024
SEQUENTIAL_READS = 3
STREAMS = 8
FIRST_WINDOW = 512 * KIB
LARGEST_WINDOW = 64 * 1024 * KIB

# The kernel sends read-ahead requests side by side, so they come a little out of order.
SLACK = 256 * KIB


@dataclass(slots=True)
class Stream:
    """One reader: it was last at `position`; [position, stop) is wanted ahead of it."""

    position: int
    reads: int = 1
    window: int = FIRST_WINDOW // 2
    stop: int = 0

    def is_next(self, start: int, stop: int) -> bool:
        return abs(start - self.position) <= SLACK and stop > self.position

    def advance(self, stop: int, largest: int) -> None:
        """It read up to `stop`. The window doubles whenever half of it is used up."""
        self.position = stop
        self.reads += 1
        if self.reads >= SEQUENTIAL_READS and self.stop - stop <= self.window // 2:
            self.window = min(self.window * 2, largest)
            self.stop = stop + self.window


class Streams:
    """The readers of one file."""

    def __init__(self) -> None:
        self._streams: list[Stream] = []  # the latest to read is last

    def note_read(self, start: int, stop: int, largest: int = LARGEST_WINDOW) -> None:
        """Somebody reads [start, stop). largest: the bytes that read-ahead may take for one reader."""
        for stream in reversed(self._streams):
            if stream.is_next(start, stop):
                stream.advance(stop, largest)
                self._streams.remove(stream)
                self._streams.append(stream)
                return
        self._streams.append(Stream(stop))
        del self._streams[:-STREAMS]

    def windows(self, size: int) -> list[Range]:
        """What to read ahead, the latest reader's first."""
        windows = ((stream.position, min(stream.stop, size)) for stream in reversed(self._streams))
        return [window for window in windows if window[0] < window[1]]
