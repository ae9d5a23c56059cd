"""The control socket: a Unix stream listener, a task a client (INTERFACE section 7)."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import trio

from cloudfs.control.advertising import advertised
from cloudfs.control.callers import Caller, peer_of
from cloudfs.control.connection import Connection
from cloudfs.control.methods import Methods
from cloudfs.events import EventLog
from cloudfs.model.errors import LocalIOError

log = logging.getLogger(__name__)

_BACKLOG = 512
_PATH_MAX = 107  # unix(7): sun_path, without the NUL


class ControlServer:
    """Listens until cancelled. It owns the task of every client."""

    def __init__(
        self,
        path: Path,
        mode: int,
        methods: Methods,
        *,
        events: EventLog,
        may_read: Callable[[Caller, int], bool],
        directory: Path | None = None,
    ) -> None:
        """path, mode: the socket's. may_read: whether a caller may read a file by its mode bits.
        directory: where clients look for sockets; one that lies elsewhere is advertised there."""
        self._path = path
        self._mode = mode
        self._methods = methods
        self._events = events
        self._may_read = may_read
        self._directory = path.parent if directory is None else directory

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve. Raises LocalIOError where the socket can't be made, or another daemon listens on it.

        The socket's name is taken away at the end, unless it is somebody else's by then.
        """
        listener = _listen(self._path, self._mode)
        name = os.stat(self._path)
        try:
            with advertised(self._path, self._directory):
                async with trio.open_nursery() as clients:
                    task_status.started()
                    await trio.serve_listeners(self._serve, [listener], handler_nursery=clients)
        finally:
            _take_away(self._path, name)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            caller = peer_of(stream.socket)
            await Connection(stream, caller, self._methods, self._events, self._may_read).serve()
        except Exception:
            log.exception("a connection to the control socket met a bug")


def _listen(path: Path, mode: int) -> trio.SocketListener:
    if len(os.fsencode(path)) > _PATH_MAX:
        raise LocalIOError(f"the path of the control socket is longer than {_PATH_MAX} bytes: {path}")
    try:
        _make_folder(path.parent, mode)
        return trio.SocketListener(trio.socket.from_stdlib_socket(_bind(path, mode)))
    except OSError as error:
        raise LocalIOError(f"the control socket {path} can't be made: {error.strerror}") from error


def _make_folder(folder: Path, mode: int) -> None:
    """The socket's folder: nobody else's, but to pass through where the socket's mode lets others in."""
    passing = (0o010 if mode & 0o060 else 0) | (0o001 if mode & 0o006 else 0)
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o700 | passing)


def _bind(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        try:
            listener.bind(os.fsencode(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            listener.bind(os.fsencode(path))
        path.chmod(mode)  # before listen: until then nobody can connect
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Take away what a daemon that was killed left behind.

    LocalIOError where one listens, or where it is no socket at all (connecting to a file is refused too).
    """
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise LocalIOError(f"{path} is not a socket; choose another [control] socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:  # it listens, and is busy
            pass
        raise LocalIOError(f"another daemon listens on {path}; choose another [control] socket")


def _take_away(path: Path, name: os.stat_result) -> None:
    try:
        now = os.stat(path)
        if (now.st_dev, now.st_ino) == (name.st_dev, name.st_ino):
            path.unlink()
    except FileNotFoundError:
        log.info("the control socket was taken away by somebody else: %s", path)
