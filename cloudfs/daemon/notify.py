"""What a service manager is told of this process: sd_notify(3), one datagram a message.

Nobody waits for the service manager: what there is to tell is left here, and a task of its own tells it.
Where its socket is out of reach the mount goes on, and the log says so; while it hangs, what it has not heard
yet gives way to what is true by then.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable

import trio

from cloudfs.model.enums import CloudState
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

VARIABLE = "NOTIFY_SOCKET"
LOOK_EVERY_S = 5.0  # how old the status may be that the service manager shows


class ServiceManager:
    """The service manager that started this process, if one did and wants to know; else nothing happens."""

    def __init__(self, address: str | None) -> None:
        """address: of its socket, as $NOTIFY_SOCKET has it; None where there is no service manager."""
        self._address = address
        self._untold: dict[str, str] = {}
        self._told: dict[str, str] = {}
        self._has_news = trio.Event()

    @classmethod
    def of_this_process(cls) -> ServiceManager:
        """Takes the address out of the environment: no child may speak for us (a password_command)."""
        return cls(os.environ.pop(VARIABLE, None) or None)

    def starting(self, patience_s: float) -> None:
        """The start goes on, and takes no longer than this from now."""
        self._tell(EXTEND_TIMEOUT_USEC=_microseconds(patience_s))

    def ready(self) -> None:
        """The mount is usable."""
        self._tell(READY="1")

    def status(self, text: str) -> None:
        """How it stands, in a few words on one line."""
        self._tell(STATUS=text)

    def stopping(self, patience_s: float) -> None:
        """The end has begun, and takes no longer than this from now."""
        self._tell(STOPPING="1", EXTEND_TIMEOUT_USEC=_microseconds(patience_s))

    def _tell(self, **assignments: str) -> None:
        if self._address is not None and not assignments.items() <= (self._told | self._untold).items():
            self._untold |= assignments
            self._has_news.set()

    async def follow(self, describe: Callable[[], str]) -> None:
        """Ask again and again how it stands, and tell it where it is new, until cancelled."""
        while self._address is not None:
            try:
                self.status(describe())
            except CloudfsError as error:
                log.warning("the service manager is not told how it stands: %s", error.reason)
            await trio.sleep(LOOK_EVERY_S)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Tell what there is to tell, until cancelled."""
        task_status.started()
        while True:
            await self._has_news.wait()
            self._has_news = trio.Event()
            news, self._untold = self._untold, {}
            self._told |= news
            try:
                await self._send("".join(f"{name}={value}\n" for name, value in news.items()))
            except OSError as error:
                reason = error.strerror or str(error)
                log.warning("the service manager can't be told of %s: %s", ", ".join(news), reason)

    async def _send(self, message: str) -> None:
        """Connected first, for only then poll(2) tells whether the receiver's queue has room."""
        assert self._address is not None  # else there are no news
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC
        with trio.socket.socket(socket.AF_UNIX, kind) as connection:
            # unix(7): "@" stands for the NUL of an address that is in no file system.
            await connection.connect("\0" + self._address[1:] if self._address[0] == "@" else self._address)
            await connection.send(message.encode())


def summary(cloud: CloudState, pending: int) -> str:
    """How a mount stands, for `systemctl status`: "ready", "offline; 3 changes pending"."""
    changes = f"{pending} change{'' if pending == 1 else 's'} pending" if pending else ""
    return "; ".join(filter(None, (cloud.value, changes)))


def _microseconds(seconds: float) -> str:
    return str(round(seconds * 1e6))
