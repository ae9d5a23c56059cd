"""MOVE (RFC 4918 section 9.9): renames without content, never over what nobody knows.

If-Match speaks of the source, and Apache replaces any target by it; what guards a target is Overwrite: F,
or RFC 4918's If with the target's tag or lock.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloudfs.clouds.base import Lane
from cloudfs.clouds.bases import Bases
from cloudfs.clouds.locks import Locks
from cloudfs.clouds.odd_names import OddNames
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import NAME_MEANINGS, Meanings
from cloudfs.clouds.taken import TakenNames
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import AlreadyExists, NotFound, PreconditionFailed

_NEW_MEANINGS: Meanings = {**NAME_MEANINGS, 412: AlreadyExists}


class Moves:
    """Moves within one site, whose abilities are known by now."""

    def __init__(self, site: Site, propfind: Propfind, locks: Locks, bases: Bases, odd: OddNames) -> None:
        self._site = site
        self._propfind = propfind
        self._locks = locks
        self._bases = bases
        self._taken = TakenNames(propfind)
        self._odd = odd

    async def to_free(self, source: RemotePath, target: RemotePath, kind: Kind) -> None:
        """AlreadyExists, NotFound (source, or the target's parent), NameRefused."""
        await self._odd.check_target(target)
        if not self._site.capabilities.conditional_moves and await self._propfind.is_there(target):
            raise AlreadyExists("the name is taken in the cloud")
        async with self._taken.explained(target):
            await self._move(source, target, kind, {"Overwrite": "F"}, _NEW_MEANINGS)

    async def onto(self, source: RemotePath, target: RemotePath, replaces: Version) -> None:
        """Replace this very version of a file by another file: PreconditionFailed, NotFound (the source).

        Where nothing is left to be replaced, some servers move it all the same (WsgiDAV).
        """
        await self._odd.check_target(target)
        try:
            tag = await self._bases.tag(target, replaces)
            if tag is None or not await self._onto_tagged(source, target, tag):
                await self._onto_locked(source, target, replaces)
        except NotFound as error:
            if await self._propfind.is_there(target):
                raise
            raise PreconditionFailed("the file to replace is gone in the cloud") from error

    async def _onto_tagged(self, source: RemotePath, target: RemotePath, tag: str) -> bool:
        """False where the server does not know such conditions: nothing was moved."""
        if not self._site.capabilities.conditional_moves:
            return False
        guard = {"Overwrite": "T", **self._site.condition(target, f"[{tag}]")}
        try:
            await self._move(source, target, Kind.FILE, guard, NAME_MEANINGS)
        except PreconditionFailed:
            if not await self._bases.is_still(target, tag):
                raise
            self._site.learn(conditional_moves=False)
            return False
        return True

    async def _onto_locked(self, source: RemotePath, target: RemotePath, replaces: Version) -> None:
        async with self._locks.hold(target) as held:
            await self._bases.compare(target, replaces)
            await self._move(source, target, Kind.FILE, {"Overwrite": "T", **held}, NAME_MEANINGS)

    async def _move(
        self,
        source: RemotePath,
        target: RemotePath,
        kind: Kind,
        guard: Mapping[str, str],
        meanings: Meanings,
    ) -> None:
        is_folder = kind is Kind.FOLDER
        async with self._site.http.request(
            "MOVE",
            self._site.url(source, is_folder=is_folder),
            lane=Lane.METADATA,
            expect=(201, 204),
            headers={"Destination": self._site.url(target, is_folder=is_folder), **guard},
            meanings=meanings,
        ):
            pass
