"""Where the mount appears and listens, and the mounts that run already."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from cloudfs.cache.directory import nearest
from cloudfs.client.sockets import candidates
from cloudfs.config import MountConfig
from cloudfs.doctor.daemons import ANSWER_S, Daemon, ask_all
from cloudfs.doctor.finding import Finding, left_out
from cloudfs.fuse.mountpoint import connection_of, is_dead, require_empty
from cloudfs.fuse.tuning import CONNECTIONS, background_limit
from cloudfs.model.errors import CloudfsError

SOCKET, OTHERS, MOUNTPOINT, LIMITS = "control socket", "other mounts", "mountpoint", "kernel limits"
CHECKS = (SOCKET, OTHERS, MOUNTPOINT, LIMITS)


def running(own: Path) -> list[Daemon]:
    """The daemons that this user can reach, that of the socket `own` among them."""
    return ask_all([*candidates(), own])


def examine(config: MountConfig, daemons: Sequence[Daemon]) -> Iterator[Finding]:
    """The findings of CHECKS. daemons: as `running` gives them."""
    own = Path(os.path.realpath(config.socket))
    mine = next((daemon for daemon in daemons if daemon.socket == own), None)
    others = [daemon for daemon in daemons if daemon is not mine]
    yield control_socket(config.socket, mine)
    yield other_mounts(others)
    path = config.mount.path
    silent = OTHERS if any(not daemon.answers for daemon in others) else None
    if mine is not None and not mine.answers:
        silent = SOCKET
    if silent is not None and connection_of(path) is not None:
        # It may be the mount of just that one, and a question to a mount that hangs is never answered.
        yield left_out(MOUNTPOINT, silent)
    else:
        yield mountpoint(path, mine, others)
    yield kernel_limits(CONNECTIONS, connection_of(path))


def control_socket(path: Path, daemon: Daemon | None) -> Finding:
    """Whether a daemon can listen there, or one that answers does."""
    if daemon is not None and not daemon.answers:
        return Finding(SOCKET, *_hanging(daemon))
    if daemon is not None:
        return Finding(SOCKET, f"{path}, the daemon answers (pid {daemon.pid})")
    if os.path.lexists(path):
        return _left_socket(path)
    folder = nearest(path.parent)
    if not os.access(folder, os.W_OK | os.X_OK):
        mend = "set control.socket to a path that you may write to"
        return Finding(SOCKET, f"{path} can't be made: {folder} is not writable", mend)
    return Finding(SOCKET, f"{path}, no daemon listens")


def _left_socket(path: Path) -> Finding:
    """What is there instead of a daemon's socket that lets us connect."""
    if not stat.S_ISSOCK(os.lstat(path).st_mode):
        return Finding(SOCKET, f"{path} is no socket", "set control.socket to another path")
    if not os.access(path, os.W_OK):
        return Finding(SOCKET, f"{path} is another user's", "set control.socket to a path of your own")
    return Finding(SOCKET, f"{path}, left by a daemon that is gone; the next one replaces it")


def other_mounts(daemons: Sequence[Daemon]) -> Finding:
    """Those of other configurations: one that hangs stops whatever looks into it."""
    silent = [daemon for daemon in daemons if not daemon.answers]
    if silent:
        return Finding(OTHERS, *_hanging(silent[0]))
    if not daemons:
        return Finding(OTHERS, "none")
    names = ", ".join(daemon.name or str(daemon.socket) for daemon in daemons)
    return Finding(OTHERS, f"{names}: running, and they answer")


def mountpoint(path: Path, mine: Daemon | None, others: Sequence[Daemon]) -> Finding:
    """The folder that the mount is to cover, or covers."""
    if is_dead(path):
        mend = f"cloudfs mount takes it away by itself, and so does: fusermount3 -u {path}"
        return Finding(MOUNTPOINT, f"{path} is the mount of a daemon that is gone", mend)
    if connection_of(path) is not None:
        if mine is not None and mine.path in (str(path), ""):
            return Finding(MOUNTPOINT, f"{path}, mounted")
        name = next((daemon.name for daemon in others if daemon.path == str(path)), "another configuration")
        mend = f"end that: cloudfs umount {path}; or name another mountpoint"
        return Finding(MOUNTPOINT, f"{path} is the mount of {name}", mend)
    try:
        require_empty(path)
    except CloudfsError as error:
        what, _, mend = error.reason.partition("; ")
        return Finding(MOUNTPOINT, what, mend or "name another mountpoint")
    if not os.access(path, os.W_OK):
        mend = "make it yours, or name a folder of yours"
        return Finding(MOUNTPOINT, f"you may not write to {path}, and fusermount3 asks for that", mend)
    return Finding(MOUNTPOINT, f"{path}, an empty folder")


def kernel_limits(connections: Path, number: int | None) -> Finding:
    """How many requests of a mount the kernel lets wait on the network together (DESIGN 8.15)."""
    try:
        if number is not None:
            waiting = (connections / str(number) / "max_background").read_text().strip()
            return Finding(LIMITS, f"up to {waiting} requests of this mount wait side by side")
        is_there = os.path.ismount(connections)
    except OSError as error:
        return Finding(LIMITS, f"{connections} can't be read: {error.strerror}")
    if is_there:
        return Finding(LIMITS, f"a mount raises them: {background_limit()} requests wait side by side")
    detail = f"{connections} is not mounted: no more than 12 reads ahead of a mount wait side by side"
    return Finding(LIMITS, detail)


def _hanging(daemon: Daemon) -> tuple[str, str]:
    what = f"the daemon behind {daemon.socket} (pid {daemon.pid}) gave no answer within {ANSWER_S:g} s"
    return what, f"see its log; kill -9 {daemon.pid} and mount again: what was closed is safe"
