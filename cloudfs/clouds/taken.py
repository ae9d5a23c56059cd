"""Why a new name was refused: servers say 400, 405, 409, 412 or 500 to a name that is taken, to a parent
that is missing and to a name that they take for another one alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from cloudfs.clouds.propfind import Propfind
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import AlreadyExists, CloudfsError, NameRefused, NotFound

_AMBIGUOUS = frozenset((400, 405, 409, 412, 500))


class TakenNames:
    """Asks one site what became of a refused name."""

    def __init__(self, propfind: Propfind) -> None:
        self._propfind = propfind

    @asynccontextmanager
    async def explained(self, path: RemotePath) -> AsyncGenerator[None, None]:
        """Around a request that is to make `path` a name: what it raises is the cause behind the status.

        AlreadyExists; NotFound where the parent is missing; NameRefused where the server takes the name
        for another that it has (in another case, or in another form of Unicode). Where nothing can be
        learned the error stays.
        """
        try:
            yield
        except CloudfsError as error:
            cause = await self._cause(path, error.status) if error.status in _AMBIGUOUS else None
            if cause is None:
                raise
            raise cause from error

    async def _cause(self, path: RemotePath, status: int | None) -> CloudfsError | None:
        try:
            return await self._ask(path, status)
        except NotFound:
            return NotFound("the folder is missing in the cloud", status=status)
        except CloudfsError:
            return None

    async def _ask(self, path: RemotePath, status: int | None) -> CloudfsError | None:
        folder, _, name = path.rpartition(b"/")
        listing = await self._propfind.list_folder(folder)
        if name in listing.unshown or any(entry.name == name for entry in listing.entries):
            return AlreadyExists("the name is taken in the cloud", status=status)
        if not await self._propfind.is_there(path):
            return None
        reason = "the cloud takes the name for another one there, which differs only in case or form"
        return NameRefused(reason, status=status)
