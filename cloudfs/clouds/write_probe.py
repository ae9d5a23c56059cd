"""How does a server treat writes? Found out once, with hidden files, before the first change.

Servers that pass over conditions say nothing and overwrite (ASGIWebDAV, rclone's); some show a body while
it comes in and keep the torso of one that was cut (WsgiDAV, 2014 to this day).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import trio

from cloudfs.clouds.base import Capabilities, Lane
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.site import Site
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import CloudfsError

HALF_BYTES = 128 * 1024  # past every server's buffer
SETTLE_S = 0.2  # for a server to show what it got, and to notice a cut
LOOK_S = 5.0

_STALE = '"cloudfs-stale"'
_DONE = (200, 201, 204)


class _CutHere(Exception):
    """Ends a body in its middle."""


class WriteProbe:
    """Asks one site, and remembers in its capabilities."""

    def __init__(self, site: Site, propfind: Propfind, temporaries: Temporaries) -> None:
        self._site = site
        self._propfind = propfind
        self._temporaries = temporaries
        self._turn = trio.Lock()

    async def ensure(self, folder: RemotePath) -> Capabilities:
        """What is known, once it is all known; asked in `folder` where it is not.

        Raises what the server answers to a plain PUT there.
        """
        if not _is_known(self._site.capabilities):
            async with self._turn:
                if not _is_known(self._site.capabilities):
                    await self._probe(folder)
        return self._site.capabilities

    async def _probe(self, folder: RemotePath) -> None:
        reserve = self._temporaries.reserve
        async with reserve(folder) as one, reserve(folder) as other, reserve(folder) as third:
            await self._put(one.path)
            await self._put(other.path)
            moves = await self._refuses_moves(other.path, one.path)
            whole = await self._keeps_whole(third.path)
            writes = await self._refuses_writes(one.path)
        self._site.learn(conditional_writes=writes, conditional_moves=moves, whole_writes=whole)

    async def _refuses_writes(self, path: RemotePath) -> bool:
        """Whether all of If-None-Match: * and If-Match are kept to. It may replace or remove the file."""
        return (
            await self._refuses("PUT", path, {"If-None-Match": "*"}, b"2")
            and await self._refuses("PUT", path, {"If-Match": _STALE}, b"3")
            and await self._refuses("DELETE", path, {"If-Match": _STALE})
        )

    async def _refuses_moves(self, source: RemotePath, target: RemotePath) -> bool:
        destination = {"Destination": self._site.url(target)}
        stale = self._site.condition(target, f"[{_STALE}]")
        return await self._refuses("MOVE", source, {**destination, "Overwrite": "F"}) and await self._refuses(
            "MOVE", source, {**destination, **stale, "Overwrite": "T"}
        )

    async def _refuses(
        self, method: str, path: RemotePath, headers: Mapping[str, str], body: bytes | None = None
    ) -> bool:
        """Whether it answers 412. Any other refusal is none that a change could rest on."""
        async with self._site.http.request(
            method,
            self._site.url(path),
            lane=Lane.METADATA,
            expect=(*_DONE, 400, 403, 404, 405, 409, 412, 501),
            headers=headers,
            body=body,
        ) as answer:
            return answer.status == 412

    async def _put(self, path: RemotePath) -> None:
        async with self._site.http.request(
            "PUT", self._site.url(path), lane=Lane.METADATA, expect=_DONE, body=b"1"
        ):
            pass

    async def _keeps_whole(self, path: RemotePath) -> bool:
        """Whether half a body under a free name is seen by nobody, neither while it comes in nor once it
        was cut. A server that writes in place shows it there as anywhere."""
        seen = list[bool]()

        async def half() -> AsyncIterator[bytes]:
            yield bytes(HALF_BYTES)
            await trio.sleep(SETTLE_S)
            # There may be no second connection to look by: then it counts as seen.
            with trio.move_on_after(LOOK_S):
                seen.append(await self._propfind.is_there(path))
            raise _CutHere

        try:
            async with self._site.http.request(
                "PUT",
                self._site.url(path),
                lane=Lane.BULK,
                expect=_DONE,
                headers={"Content-Length": str(2 * HALF_BYTES)},
                body=half(),
            ):
                return False
        except _CutHere:
            await trio.sleep(SETTLE_S)
        except CloudfsError as error:
            if error.retryable:
                raise
            return False
        return seen == [False] and not await self._propfind.is_there(path)


def _is_known(known: Capabilities) -> bool:
    return None not in (known.conditional_writes, known.conditional_moves, known.whole_writes)
