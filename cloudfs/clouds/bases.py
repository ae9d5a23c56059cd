"""The base of a change: does the cloud still hold that version, and which tag can guard it (RFC 9110
section 13.1.1)? A weak tag guards nothing; Apache's turns strong, as it is, when a file is a second old."""

from __future__ import annotations

import trio

from cloudfs.clouds.propfind import Propfind
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import NotFound, PreconditionFailed

WEAK_S = 1.1  # Apache's second, and a tenth for its clock


class Bases:
    """Compares bases with what one site holds. Learns whether its weak tags ever turn strong."""

    def __init__(self, propfind: Propfind) -> None:
        self._propfind = propfind
        self._stay_weak = False

    async def tag(self, path: RemotePath, base: Version) -> str | None:
        """A strong tag of this base, asked for if need be; None where the server has none for it.

        NotFound, and PreconditionFailed where the cloud holds another version.
        """
        if base.is_strong:
            return base.etag
        now = await self.compare(path, base)
        if now.etag is not None and not now.is_strong and not self._stay_weak:
            await trio.sleep(WEAK_S)
            now = await self.compare(path, now)
            self._stay_weak = not now.is_strong
        return now.etag if now.is_strong else None

    async def compare(self, path: RemotePath, base: Version) -> Version:
        """The version that the cloud has now, if it is this one: NotFound, PreconditionFailed."""
        now = await self._propfind.stat(path)
        if now.kind is Kind.FOLDER or not now.version.is_same_as(base):
            raise PreconditionFailed("the cloud holds another version")
        return now.version

    async def check(self, path: RemotePath, tag: str | None) -> None:
        """PreconditionFailed where anything else is there than what has this tag (None: than nothing)."""
        if await self._tag_now(path) != tag:
            raise PreconditionFailed("the cloud got another version meanwhile")

    async def is_still(self, path: RemotePath, tag: str) -> bool:
        """Whether what is there has this very tag. Then a 412 to a condition on it said nothing: the
        server does not understand the condition."""
        return await self._tag_now(path) == tag

    async def _tag_now(self, path: RemotePath) -> str | None:
        """None where nothing is there; what is there without a tag has an empty one."""
        try:
            now = await self._propfind.stat(path)
        except NotFound:
            return None
        return now.version.etag or ""
