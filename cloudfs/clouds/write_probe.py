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
from cloudfs.clouds.statuses import NAME_MEANINGS
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
                    with self._site.http.interference.held_off():
                        await self._probe(folder)
        return self._site.capabilities

    async def _probe(self, folder: RemotePath) -> None:
        reserve = self._temporaries.reserve
        async with (
            reserve(folder) as file,
            reserve(folder) as other,
            reserve(folder) as doomed,
            reserve(folder) as inner,
        ):
            for each in (file, other, doomed):
                await self._make("PUT", each.path, b"1")
            await self._make("MKCOL", inner.path, None)
            self._site.learn(
                conditional_writes=await self._refuses_writes(file.path),
                conditional_deletes=await self._refuses_deletes(doomed.path, inner.path),
                conditional_moves=await self._refuses_moves(other.path, file.path, inner.path),
            )
        async with reserve(folder) as torso:
            self._site.learn(whole_writes=await self._keeps_whole(torso.path))

    # A question may destroy what it is about; of nothing, the next answer is no 412 either.

    async def _refuses_writes(self, path: RemotePath) -> bool:
        return await self._refuses("PUT", path, {"If-None-Match": "*"}, b"2") and await self._refuses(
            "PUT", path, {"If-Match": _STALE}, b"3"
        )

    async def _refuses_deletes(self, file: RemotePath, folder: RemotePath) -> bool:
        """WsgiDAV passes over conditions on folders, and would remove all that is in one."""
        stale = {"If-Match": _STALE}
        return await self._refuses("DELETE", file, stale) and await self._refuses("DELETE", folder, stale)

    async def _refuses_moves(self, source: RemotePath, file: RemotePath, folder: RemotePath) -> bool:
        """So it does for a MOVE onto one."""
        return (
            await self._refuses("MOVE", source, self._destination(file) | {"Overwrite": "F"})
            and await self._refuses("MOVE", source, self._destination(file) | self._stale(file))
            and await self._refuses("MOVE", source, self._destination(folder) | self._stale(folder))
        )

    def _destination(self, path: RemotePath) -> dict[str, str]:
        return {"Destination": self._site.url(path), "Overwrite": "T"}

    def _stale(self, path: RemotePath) -> dict[str, str]:
        return self._site.condition(path, f"[{_STALE}]")

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

    async def _make(self, method: str, path: RemotePath, body: bytes | None) -> None:
        async with self._site.http.request(
            method,
            self._site.url(path, is_folder=body is None),
            lane=Lane.METADATA,
            expect=_DONE,
            body=body,
            meanings=NAME_MEANINGS,
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
    conditional = (known.conditional_writes, known.conditional_moves, known.conditional_deletes)
    return None not in (*conditional, known.whole_writes)
