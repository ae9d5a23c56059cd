"""One connection to a mount's daemon, on trio or asyncio: calls, and what its subscriptions are told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from cloudfs.client.errors import CloudSyncError, ipc_error
from cloudfs.client.outcome import Outcome
from cloudfs.client.sockets import NoDaemon, find_socket
from cloudfs.client.tasks import Tasks
from cloudfs.client.wire import (
    Answer,
    Lines,
    Notification,
    Refusal,
    Unreadable,
    decode,
    encode_call,
    subscription_of,
)

_CHUNK = 64 * 1024

T = TypeVar("T")

# Both are called by the task that reads: they return at once, and may raise Unreadable.
Accepted = Callable[[Any], None]
Take = Callable[[Mapping[str, Any]], None]


def _ignore(result: Any) -> None:
    """A result that is for its caller alone."""


@dataclass(slots=True)
class _Question:
    """A call under way. accepted: is handed the result before any line that came after it."""

    accepted: Accepted
    outcome: Outcome[Any]


class Connection:
    """An async context manager, left by the task that entered it; any task may make calls.

    Invariants: a line is sent whole or not at all, whoever is cancelled. What the daemon says is read as it
    comes, whatever is done about it. Once the connection is lost, all calls under way and all later ones
    end with the same error; it is not made again.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """path: the daemon's socket; None: $CLOUDFS_SOCKET, else the only one that runs."""
        self._path = path
        self._block = AsyncExitStack()
        self._numbers = count(1)
        self._unsent: dict[int, bytes] = {}
        self._has_unsent = anyio.Event()
        self._questions: dict[int, _Question] = {}
        self._awaited: set[Outcome[Any]] = set()
        self._subscriptions: dict[int, Take] = {}
        self._loss: CloudSyncError | None = None
        self._lost = anyio.Event()

    async def __aenter__(self) -> Connection:
        """Connect. CloudSyncError 13600001 where no daemon listens."""
        try:
            stream = await anyio.connect_unix(find_socket(self._path))
        except NoDaemon as error:
            raise ipc_error(str(error)) from error
        except OSError as error:
            raise ipc_error(f"no daemon answers ({error.strerror or error})") from error
        async with AsyncExitStack() as block:
            await block.enter_async_context(stream)
            tasks = await block.enter_async_context(Tasks())
            tasks.start_soon(self._read, stream)
            tasks.start_soon(self._write, stream)
            block.callback(self._close, stream, tasks)
            self._block = block.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, error, traceback)

    # --- what tasks ask for ---

    async def call(self, method: str, params: Mapping[str, Any], accepted: Accepted = _ignore) -> Any:
        """A method's result. CloudSyncError where it is an error, 13600001 where the daemon is gone.

        accepted: is handed the result before any line that came after it. Cancelled, the call has taken
        effect or not; a daemon that hangs is waited for until then.
        """
        number, question = self._ask(method, params, accepted)
        try:
            return await self.wait_for(question.outcome)
        finally:
            self._unsent.pop(number, None)
            self._questions.pop(number, None)

    async def subscribe(self, class_name: str, event: str, scope: str, take: Take) -> int:
        """Have what a class tells handed to `take`, from its first event on; returns the subscription.

        Cancelled, there is none.
        """

        kept: list[int] = []

        def keep(result: Any) -> None:
            kept.append(subscription_of(result))
            self._subscriptions[kept[0]] = take

        def undo(result: Any) -> None:
            self.unsubscribe(class_name, event, subscription_of(result))

        number, question = self._ask(f"{class_name}.on", {"event": event, "scope": scope}, keep)
        try:
            await self.wait_for(question.outcome)
        except anyio.get_cancelled_exc_class():
            question.accepted = undo
            if kept:
                self.unsubscribe(class_name, event, kept[0])
            elif self._unsent.pop(number, None) is not None:
                del self._questions[number]
            raise
        return kept[0]

    def unsubscribe(self, class_name: str, event: str, subscription: int) -> None:
        """End a subscription; nothing is handed out any more, and nobody waits for the daemon's answer."""
        self.forget(subscription)
        self._post(f"{class_name}.off", {"event": event, "subscription": subscription})

    def forget(self, subscription: int) -> None:
        """Hand out no more of what it is told."""
        self._subscriptions.pop(subscription, None)

    async def wait_for(self, outcome: Outcome[T]) -> T:
        """What an outcome comes to. CloudSyncError where the connection is lost before."""
        if self._loss is not None:
            outcome.fail(self._loss_again(self._loss))
        self._awaited.add(outcome)
        try:
            return await outcome.wait()
        finally:
            self._awaited.remove(outcome)

    async def wait_lost(self) -> None:
        """Return once the connection is lost."""
        await self._lost.wait()

    def _ask(self, method: str, params: Mapping[str, Any], accepted: Accepted) -> tuple[int, _Question]:
        """Have a call sent. CloudSyncError where the connection is lost, or no line can hold the call."""
        if self._loss is not None:
            raise self._loss_again(self._loss)
        number, question = self._post(method, params), _Question(accepted, Outcome())
        self._questions[number] = question
        return number, question

    def _post(self, method: str, params: Mapping[str, Any]) -> int:
        """Have a call sent, and return its number."""
        number = next(self._numbers)
        self._unsent[number] = encode_call(number, method, params)
        self._has_unsent.set()
        return number

    # --- the two tasks ---

    def _close(self, stream: SocketStream, tasks: TaskGroup) -> None:
        """End both. What they do with the socket ends by itself: asyncio takes it amiss where it is cancelled
        in the moment that it is done."""
        self._lose(ipc_error("the connection was closed here"))
        with suppress(OSError):  # ENOTCONN: the daemon was first
            stream.extra(SocketAttribute.raw_socket).shutdown(socket.SHUT_RDWR)
        tasks.cancel_scope.cancel()

    async def _write(self, stream: SocketStream) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent = anyio.Event()
            lines = b"".join(self._unsent.values())  # none, where all callers have left meanwhile
            self._unsent.clear()
            try:
                with anyio.CancelScope(shield=True):
                    await stream.send(lines)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # `_read` comes to know why: the daemon may have said so

    async def _read(self, stream: SocketStream) -> None:
        lines = Lines()
        try:
            with anyio.CancelScope(shield=True):
                while True:
                    for line in lines.receive(await stream.receive(_CHUNK)):
                        self._take(decode(line))
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            self._lose(ipc_error("the daemon ended the connection"))
        except Unreadable as error:
            self._lose(ipc_error(f"what answers is no daemon of cloudfs: {error}"))
        except CloudSyncError as error:
            self._lose(error)

    def _take(self, message: Answer | Refusal | Notification) -> None:
        """Hand on what was said. Raises the daemon's last word, Unreadable."""
        match message:
            case Notification(subscription=int(number), params=params) if number in self._subscriptions:
                self._subscriptions[number](params)
            case Answer(number=number, result=result) if number in self._questions:
                question = self._questions.pop(number)
                question.accepted(result)
                question.outcome.settle(result)
            case Refusal(number=None, error=error):
                raise error
            case Refusal(number=int(number), error=error) if number in self._questions:
                self._questions.pop(number).outcome.fail(error)

    def _lose(self, loss: CloudSyncError) -> None:
        """End all calls. What ended the connection first is what counts."""
        if self._loss is not None:
            return
        self._loss = loss
        self._lost.set()
        for outcome in self._awaited:
            outcome.fail(self._loss_again(loss))

    @staticmethod
    def _loss_again(loss: CloudSyncError) -> CloudSyncError:
        """One for each caller: an object raised in several tasks would mix up their tracebacks."""
        return CloudSyncError(*loss.args)
