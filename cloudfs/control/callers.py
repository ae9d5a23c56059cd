"""Who calls: the peer of a Unix socket, and what it may do (INTERFACE section 8, "Who may call")."""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from cloudfs.config import Grant
from cloudfs.model.errors import NotSystemApp, PermissionDenied

log = logging.getLogger(__name__)

CLOUDFILE_SYNC = "ohos.permission.CLOUDFILE_SYNC"

_ROOT_UID = 0
_UCRED = struct.Struct("3i")  # unix(7): pid, uid, gid
_SO_PEERGROUPS = 59  # include/uapi/asm-generic/socket.h; the socket module does not name it
_GROUPS_MAX_BYTES = 1024  # as much as socket.getsockopt can take: 256 groups


@dataclass(frozen=True, slots=True)
class Caller:
    """A process at the other end, as it was when it connected. groups: all of its groups."""

    pid: int
    uid: int
    groups: frozenset[int]


class HasSocketOptions(Protocol):
    """socket.socket, or trio's."""

    def getsockopt(self, level: int, optname: int, buflen: int, /) -> bytes: ...


def peer_of(connection: HasSocketOptions) -> Caller:
    """Who connected (unix(7), SO_PEERCRED and SO_PEERGROUPS)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(credentials)
    return Caller(pid, uid, frozenset((gid, *_supplementary_groups(connection))))


def _supplementary_groups(connection: HasSocketOptions) -> Iterable[int]:
    try:
        groups = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_MAX_BYTES)
    except OSError as error:  # more of them than fit: the caller does without
        log.info("the groups of a caller can't be read: %s", error.strerror)
        return ()
    return (gid for (gid,) in struct.iter_unpack("I", groups))


class Permissions:
    """What each uid may call. The mount's owner and root hold all; others what the config grants."""

    def __init__(self, grants: Iterable[Grant], *, owner: int | None = None) -> None:
        """owner: the mount's; this process's where it is None."""
        self._owner = os.geteuid() if owner is None else owner
        self._grants = {grant.uid: grant for grant in grants}

    def is_owner(self, caller: Caller) -> bool:
        return caller.uid in (self._owner, _ROOT_UID)

    def require_system(self, caller: Caller) -> None:
        """CLOUDFILE_SYNC and a system app. PermissionDenied, then NotSystemApp."""
        if self.is_owner(caller):
            return
        grant = self._grants.get(caller.uid)
        if grant is None or CLOUDFILE_SYNC not in grant.permissions:
            raise PermissionDenied(f"uid {caller.uid} was not granted {CLOUDFILE_SYNC}")
        if not grant.system_app:
            raise NotSystemApp(f"uid {caller.uid} was not granted to be a system app")

    def require_owner(self, caller: Caller) -> None:
        """The mount's owner, or root. PermissionDenied."""
        if not self.is_owner(caller):
            raise PermissionDenied("only the mount's owner and root may do this")
