"""The downloads under way, one a content, and what is remembered of contents between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from weakref import WeakKeyDictionary

from cloudfs.cache.content import Content
from cloudfs.cache.store import Store
from cloudfs.clouds.base import Cloud
from cloudfs.model.enums import Priority
from cloudfs.model.errors import CloudfsError
from cloudfs.transfers.download import Download, Past


class Downloads:
    """Each is one user of its content, from `of` until who gets it from `take_idle` closes the content.

    fetched: told of an inode how many bytes came for whom, once a download is over; never blocks.
    """

    def __init__(self, store: Store, cloud: Cloud, fetched: Callable[[int, int, Priority], None]) -> None:
        self._store = store
        self._cloud = cloud
        self._fetched = fetched
        self._downloads: dict[Content, Download] = {}
        self._past: WeakKeyDictionary[Content, Past] = WeakKeyDictionary()

    def __iter__(self) -> Iterator[Download]:
        return iter(self._downloads.values())

    def __len__(self) -> int:
        return len(self._downloads)

    def get(self, content: Content) -> Download | None:
        return self._downloads.get(content)

    def of(self, content: Content) -> Download:
        """The content's download; a new one where there is none. The content must have a user."""
        download = self._downloads.get(content)
        if download is None:
            self._store.keep(content)
            is_serial = self._cloud.capabilities.ranges is False
            download = Download(content, self.past_of(content), is_serial=is_serial)
            self._downloads[content] = download
        return download

    def progress(self, inode: int) -> tuple[int, int] | None:
        """(processed, size) in bytes while a file is fetched; else None."""
        for content, download in self._downloads.items():
            if content.inode == inode and not content.detached and download.flights:
                return content.held_bytes, content.size
        return None

    def cause(self, content: Content) -> CloudfsError | None:
        """What the content's flights bear with at this moment, or what they met a moment ago."""
        download = self._downloads.get(content)
        bears_with = download.cause() if download is not None else None
        return bears_with or self.past_of(content).failure(0, content.size)

    def past_of(self, content: Content) -> Past:
        """Its memory, which ends with the last who has the content."""
        past = self._past.get(content)
        if past is None:
            past = self._past[content] = Past()
        return past

    def take_idle(self) -> list[Content]:
        """Forget the downloads that have nothing to do any more, and hand over their contents."""
        idle = [content for content, download in self._downloads.items() if download.is_idle]
        for content in idle:
            download = self._downloads.pop(content)
            if download.received:
                self._fetched(content.inode, download.received, download.purpose)
        return idle
