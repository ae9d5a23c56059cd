"""The path that a dirty cache file carries as an extended attribute, for the day its row is lost."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

_NAME = "user.cloudfs.path"
_LARGEST = 1024  # bytes; the end of a longer path: the name is in it
_NONE = frozenset({errno.ENODATA, errno.EOPNOTSUPP, errno.ENOENT})


class PathTags:
    """Best effort: not every file system keeps attributes, and none keeps any number of them."""

    def __init__(self) -> None:
        self._has_complained = False

    def put(self, fd: int, path: bytes) -> None:
        """The open file is that of `path` in the mount, and dirty."""
        try:
            os.setxattr(fd, _NAME, path[-_LARGEST:])
        except OSError as error:
            self._complain(error)

    def take(self, fd: int) -> None:
        """The open file is dirty no more."""
        try:
            os.removexattr(fd, _NAME)
        except OSError as error:
            if error.errno not in _NONE:
                self._complain(error)

    def of(self, path: Path) -> bytes | None:
        """What a cache file was the content of; None where it was not dirty. OSError where it can't tell."""
        try:
            return os.getxattr(path, _NAME, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NONE:
                return None
            raise

    def _complain(self, error: OSError) -> None:
        if not self._has_complained:
            self._has_complained = True
            log.debug("cache files can't carry their paths (%s)", error.strerror)
