"""PUT and DELETE, never over what nobody knows, and never half (INTERFACE section 9, promises 2 and 4).

Which guard there is depends on the server: If-Match; a lock and a comparison under it where it passes over
conditions or has no strong tag; and where a body in progress would be seen, a hidden name that is moved.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus

import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.bases import Bases
from cloudfs.clouds.confirmations import Confirmations
from cloudfs.clouds.http import Answer
from cloudfs.clouds.locks import LASTS_S, Locks
from cloudfs.clouds.moves import Moves
from cloudfs.clouds.odd_names import OddNames
from cloudfs.clouds.properties import read_date, read_tag
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import NAME_MEANINGS
from cloudfs.clouds.taken import TakenNames
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.clouds.transport import close_body
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AlreadyExists,
    NotFound,
    PreconditionFailed,
    ServerError,
    TryAgain,
)

# Apache and WsgiDAV look at conditions before they take the body, and never again: of two long uploads with
# the same base both would be taken, the later over the other. Before the last piece of a body of this size
# or more it is asked once more. Of a smaller one that would be most of the work.
LONG_BYTES = 1024 * 1024
LOOK_S = 5.0  # there may be no second connection to ask by

_NS = 1_000_000_000
_SLOW_BYTES_S = 1_000_000  # an upload at this rate keeps its lock to the end
_DIGEST_BYTES_S = 20_000_000  # what a server may need for a body that it has already


@dataclass(frozen=True, slots=True)
class Upload:
    """What is sent, once: `size` bytes, and the time that it should have, in nanoseconds."""

    body: AsyncIterator[bytes]
    size: int
    mtime_ns: int | None

    def headers(self) -> dict[str, str]:
        """ownCloud and its like take the time from X-OC-Mtime (whole seconds); others pass over it."""
        headers = {"Content-Length": str(self.size)}
        if self.mtime_ns is not None:
            headers["X-OC-Mtime"] = str(self.mtime_ns // _NS)
        return headers

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body, once; TryAgain before it could go out longer or shorter than it should be."""
        left = self.size
        try:
            async for chunk in self.body:
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
            if left:
                raise TryAgain(f"the content is not the {self.size} bytes that it was")
        finally:
            await close_body(self.body)

    def version(self, answer: Answer) -> Version:
        """What the answer to the PUT says of it."""
        mtime_ns = read_date(answer.header("Last-Modified"))
        if self.mtime_ns is not None and answer.header("X-OC-Mtime") == "accepted":
            mtime_ns = self.mtime_ns // _NS * _NS
        return Version(read_tag(answer.header("ETag")), mtime_ns, self.size)


