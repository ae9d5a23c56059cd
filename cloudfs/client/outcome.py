"""What a task waits for, and another one brings."""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio

from cloudfs.client.errors import CloudSyncError

T = TypeVar("T")


class Outcome(Generic[T]):
    """A value or an error, once; what comes second changes nothing."""

    def __init__(self) -> None:
        self._settled = anyio.Event()
        self._value: T
        self._error: CloudSyncError | None = None

    def settle(self, value: T) -> None:
        if not self._settled.is_set():
            self._value = value
            self._settled.set()

    def fail(self, error: CloudSyncError) -> None:
        if not self._settled.is_set():
            self._error = error
            self._settled.set()

    async def wait(self) -> T:
        """The value, or the error raised. For one task."""
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._value
