"""What the four classes share: a connection, and the listeners on it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from anyio.abc import TaskGroup

from cloudfs.client.connection import Connection
from cloudfs.client.endings import Ending
from cloudfs.client.listeners import Listener, Listening, SkippedListener
from cloudfs.client.outcome import Outcome
from cloudfs.client.tasks import Tasks
from cloudfs.client.wire import skipped
from cloudfs.model.progress import DownloadProgress, SyncProgress

P = TypeVar("P", SyncProgress, DownloadProgress)
Socket = str | os.PathLike[str] | None
EventScope = Literal["own", "all"]


class RemoteObject(ABC, Generic[P]):
    """Base of the classes. Invariant: there are listeners only while there is a block, and its connection.

    `_tasks`: those of the listeners; None where none is taken, as there is no block, or it is being left.
    """

    _name: str

    def __init__(self, socket: Socket = None) -> None:
        """Reference: constructor. No call is made: its codes come with the first one.

        socket: the control socket of the mount that is meant; None: $CLOUDFS_SOCKET, else the only one of
        this user's and root's mounts that is running.
        """
        self._socket = socket
        self._connection: Connection | None = None
        self._tasks: TaskGroup | None = None
        self._block = AsyncExitStack()
        self._listening: dict[int, Listening[P]] = {}

    async def __aenter__(self) -> Self:
        """Connect, for as long as the block. CloudSyncError 13600001; RuntimeError in a block already."""
        if self._connection is not None:
            raise RuntimeError(f"this {type(self).__name__} is in a block already; make another")
        async with AsyncExitStack() as block:
            connection = await block.enter_async_context(Connection(self._socket))
            tasks = await block.enter_async_context(Tasks())  # ended before what they call by
            self._block = block.pop_all()
        self._connection, self._tasks = connection, tasks
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """Hang up once listeners were told what came so far; where an error leaves, they are cancelled."""
        connection, tasks, self._tasks = self._held(), self._tasks, None
        for number, listening in self._listening.items():
            connection.forget(number)
            listening.finish()
        if error is not None and tasks is not None:
            tasks.cancel_scope.cancel()
        try:
            return await self._block.__aexit__(kind, error, traceback)
        finally:
            self._connection = None
            self._listening.clear()

    async def off(self, event: Literal["progress"], callback: Listener[P] | None = None) -> None:
        """Reference: off. Unregisters a listener; None: all of this object's.

        One that is not registered is no error. From this call on the listener is not called any more, also
        where the call fails; one that is being called just now goes on.
        """
        gone = {
            number: listening
            for number, listening in self._listening.items()
            if callback is None or listening.callback == callback
        }
        if not gone:
            return
        connection = self._held()
        for number, listening in gone.items():
            del self._listening[number]
            connection.forget(number)
            listening.end()
        for number in gone:
            await connection.call(f"{self._name}.off", {"event": event, "subscription": number})

    async def wait_lost(self) -> None:
        """Return once the connection is lost: no event comes any more. RuntimeError outside of a block."""
        await self._held().wait_lost()

    async def _on(
        self, event: str, callback: Listener[P], scope: EventScope, on_skipped: SkippedListener | None
    ) -> None:
        connection, tasks = self._held(), self._tasks
        listening = Listening(callback, on_skipped)

        def take(params: Mapping[str, Any]) -> None:
            if "skipped" in params:
                listening.put(skipped(params["skipped"]))
            else:
                listening.put(self._progress(params.get("progress")))

        number = await connection.subscribe(self._name, event, scope, take)
        if tasks is None or tasks is not self._tasks:
            connection.forget(number)  # the block is being left, with those who were there before
            return
        self._listening[number] = listening
        tasks.start_soon(listening.run)

    async def _run(self, ending: Ending[P], **params: Any) -> P:
        """`start` with these params, and the progress that ends what it began."""
        end: Outcome[P] = Outcome()

        def take(told: Mapping[str, Any]) -> None:
            if "progress" in told:
                progress = self._progress(told["progress"])
                if ending.is_met_by(progress):
                    end.settle(progress)

        async with self._connected() as connection:
            number = await connection.subscribe(self._name, "progress", "own", take)
            try:
                await connection.call(f"{self._name}.start", params, lambda result: ending.accepted())
                return await connection.wait_for(end)
            finally:
                connection.unsubscribe(self._name, "progress", number)

    async def _call(self, method: str, **params: Any) -> Any:
        async with self._connected() as connection:
            return await connection.call(f"{self._name}.{method}", params)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        """The block's connection, else one for as long as it takes."""
        if self._connection is not None:
            yield self._connection
        else:
            async with Connection(self._socket) as connection:
                yield connection

    def _held(self) -> Connection:
        if self._connection is None:
            raise RuntimeError(f"listeners need a connection: async with {type(self).__name__}() as …")
        return self._connection

    @abstractmethod
    def _progress(self, shown: Any) -> P:
        """An event as the daemon sends it. Raises Unreadable."""
