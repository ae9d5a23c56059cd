"""A cloud that speaks WebDAV (RFC 4918): Apache's mod_dav, WsgiDAV, Nextcloud, ownCloud and their like."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio

from cloudfs.clouds.base import Capabilities, Lane, Quota
from cloudfs.clouds.body import FileContent, TagDiffers, Wish, accept, tags_agree
from cloudfs.clouds.http import Answer, Http
from cloudfs.clouds.listing import ListingBuilder
from cloudfs.clouds.multistatus import CHUNK_BYTES, MultistatusParser
from cloudfs.clouds.names import BaseUrl
from cloudfs.clouds.properties import read_date, read_size, read_tag, version_of
from cloudfs.clouds.statuses import Meanings
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, Version, name_fault
from cloudfs.model.enums import CloudState, Kind
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    ContentNotFound,
    NameRefused,
    NetworkUnavailable,
    NotFound,
    PreconditionFailed,
    ServerError,
    TooManyRequests,
    WrongContent,
)

# Four properties: 10,000 files take Apache 0.08 s, with displayname and content type or as allprop 0.40 s.
_ENTRY_PROPERTIES = "<D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/>"
_FILE_ID_PROPERTY = '<o:fileid xmlns:o="http://owncloud.org/ns"/>'
_QUOTA_PROPERTIES = "<D:resourcetype/><D:quota-available-bytes/><D:quota-used-bytes/>"

_READ_MEANINGS: Meanings = {404: ContentNotFound, 410: ContentNotFound, 412: TagDiffers}
_WRITE_MEANINGS: Meanings = {
    400: NameRefused,
    405: AlreadyExists,  # a folder is there
    409: NotFound,  # the parent is missing
    422: NameRefused,
}
_MOVE_MEANINGS: Meanings = {400: NameRefused, 409: NotFound, 422: NameRefused}


class WebDav:
    """One folder of a WebDAV server as a Cloud (clouds/base.py).

    What the server can do is learned from its answers: `capabilities`, whether it has file ids, and
    whether its tags agree between listing and content.
    """

    def __init__(self, url: str, http: Http) -> None:
        """url: the folder that the mount's root stands for. ValueError where it is no http(s) URL."""
        self._base = BaseUrl(url)
        self._http = http
        self._capabilities = Capabilities()
        self._has_file_ids: bool | None = None
        self._tags_agree = True

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    @property
    def max_connections(self) -> int:
        return self._http.lanes.limit

    @property
    def state(self) -> CloudState:
        """How the server answered last."""
        return self._http.state

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._http.run(task_status=task_status)

    async def probe(self) -> Capabilities:
        """Ask what can be asked without writing; for `doctor`.

        WrongContent where the server is none for WebDAV, and what `quota` and `list_folder` raise.
        """
        async with self._http.request(
            "OPTIONS", self._url(b"", is_folder=True), lane=Lane.METADATA, expect=(200, 204)
        ) as answer:
            levels = [level.strip() for level in (answer.header("DAV") or "").split(",")]
            if "1" not in levels:
                raise WrongContent("the server does not offer WebDAV at this URL")
        await self.list_folder(b"")
        await self.quota()
        return self._capabilities

    # --- listing ---

    async def list_folder(self, path: RemotePath) -> FolderListing:
        listing = await self._propfind(path, "1", self._entry_properties())
        await self._ask_for_sizes(path, listing)
        found = listing.listing()
        self._has_file_ids = found.folder.file_id is not None or any(e.file_id for e in found.entries)
        return found

    async def stat(self, path: RemotePath) -> RemoteEntry:
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

    async def quota(self) -> Quota | None:
        own = (await self._propfind(b"", "0", _QUOTA_PROPERTIES)).own()
        quota = Quota(used=read_size(own.quota_used), available=read_size(own.quota_available))
        is_told = quota != Quota(None, None)
        self._learn(quota=is_told)
        return quota if is_told else None

    async def changes(self, cursor: str | None) -> tuple[list[RemotePath], str] | None:
        """Plain WebDAV has no cursor."""
        return None

    def _entry_properties(self) -> str:
        # Where no file has an id, asking would only add a "not found" to every entry.
        return _ENTRY_PROPERTIES + ("" if self._has_file_ids is False else _FILE_ID_PROPERTY)

    async def _propfind(self, path: RemotePath, depth: str, properties: str) -> ListingBuilder:
        """Raises NotFound, WrongContent where the answer is no whole multistatus about `path`."""
        body = f'<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>{properties}</D:prop></D:propfind>'
        listing = ListingBuilder(self._base, path)
        async with self._http.request(
            "PROPFIND",
            self._url(path, is_folder=depth == "1"),
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
        async with self._http.request("HEAD", self._url(path), lane=Lane.METADATA, expect=(200,)) as answer:
            return read_size(answer.header("Content-Length"))

    # --- content ---

    @asynccontextmanager
    async def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AsyncGenerator[FileContent, None]:
        async with AsyncExitStack() as stack:
            wish = Wish(version, start, stop, self._tags_agree)
            try:
                content = await stack.enter_async_context(self._get(path, wish, lane))
            except TagDiffers:
                if not await self._is_still(path, version):
                    raise
                wish = replace(wish, tags_agree=False)
                content = await stack.enter_async_context(self._get(path, wish, lane))
            yield content

    @asynccontextmanager
    async def _get(self, path: RemotePath, wish: Wish, lane: Lane) -> AsyncGenerator[FileContent, None]:
        headers = {"Range": f"bytes={wish.start}-{wish.stop - 1}"}
        if wish.tags_agree and wish.version.is_strong:
            headers["If-Match"] = wish.version.etag or ""
        async with self._http.request(
            "GET",
            self._url(path),
            lane=lane,
            expect=(200, 206, 416),
            headers=headers,
            meanings=_READ_MEANINGS,
        ) as answer:
            content = accept(answer, wish)
            if not wish.tags_agree:
                self._tags_agree = tags_agree(answer, wish.version)
            if answer.status == 206 or not wish.is_whole:
                self._learn(ranges=answer.status == 206)
            yield content

    async def _is_still(self, path: RemotePath, version: Version) -> bool:
        """Whether a listing still shows this version, which a time must tell beside the tag."""
        if version.mtime_ns is None:
            return False
        try:
            now = await self.stat(path)
        except NotFound:
            return False
        return now.version == version

    # --- changes of ours ---

    async def write(
        self,
        path: RemotePath,
        body: AsyncIterator[bytes],
        size: int,
        base: Version | None,
        *,
        mtime_ns: int | None = None,
    ) -> Version:
        headers = {"Content-Length": str(size)}
        headers |= {"If-None-Match": "*"} if base is None else {"If-Match": _strong_tag(base)}
        if mtime_ns is not None:
            headers["X-OC-Mtime"] = str(mtime_ns // 1_000_000_000)
        async with self._http.request(
            "PUT",
            self._url(path),
            lane=Lane.BULK,
            expect=(200, 201, 204),
            headers=headers,
            body=body,
            meanings=_WRITE_MEANINGS,
        ) as answer:
            version = Version(
                read_tag(answer.header("ETag")), read_date(answer.header("Last-Modified")), size
            )
        if version.is_strong:
            return version
        version = (await self.stat(path)).version
        if version.size != size:
            raise ServerError(f"the server has {version.size} bytes of the {size} sent")
        return version

    async def probe_writes(self) -> Capabilities:
        return self._capabilities

    async def make_folder(self, path: RemotePath) -> None:
        async with self._http.request(
            "MKCOL",
            self._url(path, is_folder=True),
            lane=Lane.METADATA,
            expect=(201,),
            meanings=_WRITE_MEANINGS,
        ):
            pass

    async def delete(self, path: RemotePath, base: Version | None) -> None:
        """A folder goes with all that is in it (RFC 4918 section 9.6.1): the caller knows it empty."""
        guard = {} if base is None else {"If-Match": _strong_tag(base)}
        async with self._http.request(
            "DELETE",
            self._url(path, is_folder=base is None),
            lane=Lane.METADATA,
            expect=(200, 204),
            headers=guard,
        ):
            pass

    async def move(
        self,
        source: RemotePath,
        target: RemotePath,
        *,
        replaces: Version | None = None,
        kind: Kind = Kind.FILE,
    ) -> None:
        """`replaces` is guarded by RFC 4918's If header, tagged with the target (as a path: WsgiDAV passes
        over a tag with a host in it); If-Match would speak of the source."""
        headers = {"Destination": self._url(target), "Overwrite": "F"}
        meanings: Meanings = {**_MOVE_MEANINGS, 412: AlreadyExists}
        if replaces is not None:
            tagged = f"<{self._base.absolute_path(target)}> ([{_strong_tag(replaces)}])"
            headers |= {"Overwrite": "T", "If": tagged}
            meanings = _MOVE_MEANINGS
        async with self._http.request(
            "MOVE",
            self._url(source),
            lane=Lane.METADATA,
            expect=(201, 204),
            headers=headers,
            meanings=meanings,
        ):
            pass

    # --- inside ---

    def _url(self, path: RemotePath, *, is_folder: bool = False) -> str:
        """NameRefused where a part of the path is no name, so that none can lead elsewhere."""
        for name in path.split(b"/") if path else ():
            if (fault := name_fault(name)) is not None:
                raise NameRefused(f"{name[:300]!r} is no name: {fault}")
        return self._base.url(path, is_folder=is_folder)

    def _learn(self, *, ranges: bool | None = None, quota: bool | None = None) -> None:
        known = self._capabilities
        self._capabilities = replace(
            known,
            ranges=known.ranges if ranges is None else ranges,
            quota=known.quota if quota is None else quota,
        )


async def _parse(answer: Answer, listing: ListingBuilder) -> None:
    """As it comes in, the loop left to others after every piece. WrongContent where it ends early."""
    parser = MultistatusParser()
    while chunk := await answer.next_chunk():
        for at in range(0, len(chunk), CHUNK_BYTES):
            listing.add(parser.feed(chunk[at : at + CHUNK_BYTES]))
            await trio.lowlevel.checkpoint()
    parser.close()


def _strong_tag(version: Version) -> str:
    """PreconditionFailed where nothing can guard the change."""
    if version.etag is None or not version.is_strong:
        raise PreconditionFailed("the version that this change replaces has no strong tag")
    return version.etag
