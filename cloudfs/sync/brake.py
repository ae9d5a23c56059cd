"""The delete brake's memory: which deletes wait for somebody's word, and which got it.

INTERFACE section 8, "The delete brake". What a round holds is found anew by the next; it is kept across
mounts so that it can be told, confirmed and undone before that.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace

from cloudfs.database.settings import Settings
from cloudfs.model.enums import Scope

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HeldDeletes:
    """How many deletes are held: made here and not applied in the cloud, and the other way round."""

    here: int
    in_cloud: int


@dataclass(frozen=True, slots=True)
class Held:
    """One scope's, all by inode.

    here: entries removed here. in_cloud: names that the cloud lost, with `in_cloud_deletes` entries in all.
    kept: names that the cloud lost and that `restore` could not send again: held however few they are.
    confirmed: removals, of either side, that are to be applied and count no more.
    """

    here: tuple[int, ...] = ()
    in_cloud: tuple[int, ...] = ()
    in_cloud_deletes: int = 0
    kept: tuple[int, ...] = ()
    confirmed: tuple[int, ...] = ()


class DeleteBrake:
    """What is held of each scope. limit: more deletes than this in one sync are held."""

    def __init__(self, settings: Settings, limit: int) -> None:
        self.limit = limit
        self._settings = settings
        self._held: dict[Scope, Held] = {}

    def of(self, scope: Scope) -> Held:
        """What is held of a scope, as the last round of this mount or an earlier one left it."""
        held = self._held.get(scope)
        if held is None:
            stored = self._settings.get(_key(scope))
            held = self._held[scope] = Held() if stored is None else _read(str(stored))
        return held

    def is_held(self, inode: int) -> bool:
        """Whether an entry is held, either side; of a folder that the cloud lost, only the folder itself."""
        return any(inode in held.here or inode in held.in_cloud for held in map(self.of, Scope))

    async def hold_here(self, scope: Scope, inodes: Collection[int]) -> None:
        """These removals made here are held, and no others."""
        if len(inodes) > len(self.of(scope).here):
            log.warning("%d deletes made here are held: `cloudfs sync confirm` applies them", len(inodes))
        await self._set(scope, replace(self.of(scope), here=tuple(inodes)))

    async def hold_in_cloud(
        self, scope: Scope, inodes: Collection[int], deletes: int, kept: Collection[int]
    ) -> None:
        """These names that the cloud lost are held, and no others; `kept` of them however few they are."""
        if deletes > self.of(scope).in_cloud_deletes:
            log.warning("%d deletes in the cloud are held: `cloudfs sync confirm` applies them", deletes)
        held = replace(self.of(scope), in_cloud=tuple(inodes), in_cloud_deletes=deletes, kept=tuple(kept))
        await self._set(scope, held)

    async def confirm(self, scope: Scope) -> None:
        """Let the next sync apply what is held now; deletes found later are counted afresh."""
        held = self.of(scope)
        confirmed = dict.fromkeys([*held.confirmed, *held.here, *held.in_cloud])
        await self._set(scope, replace(held, kept=(), confirmed=tuple(confirmed)))

    async def applied(self, scope: Scope, still_there: Collection[int]) -> None:
        """A sync ended: forget the confirmations, but of entries that are still there to be removed."""
        held = self.of(scope)
        confirmed = tuple(inode for inode in held.confirmed if inode in still_there)
        await self._set(scope, replace(held, confirmed=confirmed))

    async def _set(self, scope: Scope, held: Held) -> None:
        if held != self.of(scope):
            self._held[scope] = held
            await self._settings.set(_key(scope), json.dumps(asdict(held)))


def _read(text: str) -> Held:
    facts = json.loads(text)
    return Held(
        here=tuple(facts["here"]),
        in_cloud=tuple(facts["in_cloud"]),
        in_cloud_deletes=facts["in_cloud_deletes"],
        kept=tuple(facts["kept"]),
        confirmed=tuple(facts["confirmed"]),
    )


def _key(scope: Scope) -> str:
    return f"held deletes of {scope}"
