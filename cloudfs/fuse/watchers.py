"""Waking inotify(7) watchers for changes that came from the cloud.

The kernel raises no event for what it is told by notification. A utimes(2) through our own mount raises
IN_ATTRIB on the file and on its folder's watch; the request is known by its thread, and changes no time.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from cloudfs.model.entry import RemotePath

_log = logging.getLogger(__name__)


class Watchers:
    """Who watches files of one mount, as far as we can reach them: best effort, never an error."""

    def __init__(self, mountpoint: Path) -> None:
        self._prefix = os.fsencode(mountpoint) + b"/"
        self._threads: set[int] = set()

    def is_waking(self, thread: int) -> bool:
        """Whether a request of this thread comes from `wake`."""
        return thread in self._threads

    def wake(self, paths: Sequence[RemotePath]) -> None:
        """Raise the events; in a worker thread, for the trio thread has to answer."""
        thread = threading.get_native_id()
        self._threads.add(thread)
        try:
            for path in paths:
                self._touch(path)
        finally:
            self._threads.discard(thread)

    def _touch(self, path: RemotePath) -> None:
        try:
            os.utime(self._prefix + path)
        except OSError as error:
            _log.debug("watchers of %r were not woken: %s", path, error.strerror)
