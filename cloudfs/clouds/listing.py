"""A multistatus answer becomes a folder's listing: each resource judged, none trusted. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from cloudfs.clouds.multistatus import Resource
from cloudfs.clouds.names import BaseUrl, UnusableHref
from cloudfs.clouds.properties import read_date, read_size, version_of
from cloudfs.model.entry import TEMPORARY_PREFIX, FolderListing, RemoteEntry, RemotePath
from cloudfs.model.enums import Kind
from cloudfs.model.errors import AccessRefused, NotAFolder, NotFound, WrongContent

_log = logging.getLogger(__name__)

MAX_NOTES = 100  # of what is left out; a server that sends nothing but nonsense fills no log


class ListingBuilder:
    """Collects what one PROPFIND of `path` shows.

    Entries keep the server's order. `sizeless` holds the files whose size is missing or unreadable: the
    caller asks for each, and says what it learned by `add_file` or `leave_out`. `temporaries` holds the
    names of uploads under way, which are no entries, and their times in nanoseconds.
    """

    def __init__(self, base: BaseUrl, path: RemotePath) -> None:
        self._base = base
        self._path = path
        self._names = path.split(b"/") if path else []
        self._own: Resource | None = None
        self._prefix: str | None = None  # the folder's own href, which most servers begin each child's with
        self._entries: dict[bytes, RemoteEntry] = {}
        self._left_out: list[str] = []
        self._left_out_count = 0
        self._unshown: set[bytes] = set()
        self.sizeless: dict[bytes, Resource] = {}
        self.temporaries: dict[bytes, int | None] = {}

    def add(self, resources: Iterable[Resource]) -> None:
        for resource in resources:
            try:
                self._place(resource)
            except UnusableHref as fault:
                self._note(resource.href, str(fault))

    def _place(self, resource: Resource) -> None:
        href = resource.href
        if self._prefix is not None and href.startswith(self._prefix):
            self._add_child(self._base.name(href[len(self._prefix) :]), resource)
            return
        names = self._base.names(href)
        if names == self._names:
            self._own = resource
            self._prefix = href if href.endswith("/") else None
        elif names[:-1] == self._names:
            self._add_child(names[-1], resource)
        else:
            raise UnusableHref("it is not in this folder")

    def own(self) -> Resource:
        """What the answer says of the very resource that was asked for.

        WrongContent where it is not there: then the answer is no listing of ours, whoever gave it.
        """
        own = self._own
        if own is None:
            raise WrongContent("the answer does not hold what was asked for")
        if own.status in (404, 410):
            raise NotFound("it is not there", status=own.status)
        if own.status in (401, 403):
            raise AccessRefused("the server does not show it", status=own.status)
        if own.is_folder is None:
            raise WrongContent("the answer does not say whether it is a folder", status=own.status)
        return own

    def add_file(self, name: bytes, resource: Resource, size: int) -> None:
        """A file of `size` bytes, as the listing or a question of its own told."""
        self._entries[name] = RemoteEntry(name, Kind.FILE, version_of(resource, size), resource.file_id)

    def leave_out(self, name: bytes, reason: str) -> None:
        """The cloud holds the name, but nothing can be shown of it."""
        self._unshown.add(name)
        self._note(repr(name), reason)

    def listing(self) -> FolderListing:
        """Raises NotAFolder, and what `own` does."""
        own = self.own()
        if not own.is_folder:
            raise NotAFolder("it is a file")
        name = self._names[-1] if self._names else b""
        folder = RemoteEntry(name, Kind.FOLDER, version_of(own, 0), own.file_id)
        entries = tuple(self._entries.values())
        if self._left_out_count > MAX_NOTES:
            self._left_out.append(f"and {self._left_out_count - MAX_NOTES} more")
        return FolderListing(folder, entries, tuple(self._left_out), frozenset(self._unshown))

    def _add_child(self, name: bytes, resource: Resource) -> None:
        if name.startswith(TEMPORARY_PREFIX):
            self.temporaries[name] = read_date(resource.last_modified)
            return
        if name in self._entries or name in self.sizeless:
            self._note(resource.href, "the name is listed twice")
        elif resource.status not in (None, 200):
            self.leave_out(name, f"the server answers {resource.status} for it")
        elif resource.is_folder is None:
            self.leave_out(name, "the server does not say whether it is a folder")
        elif resource.is_folder:
            self._entries[name] = RemoteEntry(name, Kind.FOLDER, version_of(resource, 0), resource.file_id)
        elif (size := read_size(resource.content_length)) is not None:
            self.add_file(name, resource, size)
        else:
            self.sizeless[name] = resource

    def _note(self, what: str, reason: str) -> None:
        self._left_out_count += 1
        if self._left_out_count > MAX_NOTES:
            return
        self._left_out.append(f"{what[:300]}: {reason}")
        _log.warning("left out of the listing of %r: %.300s: %s", self._path, what, reason)
