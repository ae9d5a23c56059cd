"""How many clients the control socket has at once: each costs a descriptor, and files need some too."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

CLIENTS_MAX = 512
RESERVED = 32  # of them for the mount's owner and root, who may have to end it


class Admission:
    """Counts clients; tells the log once when they are too many, and not again until fewer are there."""

    def __init__(self) -> None:
        self._clients = 0
        self._is_told = False

    @contextmanager
    def entered(self, *, is_owner: bool) -> Iterator[bool]:
        """A client's stay. False: there are too many, and it is not counted."""
        if self._clients >= (CLIENTS_MAX if is_owner else CLIENTS_MAX - RESERVED):
            self._tell()
            yield False
            return
        self._clients += 1
        try:
            yield True
        finally:
            self._clients -= 1
            self._is_told = False

    def _tell(self) -> None:
        if not self._is_told:
            self._is_told = True
            log.warning("%d clients are connected to the control socket; more are sent away", self._clients)
