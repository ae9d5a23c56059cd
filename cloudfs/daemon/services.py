"""Services: what runs until it is cancelled, for the length of a block."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import trio


class Service(Protocol):
    """Something that runs until it is cancelled; usable once it has called `task_status.started()`."""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None: ...


@asynccontextmanager
async def running(service: Service) -> AsyncGenerator[None, None]:
    """A service for the length of the block. What it raises comes out of the block, by itself."""
    with lone_errors():
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run)
            yield
            nursery.cancel_scope.cancel()


@contextmanager
def lone_errors() -> Iterator[None]:
    """Around a nursery: a failure that came alone goes on without the group about it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
