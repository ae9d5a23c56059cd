"""Which daemon is meant, where nobody says: $CLOUDFS_SOCKET, else the only one that runs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

ROOT_SOCKETS = Path("/run/cloudfs")


class NoDaemon(Exception):
    """None listens, or several do."""


def find_socket(given: str | os.PathLike[str] | None) -> str:
    """The control socket's path: `given`, $CLOUDFS_SOCKET, or the only one with a daemon behind it.

    Raises NoDaemon with the reason.
    """
    named = given or os.environ.get("CLOUDFS_SOCKET")
    if named:
        return os.fspath(named)
    listening = [path for path in candidates() if _listens(path)]
    if not listening:
        raise NoDaemon("no mount is running")
    if len(listening) > 1:
        raise NoDaemon(f"several mounts are running, name one: {', '.join(map(str, listening))}")
    return str(listening[0])


def candidates() -> list[Path]:
    """Where daemons listen unless told otherwise (INTERFACE section 3): this user's, and root's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    found: set[Path] = set()
    for folder in (Path(runtime, "cloudfs"), ROOT_SOCKETS):
        with suppress(PermissionError):  # another user's runtime directory, kept by su(1)
            found.update(folder.glob("*.sock"))
    return sorted(found)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False  # left behind by a daemon that was killed, or another user's
    return True
