"""The places on disk: where the mount appears, where content is kept, where the daemon listens."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudfs.cache.directory import recovered, require_usable, user_of
from cloudfs.config import MountConfig
from cloudfs.doctor.finding import Finding
from cloudfs.fuse.mountpoint import is_dead, is_mounted, require_empty
from cloudfs.model.errors import CloudfsError

ANSWER_S = 5.0
_SOCKET_PATH_MAX = 107  # unix(7)
_STATUS = {"jsonrpc": "2.0", "id": 1, "method": "Mount.status", "params": {}}


def examine(config: MountConfig) -> Iterator[Finding]:
    """All places that a configuration names."""
    yield mountpoint(config.mount.path)
    yield cache(config)
    yield free_space(config)
    yield control_socket(config.socket)


def mountpoint(path: Path) -> Finding:
    """The folder that the mount is to cover, or covers."""
    check = "mountpoint"
    if is_dead(path):
        mend = f"cloudfs mount takes it away by itself, and so does: fusermount3 -u {path}"
        return Finding(check, f"{path} is the mount of a daemon that is gone", mend)
    if is_mounted(path):
        return Finding(check, f"{path}, mounted")
    try:
        require_empty(path)
    except CloudfsError as error:
        what, _, mend = error.reason.partition("; ")
        return Finding(check, what, mend or "choose another one")
    return Finding(check, f"{path}, an empty folder")


def cache(config: MountConfig) -> Finding:
    """Whether content may be kept where it is to be kept."""
    check, directory = "cache", config.cache.path
    existing = _nearest(directory)
    try:
        require_usable(existing if existing != directory else directory, config.mount.path)
        pid = user_of(directory)
    except CloudfsError as error:
        what, _, mend = error.reason.rpartition(": ")
        return Finding(check, what or error.reason, mend if what else "choose another [cache] path")
    if not os.access(existing, os.W_OK | os.X_OK):
        return Finding(check, f"nothing may be made in {existing}", "choose another [cache] path")
    if (folder := recovered(directory)) is not None:
        mend = f"look through {folder}, keep what you need, and remove the rest"
        return Finding(check, f"files that lost their names are in {folder}", mend)
    return Finding(
        check, f"{directory}, in use by process {pid}" if pid else f"{directory}, free for a mount"
    )


def free_space(config: MountConfig) -> Finding:
    """Whether anything can be kept at all, beside what must stay free."""
    disk = os.statvfs(_nearest(config.cache.path))
    free, least = disk.f_bavail * disk.f_frsize, config.cache.min_free
    detail = f"{_gib(free)} free; the cache may take {_gib(config.cache.size)} and leaves {_gib(least)}"
    if free <= least:
        return Finding("disk", detail, "make room on that disk, or set a smaller cache.min_free")
    return Finding("disk", detail)


def control_socket(path: Path) -> Finding:
    """Whether a daemon can listen there, or one that answers does."""
    check = "control socket"
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        mend = "set control.socket to a shorter path"
        return Finding(check, f"{path} is longer than {_SOCKET_PATH_MAX} bytes", mend)
    try:
        status = _ask_status(path)
    except (FileNotFoundError, ConnectionRefusedError):
        existing = _nearest(path.parent)
        if not os.access(existing, os.W_OK | os.X_OK):
            mend = "set control.socket to a path where you may make it"
            return Finding(check, f"nothing may be made in {existing}", mend)
        return Finding(check, f"{path}, no daemon listens")
    except TimeoutError:
        mend = "look into its log; end it by SIGTERM, and mount again: nothing is lost by that"
        return Finding(check, f"the daemon behind {path} does not answer within {ANSWER_S:g} s", mend)
    except (OSError, ValueError) as error:
        return Finding(check, f"{path} can't be used: {error}", "set control.socket to another path")
    pid = status.get("result", {}).get("pid")
    return Finding(check, f"{path}, the daemon (pid {pid}) answers" if pid else f"{path}, a daemon answers")


def _ask_status(path: Path) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(os.fsencode(path))
        connection.sendall(json.dumps(_STATUS).encode() + b"\n")
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer


def _nearest(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
