"""One connection to a mount's daemon, on trio or asyncio: calls, and the events of its subscriptions.

JSON by the standard library: a program that imports the client should not wait for more than anyio.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import anyio
from anyio.abc import ByteStream, TaskGroup

from cloudfs.client.sockets import NoDaemon, find_socket

IPC_ERROR = 13600001
_CHUNK = 64 * 1024

Notify = Callable[[dict[str, Any]], None]


class CloudSyncError(Exception):
    """The reference's BusinessError.

    code: its number. message: the text of the method's own error table.
    data: what the daemon adds: `uri`, `reason`.
    """

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(code, message, data)
        self.code = code
        self.message = message
        self.data = data or {}

    def __str__(self) -> str:
        reason = self.data.get("reason")
        return f"{self.message} ({self.code})" + (f": {reason}" if reason else "")


def ipc_error(reason: str) -> CloudSyncError:
    """No daemon, or a connection that is lost."""
    return CloudSyncError(IPC_ERROR, "IPC error.", {"reason": reason})


@dataclass(slots=True)
class _Question:
    """A call under way. notify: takes the events of the subscription that the answer names."""

    notify: Notify | None
    answered: anyio.Event = field(default_factory=anyio.Event)
    result: Any = None
    error: CloudSyncError | None = None


class Connection:
    """An async context manager; calls may be made from several tasks at the same time.

    Events are handed to their callbacks by a task of the connection, in order. What a callback raises ends
    the block.
    """

    def __init__(self, socket: str | os.PathLike[str] | None = None) -> None:
        """socket: the daemon's; None: $CLOUDFS_SOCKET, else the only one that runs."""
        self._path = socket
        self._stream: ByteStream | None = None
        self._tasks: TaskGroup | None = None
        self._sending = anyio.Lock()
        self._questions: dict[int, _Question] = {}
        self._subscriptions: dict[int, Notify] = {}
        self._last_id = 0
        self._lost = anyio.Event()

    async def __aenter__(self) -> Connection:
        """Connect. CloudSyncError 13600001 where no daemon listens."""
        try:
            self._stream = await anyio.connect_unix(find_socket(self._path))
        except NoDaemon as error:
            raise ipc_error(str(error)) from error
        except OSError as error:
            raise ipc_error(f"no daemon answers ({error.strerror or error})") from error
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._read, self._stream)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        assert self._stream is not None
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if group.exceptions != (error,):  # else the block's own error goes on as it is
                raise _alone(group) from None
        finally:
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    async def call(self, method: str, params: dict[str, Any], notify: Notify | None = None) -> Any:
        """A method's result. CloudSyncError where it is an error, 13600001 where the daemon is gone.

        notify: takes the params of the notifications of the subscription that the result names.
        """
        if self._stream is None or self._lost.is_set():
            raise ipc_error("the daemon ended the connection")
        self._last_id += 1
        number = self._last_id
        question = self._questions[number] = _Question(notify)
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        try:
            async with self._sending:
                await self._stream.send(line.encode() + b"\n")
            await question.answered.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ipc_error("the daemon ended the connection") from error
        finally:
            self._questions.pop(number, None)
        if question.error is not None:
            raise question.error
        return question.result

    def forget(self, subscription: int) -> None:
        """Hand out no more of its events."""
        self._subscriptions.pop(subscription, None)

    async def wait_lost(self) -> None:
        """Return once the daemon has ended the connection."""
        await self._lost.wait()

    async def _read(self, stream: ByteStream) -> None:
        rest = b""
        try:
            while True:
                *lines, rest = (rest + await stream.receive(_CHUNK)).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self._lost.set()
            for question in self._questions.values():
                question.error = ipc_error("the daemon ended the connection")
                question.answered.set()

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            notify = self._subscriptions.get(message["params"]["subscription"])
            if notify is not None:
                notify(message["params"])
            return
        question = self._questions.get(message["id"])
        if question is None:
            return  # its caller was cancelled meanwhile
        if "error" in message:
            error = message["error"]
            question.error = CloudSyncError(error["code"], error["message"], error.get("data"))
        else:
            question.result = message["result"]
            if question.notify is not None:  # before the next line, which may be its first event
                self._subscriptions[question.result["subscription"]] = question.notify
        question.answered.set()


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The only error in a group, or the group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
