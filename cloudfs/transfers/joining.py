"""Work that several callers want at the same time and that is done once, for all of them."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import trio

from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Job(Generic[T]):
    """One piece of work under way. Either `result` or `error` is set once it is done."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.done = trio.Event()
        self.result: T | None = None
        self.error: CloudfsError | None = None


class Joining(Generic[T]):
    """`work(inode)`, at most once at a time for each inode.

    It belongs to `run`, not to who asked for it: a caller that is cancelled leaves the others, and the
    work, alone.
    """

    def __init__(self, work: Callable[[int], Awaitable[T]]) -> None:
        self._work = work
        self._jobs: dict[int, _Job[T]] = {}
        self._send, self._receive = trio.open_memory_channel[_Job[T]](math.inf)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do the work until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for job in self._receive:
                nursery.start_soon(self._do, job)

    def begin(self, inode: int) -> _Job[T]:
        """See to it that the work is under way, without waiting for it."""
        job = self._jobs.get(inode)
        if job is None:
            job = self._jobs[inode] = _Job(inode)
            self._send.send_nowait(job)
        return job

    async def join(self, inode: int) -> T:
        """The result of the work under way, or of a new one. Raises its CloudfsError."""
        job = self.begin(inode)
        await job.done.wait()
        if job.error is not None:
            raise copy.copy(job.error) from job.error
        return job.result  # type: ignore[return-value]  # done without an error

    async def renew(self, inode: int) -> T:
        """The result of work that begins from now on: what is under way may miss what just happened."""
        if (job := self._jobs.get(inode)) is not None:
            await job.done.wait()
        return await self.join(inode)

    async def _do(self, job: _Job[T]) -> None:
        try:
            job.result = await self._work(job.inode)
        except CloudfsError as error:
            job.error = error
        except Exception:
            log.exception("work on inode %d failed by a bug", job.inode)
            job.error = CloudfsError("a bug; the log has its traceback")
        del self._jobs[job.inode]
        job.done.set()
