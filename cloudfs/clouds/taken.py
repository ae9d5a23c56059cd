"""Why a new name was refused: servers say 400, 405, 409, 412 or 500 to a name that is taken, to a parent
that is missing and to a name that they take for another one alike."""

from __future__ import annotations

from cloudfs.clouds.propfind import Propfind
from cloudfs.model.entry import RemotePath
from cloudfs.model.errors import AlreadyExists, CloudfsError, NameRefused, NotFound

_AMBIGUOUS = frozenset((400, 405, 409, 412, 500))


class TakenNames:
    """Asks one site what became of a refused name."""

    def __init__(self, propfind: Propfind) -> None:
        self._propfind = propfind

    async def explain(self, path: RemotePath, error: CloudfsError) -> CloudfsError:
        """The cause behind `error`, met when `path` was to become a new name.

        AlreadyExists; NotFound where the parent is missing; NameRefused where the server takes the name
        for another that it has (in another case, or in another form of Unicode). Where nothing can be
        learned it is `error` itself.
        """
        if error.status not in _AMBIGUOUS:
            return error
        try:
            return await self._ask(path, error.status) or error
        except NotFound:
            return NotFound("the folder is missing in the cloud", status=error.status)
        except CloudfsError:
            return error

    async def _ask(self, path: RemotePath, status: int | None) -> CloudfsError | None:
        folder, _, name = path.rpartition(b"/")
        listing = await self._propfind.list_folder(folder)
        if name in listing.unshown or any(entry.name == name for entry in listing.entries):
            return AlreadyExists("the name is taken in the cloud", status=status)
        if not await self._propfind.is_there(path):
            return None
        reason = "the cloud takes the name for another one there, which differs only in case or form"
        return NameRefused(reason, status=status)
