"""The control socket: a Unix stream listener, a task a client (INTERFACE section 7)."""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import trio

from cloudfs.control.admission import CLIENTS_MAX, Admission
from cloudfs.control.advertising import advertised
from cloudfs.control.call import CLIENT_LEFT
from cloudfs.control.callers import Caller, peer_of
from cloudfs.control.connection import Connection
from cloudfs.control.messages import ANY
from cloudfs.control.methods import Methods
from cloudfs.events import EventLog
from cloudfs.model import jsonrpc
from cloudfs.model.errors import LocalIOError, TryAgain
from cloudfs.model.room import Room

log = logging.getLogger(__name__)

_BACKLOG = 512
_PATH_MAX = 107  # unix(7): sun_path, without the NUL
_OWN_ROOM = 64 * 1024  # bytes that each client may have sent and not be answered yet, whatever others do
_COMMON_ROOM = 32 * 1024 * 1024  # what all clients together may have beyond that
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2): it may work later
_ACCEPT_AGAIN_S = 0.1
_SENT_AWAY = jsonrpc.encode_error(
    jsonrpc.NULL,
    TryAgain.code,
    ANY[TryAgain.code],
    {"reason": f"{CLIENTS_MAX} clients are connected, which is the most"},
)


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
        self._admission = Admission()
        self._room = Room(own=_OWN_ROOM, common=_COMMON_ROOM)

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
                    async with listener:
                        await self._accept(listener, clients)
        finally:
            _take_away(self._path, name)

    async def _accept(self, listener: trio.SocketListener, clients: trio.Nursery) -> None:
        """Let clients in for ever. A process out of descriptors lets them wait, and says so once."""
        is_told = False
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                if not is_told:
                    log.error("clients of the control socket have to wait: %s", error.strerror)
                is_told = True
                await trio.sleep(_ACCEPT_AGAIN_S)
            else:
                is_told = False
                clients.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.SocketStream) -> None:
        try:
            caller = peer_of(stream.socket)
            with self._admission.entered(is_owner=self._methods.permissions.is_owner(caller)) as is_let_in:
                if is_let_in:
                    await self._new_connection(stream, caller).serve()
                else:
                    await _send_away(stream)
        except Exception:
            log.exception("a connection to the control socket met a bug")

    def _new_connection(self, stream: trio.SocketStream, caller: Caller) -> Connection:
        return Connection(
            stream, caller, self._methods, self._events, self._may_read, share=self._room.share()
        )


async def _send_away(stream: trio.SocketStream) -> None:
    async with stream:
        with suppress(*CLIENT_LEFT):
            await stream.send_all(_SENT_AWAY + b"\n")


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
