"""The hint to the disk: what it cannot take does no harm, and what there was of flags stays."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from cloudfs.cache import spread as module
from cloudfs.cache.spread import spread


def _flags(folder: Path) -> int:
    fd = os.open(folder, os.O_RDONLY)
    try:
        return int(module._FLAGS.unpack(fcntl.ioctl(fd, module._GET_FLAGS, bytes(8)))[0])
    except OSError:
        pytest.skip("this file system has no flags")
    finally:
        os.close(fd)


def test_a_folder_gets_the_hint_beside_what_it_had(tmp_path: Path) -> None:
    before = _flags(tmp_path)
    spread(tmp_path)
    if _flags(tmp_path) == before:
        pytest.skip("this file system does not know the hint")
    assert _flags(tmp_path) == before | module._TOP_OF_HIERARCHY
    spread(tmp_path)
    assert _flags(tmp_path) == before | module._TOP_OF_HIERARCHY


def test_what_can_not_be_opened_is_no_failure(tmp_path: Path) -> None:
    spread(tmp_path / "missing")
    spread(Path("/proc/self"))
