"""Where a disk puts the folders of a directory: a hint that only ext4 knows (ext4(5), chattr(1), flag T).

ext4 looks for a place for a new file near its folder, and for that of a folder near the one above. Where
thousands of files were removed a moment ago, without a journal, it passes all of them by first: a file then
took 0.6 ms instead of 0.05.
"""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path
from struct import Struct

log = logging.getLogger(__name__)

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # linux/fs.h, FS_IOC_GETFLAGS and FS_IOC_SETFLAGS
_FLAGS = Struct("L")
_TOP_OF_HIERARCHY = 0x00020000  # FS_TOPDIR_FL


def spread(folder: Path) -> None:
    """Let what is made in `folder` be put wherever the disk has most room. Best effort: never raises."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            (flags,) = _FLAGS.unpack(fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAGS.size)))
            fcntl.ioctl(fd, _SET_FLAGS, _FLAGS.pack(flags | _TOP_OF_HIERARCHY))
        finally:
            os.close(fd)
    except OSError as error:
        log.debug("the disk takes no hint where to put %s (%s)", folder, error.strerror)
