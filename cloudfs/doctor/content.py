"""Where content is kept: whether the cache directory may be used, by whom it is, and what fits in."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloudfs.cache.directory import nearest, recovered, require_usable, user_of
from cloudfs.cache.snapshots import can_clone
from cloudfs.config import MountConfig
from cloudfs.doctor.daemons import Daemon
from cloudfs.doctor.finding import Finding
from cloudfs.model.errors import CloudfsError
from cloudfs.model.sizes import human_size

CACHE, DISK = "cache", "disk"
CHECKS = (CACHE, DISK)

_CLONING = {
    True: "large uploads send clones (reflinks)",
    False: "large uploads send the live file, as this file system has no reflinks",
    None: "whether it has reflinks is not known",
}


def examine(config: MountConfig, daemons: Sequence[Daemon]) -> Iterator[Finding]:
    """The findings of CHECKS. daemons: those that run."""
    yield cache(config, daemons)
    yield disk(config)


def cache(config: MountConfig, daemons: Sequence[Daemon]) -> Finding:
    """Whether content may be kept where it is to be kept."""
    directory = config.cache.path
    try:
        require_usable(directory, config.mount.path)
        pid = user_of(directory)
        folder = recovered(directory)
    except CloudfsError as error:
        what, _, mend = error.reason.rpartition(": ")
        return Finding(CACHE, what or error.reason, mend if what else "choose another [cache] path")
    if (fault := _fault(directory)) is not None:
        return fault
    if folder is not None:
        mend = f"look through {folder}, keep what you need, and remove the rest"
        return Finding(CACHE, f"files that lost their names are in {folder}", mend)
    return Finding(CACHE, f"{directory}, {_used_by(pid, daemons)}; {_CLONING[can_clone(nearest(directory))]}")


def disk(config: MountConfig) -> Finding:
    """Whether anything can be kept at all, beside what must stay free."""
    existing = nearest(config.cache.path)
    status = os.statvfs(existing)
    free, least, most = status.f_bavail * status.f_frsize, config.cache.min_free, config.cache.size
    detail = f"{human_size(free)} free"
    if free <= least:
        mend = f"make room on the disk of {existing}, or set a smaller cache.min_free"
        return Finding(DISK, f"{detail}, and cache.min_free keeps {human_size(least)} of it", mend)
    if free - least < most:
        return Finding(DISK, f"{detail}: the cache may grow by {human_size(free - least)}")
    return Finding(DISK, f"{detail}; the cache may take {human_size(most)}")


def _fault(directory: Path) -> Finding | None:
    """What its mode forbids, to us, or lets others do."""
    existing = nearest(directory)
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(CACHE, f"nothing may be made in {existing}", "choose another [cache] path")
    if existing == directory and (mode := stat.S_IMODE(directory.stat().st_mode)) & 0o077:
        return Finding(CACHE, f"others may look into {directory} ({mode:04o})", f"chmod 700 {directory}")
    return None


def _used_by(pid: str | None, daemons: Sequence[Daemon]) -> str:
    if pid is None:
        return "free for a mount"
    name = next((daemon.name for daemon in daemons if str(daemon.pid) == pid and daemon.name), None)
    return f'in use by the mount "{name}"' if name else f"in use by process {pid}"
