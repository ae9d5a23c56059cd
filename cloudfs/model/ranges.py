"""Sorted, disjoint, half-open byte ranges: which bytes of a file are held."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from struct import Struct

_PAIR = Struct("<QQ")

Range = tuple[int, int]  # [start, stop) in bytes


class RangeSet:
    """A set of bytes, kept as the fewest ranges.

    Invariant: starts and stops are sorted, and stops[i] < starts[i + 1] (touching ranges are one).
    """

    __slots__ = ("_starts", "_stops")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in ranges:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Range]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        """How many ranges, not bytes."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._starts == other._starts and self._stops == other._stops

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self._stops) - sum(self._starts)

    def add(self, start: int, stop: int) -> None:
        """Add [start, stop); an empty range adds nothing."""
        if start >= stop:
            return
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def remove(self, start: int, stop: int) -> None:
        """Take [start, stop) out."""
        if start >= stop:
            return
        first = bisect_right(self._stops, start)
        last = bisect_left(self._starts, stop)
        if first >= last:
            return
        starts, stops = [], []
        if self._starts[first] < start:
            starts.append(self._starts[first])
            stops.append(start)
        if self._stops[last - 1] > stop:
            starts.append(stop)
            stops.append(self._stops[last - 1])
        self._starts[first:last] = starts
        self._stops[first:last] = stops

    def covers(self, start: int, stop: int) -> bool:
        """Whether every byte of [start, stop) is in it."""
        if start >= stop:
            return True
        i = bisect_right(self._starts, start) - 1
        return i >= 0 and self._stops[i] >= stop

    def held_from(self, start: int) -> int:
        """Where the run of held bytes that begins at `start` ends (`start` itself where none does)."""
        i = bisect_right(self._starts, start) - 1
        return self._stops[i] if i >= 0 and self._stops[i] > start else start

    def missing(self, start: int, stop: int) -> list[Range]:
        """The gaps within [start, stop), in order."""
        gaps = []
        i = bisect_right(self._stops, start)
        while start < stop:
            gap_stop = min(self._starts[i], stop) if i < len(self._starts) else stop
            if start < gap_stop:
                gaps.append((start, gap_stop))
            if i >= len(self._starts):
                break
            start = max(start, self._stops[i])
            i += 1
        return gaps

    def copy(self) -> RangeSet:
        twin = RangeSet()
        twin._starts = self._starts.copy()
        twin._stops = self._stops.copy()
        return twin

    def to_bytes(self) -> bytes:
        """16 bytes a range: little-endian start and stop."""
        return b"".join(_PAIR.pack(start, stop) for start, stop in self)

    @classmethod
    def from_bytes(cls, blob: bytes) -> RangeSet:
        """The set that `to_bytes` wrote. Raises ValueError where the bytes break the invariant."""
        if len(blob) % _PAIR.size:
            raise ValueError("a range map must be whole pairs")
        ranges = cls()
        end = -1
        for start, stop in _PAIR.iter_unpack(blob):
            if not end < start < stop:
                raise ValueError("a range map must be sorted and disjoint")
            ranges._starts.append(start)
            ranges._stops.append(stop)
            end = stop
        return ranges
