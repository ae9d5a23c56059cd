"""Giving a file's blocks back to the disk: fallocate(2) with PUNCH_HOLE, which Python does not offer."""

from __future__ import annotations

import ctypes
import os

_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", _libc.fallocate)
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def punch(fd: int, start: int, stop: int) -> None:
    """Free the blocks of [start, stop); the bytes read as zeros after it, the size stays.

    Raises OSError: EOPNOTSUPP where the file system has no holes.
    """
    if _fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, stop - start) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
