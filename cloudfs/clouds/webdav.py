"""A cloud that speaks WebDAV (RFC 4918): Apache's mod_dav, WsgiDAV, Nextcloud, ownCloud and their like."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress

import trio

from cloudfs.clouds.base import Capabilities, Content, Lane, Offer, Quota
from cloudfs.clouds.bases import Bases
from cloudfs.clouds.http import Http
from cloudfs.clouds.locks import Locks
from cloudfs.clouds.moves import Moves
from cloudfs.clouds.odd_names import OddNames
from cloudfs.clouds.properties import read_date
from cloudfs.clouds.propfind import Propfind
from cloudfs.clouds.reads import Reads
from cloudfs.clouds.site import Site
from cloudfs.clouds.statuses import NAME_MEANINGS
from cloudfs.clouds.taken import TakenNames
from cloudfs.clouds.temporaries import Temporaries
from cloudfs.clouds.write_probe import WriteProbe
from cloudfs.clouds.writes import Upload, Writes
from cloudfs.model.entry import FolderListing, RemoteEntry, RemotePath, Version
from cloudfs.model.enums import CloudState, Kind
from cloudfs.model.errors import CloudStorageFull


class WebDav:
    """One folder of a WebDAV server as a Cloud (clouds/base.py).

    What the server can do is learned from its answers, and by a probe before the first change.
    """

    def __init__(
        self, url: str, http: Http, *, known: Capabilities | None = None, mount_id: str | None = None
    ) -> None:
        """url: the folder that the mount's root stands for. ValueError where it is no http(s) URL.

        known: what an earlier run found; it is not asked for again. mount_id: the same in every run of
        this mount and no other's; by it a run knows the temporaries that an earlier one left.
        """
        self._site = Site(url, http, known or Capabilities())
        self._temporaries = Temporaries(self._site, mount_id or secrets.token_hex(8))
        temporaries = self._temporaries
        self._propfind = Propfind(self._site, temporaries)
        self._reads = Reads(self._site, self._propfind)
        self._write_probe = WriteProbe(self._site, self._propfind, temporaries)
        self._taken = TakenNames(self._propfind)
        locks, bases = Locks(self._site), Bases(self._propfind)
        self._odd = odd = OddNames(self._site, self._propfind, temporaries)
        self._moves = Moves(self._site, self._propfind, locks, bases, odd)
        self._writes = Writes(
            self._site, self._propfind, temporaries, locks=locks, bases=bases, moves=self._moves, odd=odd
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._site.capabilities

    @property
    def max_connections(self) -> int:
        return self._site.http.lanes.limit

    @property
    def state(self) -> CloudState:
        """How the server answered last."""
        return self._site.http.state

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await self._site.http.run(task_status=task_status)

    async def offer(self) -> Offer:
        """Whatever a server answers that was reached, be it a refusal; for `doctor`.

        NetworkUnavailable, NetworkTimeout where none was; WrongContent, with the status, where the answer is
        a redirect to elsewhere.
        """
        async with self._site.http.request(
            "OPTIONS", self._site.url(b"", is_folder=True), lane=Lane.METADATA, expect=range(200, 600)
        ) as answer:
            told = (answer.header("DAV") or "").split(",")
            at_ns = read_date(answer.header("Date"))
        levels = frozenset(level.strip() for level in told) - {""}
        return Offer(levels, None if at_ns is None else at_ns / 1e9)

    async def probe_writes(self) -> Capabilities:
        return await self._write_probe.ensure(b"")

    async def sweep(self) -> set[bytes]:
        """Remove what this run's mount id left in the root under hidden names; returns those that stay."""
        if left := await self._left_behind():
            self._temporaries.met(b"", dict.fromkeys(left))
            await self._temporaries.sweep()
            left = await self._left_behind()
        return left

    async def list_folder(self, path: RemotePath) -> FolderListing:
        return await self._propfind.list_folder(path)

    async def stat(self, path: RemotePath) -> RemoteEntry:
        return await self._propfind.stat(path)

    async def quota(self) -> Quota | None:
        return await self._propfind.quota()

    async def changes(self, cursor: str | None) -> tuple[list[RemotePath], str] | None:
        """Plain WebDAV has no cursor."""
        return None

    def read(
        self, path: RemotePath, version: Version, start: int, stop: int, lane: Lane
    ) -> AbstractAsyncContextManager[Content]:
        return self._reads.read(path, version, start, stop, lane)

    async def write(
        self,
        path: RemotePath,
        body: AsyncIterator[bytes],
        size: int,
        base: Version | None,
        *,
        mtime_ns: int | None = None,
    ) -> Version:
        """Where the server tells no tag after a PUT (Apache), the version is asked for: what another device
        put there in between, of the same size, would be taken for ours."""
        await self._prepare(_folder_of(path))
        upload = Upload(body, size, mtime_ns)
        if base is None:
            return await self._writes.create(path, upload)
        return await self._writes.replace(path, upload, base)

    async def make_folder(self, path: RemotePath) -> None:
        await self._odd.check(path)
        async with (
            self._taken.explained(path),
            self._site.http.request(
                "MKCOL",
                self._site.url(path, is_folder=True),
                lane=Lane.METADATA,
                expect=(201,),
                meanings=NAME_MEANINGS,
            ),
        ):
            pass

    async def delete(self, path: RemotePath, base: Version | None) -> None:
        if base is None:
            await self._writes.delete_folder(path)
            return
        with suppress(CloudStorageFull):  # unasked, it goes the way of servers that know no conditions
            await self._prepare(_folder_of(path))
        await self._writes.delete(path, base)

    async def move(
        self,
        source: RemotePath,
        target: RemotePath,
        *,
        replaces: Version | None = None,
        kind: Kind = Kind.FILE,
    ) -> None:
        with suppress(CloudStorageFull):
            await self._prepare(_folder_of(target))
        if replaces is None:
            await self._moves.to_free(source, target, kind)
        else:
            await self._moves.onto(source, target, replaces)

    async def _left_behind(self) -> set[bytes]:
        return self._temporaries.own(await self._propfind.hidden_names(b""))

    async def _prepare(self, folder: RemotePath) -> None:
        """Know how the server treats changes, and take away what earlier ones left there."""
        await self._write_probe.ensure(folder)
        await self._temporaries.sweep()


def _folder_of(path: RemotePath) -> RemotePath:
    return path.rpartition(b"/")[0]
