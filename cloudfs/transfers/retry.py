"""Trying again what may succeed the next time: with jitter, as the server wishes, and not for ever.

How is stamina's; which causes are worth it is `CloudfsError.retryable`. Time is trio's clock throughout.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import stamina
import stamina.instrumentation
import trio

from cloudfs.model.errors import CloudfsError

T = TypeVar("T")

# Its default hooks log the arguments of a call: paths, and whatever else those hold.
stamina.instrumentation.set_on_retry_hooks(())

_SHARE_OF_PATIENCE = 0.8
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 4.0
_JITTER_S = 0.4


def patience_s(timeout_s: float) -> float:
    """How long something asked of the cloud is tried again under a `[cloud] timeout`: its cause comes before
    the deadline of who waits strikes."""
    return timeout_s * _SHARE_OF_PATIENCE


class Patience:
    """How long one piece of work bears with failures: until `span_s` seconds went by without progress.

    once: causes that are no reason to wait, but to ask one more time.
    last: the failure that was borne with last, None while it goes well.
    """

    def __init__(self, span_s: float, *, once: tuple[type[CloudfsError], ...] = ()) -> None:
        self._span_s = span_s
        self._once = once
        self._longest_wait_s = min(_LONGEST_WAIT_S, span_s / 8)
        self._deadline = trio.current_time() + span_s
        self._progressed = False
        self.last: CloudfsError | None = None

    def progressed(self) -> None:
        """Something came: the time without progress begins anew."""
        self._deadline = trio.current_time() + self._span_s
        self._progressed = True
        self.last = None

    def attempts(self) -> AsyncIterator[stamina.Attempt]:
        """Attempts, to be entered one after the other with waits between them; see stamina.retry_context.

        The last failure is raised once the patience ends or where it is not worth another try.
        """
        return aiter(
            stamina.retry_context(
                on=self._wait_after,
                attempts=None,
                timeout=None,
                wait_initial=min(_FIRST_WAIT_S, self._longest_wait_s),
                wait_max=self._longest_wait_s,
                wait_jitter=min(_JITTER_S, self._longest_wait_s),
            )
        )

    def _wait_after(self, error: Exception) -> bool | float:
        """False: give up. True: wait as stamina does. Else the seconds to wait."""
        if isinstance(error, self._once):
            self._once = ()
            return random.uniform(0, _FIRST_WAIT_S)
        if not isinstance(error, CloudfsError) or not error.retryable:
            return False
        left_s = self._deadline - trio.current_time()
        if error.retry_after is not None:
            wait_s = error.retry_after + random.uniform(0, _JITTER_S)
        elif self._progressed:
            wait_s = random.uniform(0, _FIRST_WAIT_S)
        else:
            wait_s = self._longest_wait_s
        if wait_s > left_s:
            return False
        self.last = error
        is_usual = error.retry_after is None and not self._progressed
        self._progressed = False
        return True if is_usual else wait_s


async def retried(call: Callable[[], Awaitable[T]], span_s: float) -> T:
    """Call until it succeeds, for `span_s` seconds at most between first failure and last try.

    Raises the last CloudfsError. Only for what may be asked twice without harm.
    """
    async for attempt in Patience(span_s).attempts():
        with attempt:
            return await call()
    raise AssertionError("stamina either returns an attempt or raises")
