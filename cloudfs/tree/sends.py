"""What is being sent to the cloud, so that a listing which was under way meanwhile is not believed about it.

Pure memory: after a crash nothing is being sent, and what came through is the open intents' to say.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cloudfs.model.errors import TryAgain
from cloudfs.model.node import Place

_REMEMBERED = 20_000  # sends that ended; a listing under way for longer than that many is given up

Places = Callable[[], Iterable[Place]]


@dataclass(frozen=True, slots=True)
class PassedOver:
    """What a listing is not asked about: inodes, and names in its folder."""

    inodes: frozenset[int] = frozenset()
    names: frozenset[bytes] = frozenset()


class Sends:
    """Inodes that are being sent, or were since a stamp, with the places that they held."""

    def __init__(self) -> None:
        self._running: Counter[int] = Counter()
        self._places: dict[int, set[Place]] = {}
        self._ended: deque[tuple[int, frozenset[Place]]] = deque()
        self._count = 0  # sends that ever ended

    def __contains__(self, inode: int) -> bool:
        return inode in self._running

    def concerned(self, but: int | None = None) -> frozenset[int]:
        """What is being sent, and the folders it is sent to; `but` for one whose answer came."""
        sent = [(inode, held) for inode, held in self._places.items() if inode != but]
        return frozenset(inode for inode, _ in sent) | {place.parent for _, held in sent for place in held}

    @property
    def stamp(self) -> int:
        """This moment, for `passed_over`."""
        return self._count

    @contextmanager
    def sending(self, inode: int, places: Places) -> Iterator[None]:
        """The inode is being sent while this lasts. `places`: those that it holds, whenever asked."""
        self._running[inode] += 1
        held = self._places.setdefault(inode, set())
        held.update(places())
        try:
            yield
        finally:
            held.update(places())
            self._end(inode, frozenset(held))

    def _end(self, inode: int, held: frozenset[Place]) -> None:
        self._running[inode] -= 1
        if not self._running[inode]:
            del self._running[inode], self._places[inode]
        self._ended.append((inode, held))
        self._count += 1
        if len(self._ended) > _REMEMBERED:
            self._ended.popleft()

    def passed_over(self, folder: int, stamp: int) -> PassedOver:
        """What was being sent at some time since a stamp. TryAgain where that is too long ago to tell."""
        ended = self._count - stamp
        if ended > len(self._ended):
            raise TryAgain("too much was sent while the folder was listed")
        since = [self._ended[-number] for number in range(1, ended + 1)]
        inodes = {inode for inode, _ in since}
        inodes.update(self._running)
        places = [held for _, held in since] + list(self._places.values())
        names = {place.name for held in places for place in held if place.parent == folder}
        return PassedOver(frozenset(inodes), frozenset(names))
