"""WebDAV locks (RFC 4918 section 6), for servers that pass over conditions: held for one change each."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import Meanings
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import CloudfsError, NotFound

_log = logging.getLogger(__name__)

LASTS_S = 120  # a crash leaves others locked out for no longer
UNLOCK_S = 3.0  # who is stopped waits no longer; the server drops the lock by itself in the end

_LOCKINFO = (
    b'<?xml version="1.0"?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope>'
    b"<D:locktype><D:write/></D:locktype><D:owner>cloudfs</D:owner></D:lockinfo>"
)
_MEANINGS: Meanings = {409: NotFound}
# What servers without locks say to LOCK; whether the change itself is allowed, the change will tell.
_NO_LOCKS = frozenset((400, 403, 405, 415, 422, 501))

Conditions = Mapping[str, str]


class Locks:
    """Exclusive write locks on one site. Learns whether it has any."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._are_offered = True

    @asynccontextmanager
    async def hold(self, path: RemotePath, *, lasts_s: int = LASTS_S) -> AsyncGenerator[Conditions, None]:
        """Keep everybody else from changing what is there; yields the headers that our change needs.

        They are none where the server has no locks: then nothing is kept. `lasts_s`: when the server may
        drop the lock by itself. Locked where somebody else holds one; NotFound where nothing is there.
        The lock is released at the block's end, also when cancelled.
        """
        token = await self._lock(path, lasts_s) if self._are_offered else None
        if token is None:
            yield {}
            return
        try:
            yield self._site.condition(path, token)
        finally:
            await self._unlock(path, token)

    async def _lock(self, path: RemotePath, lasts_s: int) -> str | None:
        headers = {"Depth": "0", "Timeout": f"Second-{lasts_s}", "Content-Type": "application/xml"}
        try:
            async with self._site.http.request(
                "LOCK",
                self._site.url(path),
                lane=Lane.METADATA,
                expect=(200, 201),
                headers=headers,
                body=_LOCKINFO,
                meanings=_MEANINGS,
            ) as answer:
                token = answer.header("Lock-Token")
                is_new = answer.status == 201
        except CloudfsError as error:
            if error.status not in _NO_LOCKS:
                raise
            self._are_offered = error.status == 403  # it may be forbidden here alone
            return None
        if token is not None and is_new:
            await self._remove(path, token)
            raise NotFound("it went before it could be locked")
        return token

    async def _remove(self, path: RemotePath, token: str) -> None:
        """The empty file that a LOCK makes of a free name (RFC 4918 section 7.3)."""
        await self._finish("DELETE", path, self._site.condition(path, token))

    async def _unlock(self, path: RemotePath, token: str) -> None:
        """A change that took the file away, or put another in its place, took the lock with it."""
        await self._finish("UNLOCK", path, {"Lock-Token": token})

    async def _finish(self, method: str, path: RemotePath, headers: Conditions) -> None:
        with trio.move_on_after(UNLOCK_S, shield=True):
            try:
                async with self._site.http.request(
                    method, self._site.url(path), lane=Lane.METADATA, expect=(200, 204), headers=headers
                ):
                    pass
            except CloudfsError as error:
                _log.debug("%s of %r at the end of a lock: %s", method, path, error)
