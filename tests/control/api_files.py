"""What somebody outside can know of the files that are acted on: contents, removals, pins, what was sent."""

from __future__ import annotations

import random
from collections import Counter

from cloudfs.model.entry import RemotePath
from cloudfs.model.enums import DownloadErrorType, EventClass
from cloudfs.model.errors import NotFound
from tests.control.desk import HEAD, Desk
from tests.servers.memory_cloud import MemoryCloud

FOLDER = b"folder"
PHOTO = b"Photos/p.jpg"
FILES = (b"a.bin", b"b.bin", b"folder/c.bin", PHOTO)
SIZES = (1_500_000, 600_000, 80_000, 1, 0)  # of the largest, several pieces are fetched at once


class KnownFiles:
    """contents: by path all that a file has had under it, here or in the cloud, the oldest first; of any two
    no piece of some bytes is the same. floors: the oldest of those that an open may still show.
    removed: what the cloud lost at some time. explained: the errors that downloads may have met by now.
    """

    def __init__(self, desk: Desk, cloud: MemoryCloud) -> None:
        self._desk = desk
        self._cloud = cloud
        self.contents: dict[RemotePath, list[bytes]] = {path: [] for path in FILES}
        self.floors: Counter[RemotePath] = Counter()
        self.removed: set[RemotePath] = set()
        self.explained: set[DownloadErrorType] = set()
        self._pins: set[RemotePath] = set()
        self._pinned_once: set[RemotePath] = set()
        self._puts: dict[RemotePath, tuple[int, int]] = {}  # the last one: which content, after which event
        self._written: dict[RemotePath, bytes] = {}
        self._contested: set[RemotePath] = set()  # changed on both sides: which one keeps the name is open
        self._arrived: set[bytes | None] = set()  # all that the cloud ever had
        self._number = 0

    def put(self, path: RemotePath, size: int, after: int) -> None:
        """Another device writes it, after so many events."""
        data = self._add(path, size)
        if path in self._written:
            self._contested.add(path)
        self._puts[path] = len(self.contents[path]) - 1, after
        self._cloud.put(path, data)

    def remove(self, path: RemotePath) -> None:
        """Another device does, if it is there."""
        if path in self._cloud.paths():
            self.removed.add(path)
            self._cloud.remove(path)

    def written(self, path: RemotePath, size: int) -> bytes:
        """A program writes it: what."""
        if self.floors[path] < self._puts[path][0]:
            self._contested.add(path)
        data = self._written[path] = self._add(path, size)
        if path not in self._contested:
            self.floors[path] = len(self.contents[path]) - 1
        return data

    def look(self) -> None:
        """Note what has come to the cloud."""
        self._arrived.update(self._cloud.paths().values())

    def synced(self, source: EventClass, begun: int) -> None:
        """A sync completed that began with that event: what was put before is what every open shows now."""
        for path, (number, after) in self._puts.items():
            if source_of(path) is source and after < begun and path not in self._written:
                self.floors[path] = number

    def inode(self, path: RemotePath) -> int | None:
        """None where it is not there, which only a removal in the cloud can explain."""
        try:
            return self._desk.cache.find(path)
        except NotFound:
            assert path in self.removed
            return None

    def pin(self, path: RemotePath) -> None:
        """A file, or the folder."""
        self._pins.add(path)
        self._pinned_once.add(path)

    def unpin(self, path: RemotePath) -> None:
        self._pins.discard(path)

    def is_pinned(self, path: RemotePath) -> bool:
        return _holds(self._pins, path)

    def was_pinned(self, path: RemotePath) -> bool:
        """Whether what a pin began may still be under way."""
        return _holds(self._pinned_once, path)

    def is_untouched(self, path: RemotePath) -> bool:
        """Whether no program wrote it."""
        return path not in self._written

    def is_unsent(self, path: RemotePath) -> bool:
        """Whether it is certain that the cloud lacks what was written."""
        is_sent = self.is_untouched(path) or self._written[path] in self._arrived
        return not is_sent and path not in self.removed | self._contested

    def _add(self, path: RemotePath, size: int) -> bytes:
        self._number += 1
        data = random.Random(self._number).randbytes(size)
        self.contents[path].append(data)
        return data


def _holds(pins: set[RemotePath], path: RemotePath) -> bool:
    return path in pins or (path.startswith(FOLDER) and FOLDER in pins)


def path_of(number: int) -> RemotePath:
    return FILES[number % len(FILES)]


def uri_of(path: RemotePath) -> str:
    return HEAD + path.decode()


def source_of(path: RemotePath) -> EventClass:
    """The class whose sync covers it."""
    return EventClass.GALLERY_SYNC if path.startswith(b"Photos/") else EventClass.FILE_SYNC
