"""Content: a GET of a range, whose answer is believed only once it is known to be the file."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from cloudfs.clouds.base import Lane
from cloudfs.clouds.body import FileContent, TagDiffers, Wish, accept, tags_agree
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import Meanings
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.errors import ContentNotFound, NotFound

_MEANINGS: Meanings = {404: ContentNotFound, 410: ContentNotFound, 412: TagDiffers}


class Reads:
    """Reads from one site. Learns whether it answers ranges, and whether its tags agree between listing
    and content."""

    def __init__(self, site: Site, propfind: Propfind) -> None:
        self._site = site
        self._propfind = propfind
        self._tags_agree = True

    @asynccontextmanager
    async def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AsyncGenerator[FileContent, None]:
        """Cloud.read."""
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
        async with self._site.http.request(
            "GET",
            self._site.url(path),
            lane=lane,
            expect=(200, 206, 416),
            headers=headers,
            meanings=_MEANINGS,
        ) as answer:
            content = accept(answer, wish)
            if not wish.tags_agree:
                self._tags_agree = tags_agree(answer, wish.version)
            if answer.status == 206 or not wish.is_whole:
                self._site.learn(ranges=answer.status == 206)
            yield content

    async def _is_still(self, path: RemotePath, version: Version) -> bool:
        """Whether a listing still shows this version, which a time must tell beside the tag."""
        if version.mtime_ns is None:
            return False
        try:
            now = await self._propfind.stat(path)
        except NotFound:
            return False
        return now.version == version
