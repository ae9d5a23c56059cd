"""Two limits of the kernel that a mount option can't raise, where this user may raise them by file.

Runs in a worker thread: finding the device number is a stat(2) of our own mount, answered by the trio thread.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)

CONNECTIONS = Path("/sys/fs/fuse/connections")  # Documentation/filesystems/fuse.rst: a folder a mount

# Measured best for cached sequential reads; the kernel's default of 128 costs a third of the rate.
_READ_AHEAD_KIB = 1024
# Read-ahead requests that wait on the network together; the kernel's default is 12 for the whole mount.
_MAX_BACKGROUND = 256
_USER_LIMIT = Path("/sys/module/fuse/parameters/max_user_bgreq")


def raise_limits(mountpoint: Path) -> None:
    """Raise the read-ahead (root only) and max_background (the mount's user). A refusal is only logged."""
    device = os.stat(mountpoint).st_dev
    bdi = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    _write(bdi, _READ_AHEAD_KIB)
    connection = CONNECTIONS / str(os.minor(device))
    background = background_limit()
    _write(connection / "max_background", background)
    # The kernel calls the connection congested from here on and holds read-ahead back (fuse.ko: 3/4).
    _write(connection / "congestion_threshold", background * 3 // 4)


def background_limit() -> int:
    """How many requests of a mount of this user the kernel may let wait on the network together."""
    return _MAX_BACKGROUND if os.geteuid() == 0 else min(_MAX_BACKGROUND, _user_limit())


def _user_limit() -> int:
    try:
        return int(_USER_LIMIT.read_text())
    except (OSError, ValueError):
        return _MAX_BACKGROUND


def _write(file: Path, value: int) -> None:
    try:
        file.write_text(str(value))
    except OSError as error:
        _log.debug("%s stays as it is: %s", file, error.strerror)
