"""Which running mount is meant: from the path, else --socket, else $CLOUDFS_SOCKET, else the only one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from cloudfs.cli.connection import CallFailed, Connection
from cloudfs.cli.failures import Exit, Failure, TargetFailure
from cloudfs.cli.output import printable

PATIENCE_S = 5.0  # for the first answer of a daemon
ROOT_SOCKETS = Path("/run/cloudfs")
_DENIED = (201, 202)
_FILE = "file://"
_MEDIA = ("file://media/Photo/", "file:///media/Photo/")


@dataclass(frozen=True, slots=True)
class Mount:
    """A running mount: its answer to Mount.status, and a connection to it.

    The answer is an error where the caller has no right to ask that; downloads need none.
    """

    answer: dict[str, Any] | CallFailed
    connection: Connection

    @property
    def is_open(self) -> bool:
        """Whether this caller may ask what a system app may."""
        return not isinstance(self.answer, CallFailed)

    @property
    def status(self) -> dict[str, Any]:
        """CallFailed where this caller is told nothing."""
        if isinstance(self.answer, CallFailed):
            raise self.answer
        return self.answer

    @property
    def path(self) -> bytes:
        return os.fsencode(self.status["path"])

    def __enter__(self) -> Mount:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


@dataclass(frozen=True, slots=True)
class Running:
    """What listens where daemons listen.

    mounts: those that let us ask; their connections are the caller's to close. silent: the sockets of
    daemons that do not answer, which has been told already.
    """

    mounts: list[Mount]
    silent: list[Path]

    def none(self) -> Failure:
        """Why there is no mount to ask."""
        if self.silent:
            return Failure("no other mount is running; what to do is told by: cloudfs doctor", Exit.NO_DAEMON)
        return Failure("no mount is running; start one with: cloudfs mount", Exit.NO_DAEMON)


def running() -> Running:
    """Ask every daemon that this user can reach; PATIENCE_S at most for each."""
    found = Running([], [])
    for path in _sockets():
        try:
            connection = Connection(path)
        except OSError:
            continue  # left behind by a daemon that was killed, or another user's
        try:
            mount = _met(connection)
            if isinstance(mount.answer, CallFailed):
                connection.close()
                raise mount.answer
            found.mounts.append(mount)
        except Failure as failure:
            print(f"cloudfs: {path}: {failure.message}", file=sys.stderr)
            if not isinstance(failure, CallFailed):
                found.silent.append(path)
    return found


def find(targets: Sequence[str], socket: Path | None) -> Mount:
    """The one mount that PATHs or URIs belong to, else the one named or the only one.

    Failure: several mounts are meant, or could be (2); none runs (4).
    """
    if not targets and (named := _named(socket)) is not None:
        return named  # no other mount is asked: one that hangs or ends has no part in this
    found = running()
    chosen = None
    try:
        chosen = _holder_of_all(found.mounts, targets) or _named(socket) or _only(found, targets)
        return chosen
    finally:
        for mount in found.mounts:
            if mount is not chosen:
                mount.connection.close()


def _holder_of_all(mounts: list[Mount], targets: Sequence[str]) -> Mount | None:
    """The mount that those targets lie in which lie in any."""
    paths = [path for target in targets if (path := local_path(target)) is not None]
    meant = {id(mount): mount for path in paths if (mount := _holder(mounts, path)) is not None}
    if len(meant) > 1:
        names = ", ".join(sorted(mount.status["name"] for mount in meant.values()))
        raise Failure(f"these belong to several mounts ({names}); name those of one mount", Exit.USAGE)
    return next(iter(meant.values()), None)


def _named(socket: Path | None) -> Mount | None:
    named = socket or os.environ.get("CLOUDFS_SOCKET")
    return connect(Path(named)) if named else None


def _only(found: Running, targets: Sequence[str]) -> Mount:
    if not found.mounts:
        raise found.none()
    if len(found.mounts) > 1:
        names = sorted(f"{mount.status['socket']} ({mount.status['path']})" for mount in found.mounts)
        what = "several mounts are running" + (", and the path lies in none" if targets else "")
        raise Failure(printable(f"{what}; name one by --socket: {', '.join(names)}"), Exit.USAGE)
    return found.mounts[0]


def connect(socket: Path) -> Mount:
    """The mount that listens there, also one that denies this caller its status. Failure (4): none does."""
    try:
        connection = Connection(socket)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Failure(
            f"no daemon answers on {socket} ({reason}); see: cloudfs status", Exit.NO_DAEMON
        ) from error
    return _met(connection)


def local_path(target: str) -> bytes | None:
    """The absolute path that a PATH or file URI means on this machine; None for a gallery asset."""
    if not is_uri(target):
        return os.fsencode(os.path.abspath(target))
    if is_media(target):
        return None
    _, slash, path = target.removeprefix(_FILE).partition("/")
    return unquote_to_bytes(slash + path) if slash else None


def is_uri(target: str) -> bool:
    """Whether a target is a URI as against a path."""
    return target.startswith(_FILE)


def is_media(uri: str) -> bool:
    """Whether a URI names a gallery asset (INTERFACE section 4)."""
    return uri.startswith(_MEDIA)


def uri_of(mount: Mount, target: str) -> str:
    """The URI to name a target by; a URI stays as it was given."""
    if is_uri(target):
        return target
    return _FILE + quote_from_bytes(_inside(mount, os.fsencode(os.path.abspath(target))), safe="/~")


def reference_of(mount: Mount, target: str) -> str:
    """How Mount.* methods name a target: a URI as it is, else the path as the mount spells its own.

    TargetFailure where the name is no UTF-8: JSON can't hold it (extended attributes go by any name).
    """
    if is_uri(target):
        return target
    path = _inside(mount, os.fsencode(os.path.abspath(target)))
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        mend = "use getfattr and setfattr -n user.cloudfs.… on it"
        raise TargetFailure(f"the name is no UTF-8, which the socket cannot carry; {mend}") from error


def _met(connection: Connection) -> Mount:
    """Its answer to Mount.status. Failure, with the connection closed, where there is none in time."""
    try:
        connection.set_patience(PATIENCE_S)
        answer = _status(connection)
        connection.set_patience(None)
    except Failure:
        connection.close()
        raise
    return Mount(answer, connection)


def _status(connection: Connection) -> dict[str, Any] | CallFailed:
    try:
        status: dict[str, Any] = connection.call("Mount.status")
    except CallFailed as failure:
        if failure.code not in _DENIED:
            raise
        return failure
    return status


def _inside(mount: Mount, path: bytes) -> bytes:
    """The path below the mountpoint, also where it led there through a symbolic link."""
    if not mount.is_open:
        return path  # where the mountpoint is, this caller isn't told
    if _is_below(path, mount.path):
        return path
    real, root = _real(path), _real(mount.path)
    return mount.path + real.removeprefix(root) if _is_below(real, root) else path


def _holder(mounts: list[Mount], path: bytes) -> Mount | None:
    """The innermost mount that a path lies in."""
    real = _real(path)
    holders = [mount for mount in mounts if _is_below(path, mount.path) or _is_below(real, _real(mount.path))]
    return max(holders, key=lambda mount: len(mount.path), default=None)


def _real(path: bytes) -> bytes:
    """Without symbolic links above the last name, which is not asked for: it may need the network."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _is_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")


def _sockets() -> list[Path]:
    """Where daemons listen unless told otherwise (INTERFACE section 3): this user's, and root's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    folders = {Path(runtime, "cloudfs"), ROOT_SOCKETS}
    found: list[Path] = []
    for folder in folders:
        try:
            found += folder.glob("*.sock")
        except PermissionError:  # another user's runtime directory, kept by su(1)
            continue
    return sorted(found)
