"""Tasks whose errors come out as they are."""

from __future__ import annotations

from types import TracebackType

import anyio
from anyio.abc import TaskGroup


class Tasks:
    """An async context manager: a task group, left by the task that entered it.

    A task that raises ends the block. A lone error, the block's own or a task's, comes out as it is, in no
    group.
    """

    _group: TaskGroup

    async def __aenter__(self) -> TaskGroup:
        self._group = anyio.create_task_group()
        return await self._group.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._group.__aexit__(kind, error, traceback)
        except BaseExceptionGroup as group:
            if group.exceptions == (error,):
                return None
            if len(group.exceptions) > 1:
                raise
            alone = group.exceptions[0]
            raise alone from alone.__cause__
