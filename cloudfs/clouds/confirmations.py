"""What became of files just written, where the server told no tag: asked for, many of a folder at once.

Apache answers a PUT without a tag, so each upload would cost a second request. While many files go into one
folder, those that are through wait for a moment for the others, and one listing answers all of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from cloudfs.clouds.propfind import Propfind
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

GATHER_S = 0.1
_MANY = 8  # one listing costs less than so many questions
_ENTRIES_EACH = 30  # an entry of a listing costs a thirtieth of a question
_REMEMBERED = 1000  # folders


@dataclass(slots=True, eq=False)
class _Round:
    """Those who wait for the same listing. It begins after the last of their PUTs has ended."""

    waiting: int = 0
    complete: trio.Event = field(default_factory=trio.Event)  # nobody else is about to come
    done: trio.Event = field(default_factory=trio.Event)
    versions: dict[bytes, Version] = field(default_factory=dict)


class Confirmations:
    """Tells the versions of files that were written through this site.

    Invariant: a version told by a listing was asked for after the file's PUT had been answered.
    """

    def __init__(self, propfind: Propfind) -> None:
        self._propfind = propfind
        self._writing: Counter[RemotePath] = Counter()
        self._rounds: dict[RemotePath, _Round] = {}
        self._sizes: dict[RemotePath, int] = {}

    @contextmanager
    def writing(self, path: RemotePath) -> Iterator[None]:
        """Around a PUT: others in the folder may wait for it."""
        folder = _folder_of(path)
        self._writing[folder] += 1
        try:
            yield
        finally:
            self._writing[folder] -= 1
            if not self._writing[folder]:
                del self._writing[folder]
                if folder in self._rounds:
                    self._rounds[folder].complete.set()

    async def version(self, path: RemotePath) -> Version:
        """What is there now. NotFound, and what kept the cloud from answering."""
        folder, _, name = path.rpartition(b"/")
        if folder in self._rounds or self._writing[folder] >= _MANY:
            found = (await self._listed(folder)).get(name)
            if found is not None:
                return found
        return (await self._propfind.stat(path)).version

    async def _listed(self, folder: RemotePath) -> dict[bytes, Version]:
        """The versions of a folder's entries; empty where each is to be asked for by itself."""
        joined = self._rounds.get(folder)
        if joined is not None:
            joined.waiting += 1
            await joined.done.wait()
            return joined.versions
        mine = self._rounds[folder] = _Round(waiting=1)
        try:
            await self._gather(folder, mine)
            if self._is_worth_it(folder, mine.waiting):
                await self._list(folder, mine)
        finally:
            mine.done.set()
        return mine.versions

    async def _gather(self, folder: RemotePath, mine: _Round) -> None:
        try:
            with trio.move_on_after(GATHER_S):
                await mine.complete.wait()
        finally:
            del self._rounds[folder]  # who comes from here on is not in this listing

    def _is_worth_it(self, folder: RemotePath, waiting: int) -> bool:
        return waiting >= _MANY and self._sizes.get(folder, 0) <= waiting * _ENTRIES_EACH

    async def _list(self, folder: RemotePath, mine: _Round) -> None:
        try:
            entries = (await self._propfind.list_folder(folder)).entries
        except CloudfsError as error:
            log.debug("what was written is asked for one by one: %s", error.reason)
            return
        mine.versions = {entry.name: entry.version for entry in entries}
        if len(self._sizes) >= _REMEMBERED:
            self._sizes.clear()
        self._sizes[folder] = len(entries)


def _folder_of(path: RemotePath) -> RemotePath:
    return path.rpartition(b"/")[0]
