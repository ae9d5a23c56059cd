"""What is there: listings, single entries and the quota, each by a PROPFIND (RFC 4918 section 9.1)."""

from __future__ import annotations

import trio

from cloudfs.clouds.base import Lane, Quota
from cloudfs.clouds.http import Answer
from cloudfs.clouds.listing import ListingBuilder
from cloudfs.clouds.multistatus import CHUNK_BYTES, MultistatusParser
from cloudfs.clouds.properties import read_size, version_of
from cloudfs.clouds.site import Site
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    CloudfsError,
    NetworkUnavailable,
    NotAFolder,
    NotEmpty,
    NotFound,
    ServerError,
    TooManyRequests,
    WrongContent,
)

# Four properties: 10,000 files take Apache 0.08 s, with displayname and content type or as allprop 0.40 s.
_ENTRY_PROPERTIES = "<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/>"
_FILE_ID_PROPERTY = '<o:fileid xmlns:o="http://owncloud.org/ns"/>'
_QUOTA_PROPERTIES = "<D:resourcetype/><D:quota-available-bytes/><D:quota-used-bytes/>"


class Propfind:
    """Asks one site. Learns whether it has file ids, whether its folders' tags tell of all below them
    (ownCloud's and Nextcloud's do, and nobody else has those ids), and whether it tells a quota."""

    def __init__(self, site: Site, temporaries: Temporaries) -> None:
        self._site = site
        self._temporaries = temporaries
        self._has_file_ids: bool | None = None

    async def list_folder(self, path: RemotePath) -> FolderListing:
        """Cloud.list_folder."""
        listing = await self._list(path)
        await self._ask_for_sizes(path, listing)
        found = listing.listing()
        self._has_file_ids = found.folder.file_id is not None or any(e.file_id for e in found.entries)
        if self._site.capabilities.folder_tags is None:
            self._site.learn(folder_tags=self._has_file_ids and found.folder.version.is_strong)
        self._temporaries.met(path, listing.temporaries)
        return found

    async def stat(self, path: RemotePath) -> RemoteEntry:
        """Cloud.stat."""
        own = (await self._propfind(path, "0", self._entry_properties())).own()
        name = path.rpartition(b"/")[2]
        if own.is_folder:
            return RemoteEntry(name, Kind.FOLDER, version_of(own, 0), own.file_id)
        size = read_size(own.content_length)
        if size is None:
            size = await self._ask_for_size(path)
        if size is None:
            raise WrongContent("the server does not tell the file's size")
        return RemoteEntry(name, Kind.FILE, version_of(own, size), own.file_id)

    async def is_there(self, path: RemotePath) -> bool:
        """Whether anything is; only a positive answer says no."""
        try:
            await self.stat(path)
        except NotFound:
            return False
        return True

    async def hidden_names(self, path: RemotePath) -> set[bytes]:
        """The temporaries that a folder shows."""
        return set((await self._list(path)).temporaries)

    async def check_empty(self, path: RemotePath) -> None:
        """NotFound, NotAFolder; NotEmpty where a folder holds anything but temporaries that are ours, or
        that somebody has given up long ago."""
        listing = await self._list(path)
        found = listing.listing()
        in_use = [name for name, at in listing.temporaries.items() if self._temporaries.is_in_use(name, at)]
        if found.entries or found.left_out or listing.sizeless or in_use:
            raise NotEmpty("the folder holds something in the cloud")

    async def quota(self) -> Quota | None:
        """Cloud.quota."""
        own = (await self._propfind(b"", "0", _QUOTA_PROPERTIES)).own()
        quota = Quota(used=read_size(own.quota_used), available=read_size(own.quota_available))
        is_told = quota != Quota(None, None)
        self._site.learn(quota=is_told)
        return quota if is_told else None

    async def _list(self, path: RemotePath) -> ListingBuilder:
        try:
            return await self._propfind(path, "1", self._entry_properties())
        except CloudfsError as error:
            # So Apache answers to a file that is named as a folder.
            if error.status == 400 and (await self.stat(path)).kind is Kind.FILE:
                raise NotAFolder("it is a file", status=400) from error
            raise

    def _entry_properties(self) -> str:
        # Where no file has an id, asking would only add a "not found" to every entry.
        return _ENTRY_PROPERTIES + ("" if self._has_file_ids is False else _FILE_ID_PROPERTY)

    async def _propfind(self, path: RemotePath, depth: str, properties: str) -> ListingBuilder:
        """Raises NotFound, WrongContent where the answer is no whole multistatus about `path`."""
        body = f'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>{properties}</D:prop></D:propfind>'
        listing = ListingBuilder(self._site.base, path)
        async with self._site.http.request(
            "PROPFIND",
            self._site.url(path, is_folder=depth == "1"),
            lane=Lane.METADATA,
            expect=(207,),
            headers={"Depth": depth, "Content-Type": 'application/xml; charset="utf-8"'},
            body=body.encode(),
        ) as answer:
            await _parse(answer, listing)
        listing.own()
        return listing

    async def _ask_for_sizes(self, folder: RemotePath, listing: ListingBuilder) -> None:
        for name, resource in listing.sizeless.items():
            path = folder + b"/" + name if folder else name
            try:
                size = await self._ask_for_size(path)
            except (NetworkUnavailable, ServerError, TooManyRequests):
                raise  # it may be told next time: this listing did not come whole
            except NotFound:
                continue
            except CloudfsError as error:
                listing.leave_out(name, error.reason)
                continue
            if size is None:
                listing.leave_out(name, "the server does not tell its size")
            else:
                listing.add_file(name, resource, size)

    async def _ask_for_size(self, path: RemotePath) -> int | None:
        async with self._site.http.request(
            "HEAD", self._site.url(path), lane=Lane.METADATA, expect=(200,)
        ) as answer:
            return read_size(answer.header("Content-Length"))


async def _parse(answer: Answer, listing: ListingBuilder) -> None:
    """As it comes in, the loop left to others after every piece. WrongContent where it ends early."""
    parser = MultistatusParser()
    while chunk := await answer.next_chunk():
        for at in range(0, len(chunk), CHUNK_BYTES):
            listing.add(parser.feed(chunk[at : at + CHUNK_BYTES]))
            await trio.lowlevel.checkpoint()
    parser.close()
