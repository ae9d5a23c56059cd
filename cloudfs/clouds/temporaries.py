"""Hidden names: what is sent under one is moved to its own name once it is whole (INTERFACE promise 4)."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.site import Site
from cloudfs.model.entry import TEMPORARY_PREFIX, RemotePath, join
from cloudfs.model.errors import CloudfsError, NotFound

_log = logging.getLogger(__name__)

_UPLOAD = re.compile(re.escape(TEMPORARY_PREFIX) + rb"[0-9a-f]{12}-[0-9a-f]{16}")

REMOVE_S = 3.0  # how long a write that failed or was stopped may take to clean up behind it
ABANDONED_NS = 24 * 3600 * 1_000_000_000  # another mount's upload that is older has been given up


@dataclass
class Temporary:
    """A hidden name for the length of a block, which removes what is under it in the end.

    is_moved: set once nothing is under it any more.
    """

    name: bytes
    path: RemotePath
    is_moved: bool = False


class Temporaries:
    """The hidden names of one mount in one site.

    Every name begins with a mark of its mount. A name with this mount's that is not reserved is what a
    crash or a refused removal left: it is noted when a listing shows it, and removed by the next `sweep`.
    Other mounts' are left alone.
    """

    def __init__(self, site: Site, mount_id: str) -> None:
        """mount_id: the same in every run of a mount, and no other mount's."""
        self._site = site
        mark = hashlib.sha256(mount_id.encode()).hexdigest()[:12]
        self._prefix = TEMPORARY_PREFIX + mark.encode() + b"-"
        self._reserved: set[RemotePath] = set()
        self._left: set[RemotePath] = set()

    @asynccontextmanager
    async def reserve(self, folder: RemotePath, name: bytes | None = None) -> AsyncGenerator[Temporary, None]:
        """A name that nobody uses, all of one length; `name`: one that was made of such a name.

        What is under it at the block's end is removed, also when cancelled; where the server does not let
        us, a later sweep does.
        """
        if name is None:
            name = self._prefix + secrets.token_hex(8).encode()
        temporary = Temporary(name, join(folder, name))
        self._reserved.add(temporary.path)
        try:
            yield temporary
        except BaseException:
            await self._remove(temporary.path)
            raise
        if temporary.is_moved:
            self._reserved.discard(temporary.path)
        else:
            await self._remove(temporary.path)

    def met(self, folder: RemotePath, names: Mapping[bytes, int | None]) -> None:
        """A listing of `folder` showed these hidden names, with their times."""
        ours = {join(folder, name) for name in self.own(names)}
        self._left |= ours - self._reserved

    def own(self, names: Iterable[bytes]) -> set[bytes]:
        """Those of these hidden names that are this mount's."""
        return {name for name in names if name.startswith(self._prefix)}

    def is_in_use(self, name: bytes, mtime_ns: int | None) -> bool:
        """Whether what is under a hidden name may be of use to anybody: another mount's upload under way,
        or what is under no name of an upload at all."""
        if name.startswith(self._prefix):
            return False
        if _UPLOAD.fullmatch(name) is None:
            return True
        return mtime_ns is None or time.time_ns() - mtime_ns < ABANDONED_NS

    async def sweep(self) -> None:
        """Remove what a crash left, as far as listings have shown it."""
        while self._left:
            await self._remove(self._left.pop())

    async def _remove(self, path: RemotePath) -> None:
        try:
            with trio.move_on_after(REMOVE_S, shield=True):
                async with self._site.http.request(
                    "DELETE", self._site.url(path), lane=Lane.METADATA, expect=(200, 204)
                ):
                    pass
        except CloudfsError as error:
            if not isinstance(error, NotFound):
                _log.info("the temporary %r stays for now: %s", path, error)
        finally:
            self._reserved.discard(path)