class Writes:
    """Writes to one site, whose abilities are known by now."""

    def __init__(
        self,
        site: Site,
        propfind: Propfind,
        temporaries: Temporaries,
        *,
        locks: Locks,
        bases: Bases,
        moves: Moves,
        odd: OddNames,
    ) -> None:
        self._site = site
        self._propfind = propfind
        self._locks = locks
        self._bases = bases
        self._moves = moves
        self._odd = odd
        self._taken = TakenNames(propfind)
        self._confirmations = Confirmations(propfind)
        self._temporaries = temporaries

    async def create(self, path: RemotePath, upload: Upload) -> Version:
        """Under a name that must be free: PreconditionFailed, NotFound (the parent), NameRefused."""
        known = self._site.capabilities
        # A LOCK of a free name makes an empty file there, which others would see: a MOVE does not.
        await self._odd.check(path)
        try:
            if not (known.whole_writes and known.conditional_writes):
                return await self._by_move(path, upload, None)
            async with self._taken.explained(path):
                return await self._put(path, self._watched(path, upload, None), {"If-None-Match": "*"})
        except AlreadyExists as error:
            raise PreconditionFailed(error.reason, status=error.status) from error

    async def replace(self, path: RemotePath, upload: Upload, base: Version) -> Version:
        """This very version: PreconditionFailed, also where nothing is there."""
        try:
            if not self._site.capabilities.whole_writes:
                return await self._by_move(path, upload, base)
            tag = await self._bases.tag(path, base) if self._site.capabilities.conditional_writes else None
            if tag is None:
                return await self._put_locked(path, upload, base)
            return await self._put_tagged(path, upload, tag, base)
        except AlreadyExists as error:
            raise PreconditionFailed("a folder is there in the cloud", status=error.status) from error
        except NotFound as error:
            raise PreconditionFailed("the file is gone in the cloud", status=error.status) from error

    async def delete(self, path: RemotePath, base: Version) -> None:
        """A file of this very version: PreconditionFailed, NotFound."""
        tag = await self._bases.tag(path, base) if self._site.capabilities.conditional_deletes else None
        if tag is None or not await self._delete_tagged(path, tag):
            async with self._locks.hold(path) as held:
                await self._bases.compare(path, base)
                await self._delete(path, held)

    async def delete_folder(self, path: RemotePath) -> None:
        """An empty one, as DELETE takes all that is in it (RFC 4918 section 9.6.1): NotEmpty, NotAFolder."""
        await self._propfind.check_empty(path)
        await self._delete(path, {}, is_folder=True)

    # --- PUT ---

    async def _put_tagged(self, path: RemotePath, upload: Upload, tag: str, base: Version) -> Version:
        try:
            return await self._put(path, self._watched(path, upload, tag), {"If-Match": tag}, base)
        except PreconditionFailed:
            if await self._bases.is_still(path, tag):
                # Its If-Match is of no use, and the body is spent: the next try goes another way.
                self._site.learn(conditional_writes=False)
            raise

    async def _put_locked(self, path: RemotePath, upload: Upload, base: Version) -> Version:
        """Without locks there is nothing better than to compare just before."""
        lasts_s = LASTS_S + upload.size // _SLOW_BYTES_S
        async with self._locks.hold(path, lasts_s=lasts_s) as held:
            await self._bases.compare(path, base)
            return await self._put(path, upload, held, base)

    async def _put(
        self, path: RemotePath, upload: Upload, guard: Mapping[str, str], base: Version | None = None
    ) -> Version:
        with self._confirmations.writing(path):
            async with self._site.http.request(
                "PUT",
                self._site.url(path),
                lane=Lane.BULK,
                expect=(200, 201, 204),
                headers={**upload.headers(), **guard},
                body=upload.pieces(),
                meanings=NAME_MEANINGS,
                patience_s=upload.size / _DIGEST_BYTES_S,
            ) as answer:
                version = upload.version(answer)
        # A 200 may be somebody else's: a page of a proxy that asks for a login. Only the cloud's own word
        # tells, and where it has just what it had, nothing was stored (or just the same: it knows the tag).
        if answer.status == HTTPStatus.OK:
            found = await self._ask(path, upload)
            is_told = version.etag is not None and version.etag == found.etag
            if base is not None and found.is_same_as(base) and not is_told:
                raise ServerError("the server answered 200 to PUT, and has what it had before")
            return found
        # A strong tag says that just these bytes are there (RFC 9110 section 9.3.4).
        return version if version.is_strong else await self._ask(path, upload)

    def _watched(self, path: RemotePath, upload: Upload, tag: str | None) -> Upload:
        """An upload that breaks off where the cloud holds anything but `tag` (None: nothing) in the end."""
        if upload.size < LONG_BYTES:
            return upload
        return replace(upload, body=self._watch(path, upload, tag))

    async def _watch(self, path: RemotePath, upload: Upload, tag: str | None) -> AsyncGenerator[bytes, None]:
        left = upload.size
        try:
            async for chunk in upload.body:
                left -= len(chunk)
                if left <= 0:
                    with trio.move_on_after(LOOK_S):
                        await self._bases.check(path, tag)
                yield chunk
        finally:
            await close_body(upload.body)

    async def _ask(self, path: RemotePath, upload: Upload) -> Version:
        """What is there after a PUT that told no tag."""
        try:
            found = await self._confirmations.version(path)
        except NotFound as error:
            raise ServerError(
                "the server took the file, and does not show it", status=error.status
            ) from error
        if found.size != upload.size:
            raise ServerError(f"the server has {found.size} bytes of the {upload.size} sent")
        return found

    async def _by_move(self, path: RemotePath, upload: Upload, base: Version | None) -> Version:
        await self._odd.check_target(path)  # before the body is sent in vain
        async with self._temporaries.reserve(path.rpartition(b"/")[0]) as temporary:
            await self._put(temporary.path, upload, {})
            if base is None:
                await self._moves.to_free(temporary.path, path, Kind.FILE)
            else:
                await self._moves.onto(temporary.path, path, base)
            temporary.is_moved = True
        return await self._ask(path, upload)  # tags belong to names: the temporary's says nothing

    # --- DELETE ---

    async def _delete_tagged(self, path: RemotePath, tag: str) -> bool:
        """False where the server does not understand the condition: nothing was removed."""
        try:
            await self._delete(path, {"If-Match": tag})
        except PreconditionFailed:
            if await self._bases.is_still(path, tag):
                return False
            raise
        return True

    async def _delete(self, path: RemotePath, guard: Mapping[str, str], *, is_folder: bool = False) -> None:
        async with self._site.http.request(
            "DELETE",
            self._site.url(path, is_folder=is_folder),
            lane=Lane.METADATA,
            expect=(200, 204),
            headers=guard,
        ):
            pass
