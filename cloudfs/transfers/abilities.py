"""What the server was found to do with writes: probed once, and remembered across mounts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging

import trio

from cloudfs.clouds.base import Capabilities, Cloud
from cloudfs.database.settings import Settings
from cloudfs.model.errors import CloudfsError, NetworkUnavailable, Unauthorized

log = logging.getLogger(__name__)


def known_abilities(settings: Settings, url: str) -> Capabilities | None:
    """What an earlier mount found out about the server behind `url`; None where none asked."""
    stored = settings.get(_key(url))
    if stored is None:
        return None
    facts = json.loads(str(stored))
    fields = {field.name for field in dataclasses.fields(Capabilities)}
    return Capabilities(**{name: value for name, value in facts.items() if name in fields})


class Abilities:
    """Sees to it that nothing is written to a server of which nobody knows how it treats writes.

    A cloud that was built with what `known_abilities` tells asks the server nothing.
    url: the cloud's; what was found out is kept under it, as another server may behave in another way.
    """

    def __init__(self, cloud: Cloud, settings: Settings, url: str) -> None:
        self._cloud = cloud
        self._settings = settings
        self._key = _key(url)
        self._lock = trio.Lock()
        self._is_learned = False

    async def learn(self) -> None:
        """Return once it is known how the server treats writes; at once where it was.

        A root that takes nothing tells nothing of the folders in it: each change then asks in its own.
        Raises NetworkUnavailable, Unauthorized.
        """
        async with self._lock:
            if self._is_learned:
                return
            try:
                found = await self._cloud.probe_writes()
            except (NetworkUnavailable, Unauthorized):
                raise
            except CloudfsError as error:
                log.info("the cloud's root takes no changes: %s", error.reason)
                return
            await self._settings.set(self._key, json.dumps(dataclasses.asdict(found)))
            self._is_learned = True


def _key(url: str) -> str:
    return f"abilities of {hashlib.sha256(url.encode()).hexdigest()}"
