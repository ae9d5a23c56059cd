"""Whether the cloud takes us in: what refuses a start with 22400001 (INTERFACE section 8, "Conditions").

Invariant: `check` raises, and the root is asked again and again, from a 401 anywhere (or a refused
listing of the root) until the root has answered.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import trio

from cloudfs.model.enums import CloudState
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudNotReady,
    NetworkUnavailable,
    ServerError,
    TooManyRequests,
    Unauthorized,
)

log = logging.getLogger(__name__)

ASK_AGAIN_S = 5.0


class CloudReadiness:
    """Fed with what was heard from the cloud; asks its root while that refuses us.

    probe: asks for the cloud's root once; raises what `Cloud.stat` raises.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._refusal: CloudfsError | None = None
        self._ask_at = 0.0  # trio's clock
        self._is_reachable = True
        self._refused = trio.Event()
        self._asking = trio.Lock()
        self._times_asked = 0

    @property
    def state(self) -> CloudState:
        """What `status` shows."""
        if isinstance(self._refusal, AccessRefused):
            return CloudState.UNAUTHORIZED
        if self._refusal is None and self._is_reachable:
            return CloudState.READY
        return CloudState.OFFLINE

    @property
    def is_ready(self) -> bool:
        """Whether a start is not refused; being out of reach is the sync's own trouble."""
        return self._refusal is None

    # --- what was heard ---

    def unauthorized(self, error: Unauthorized) -> None:
        """401, whatever was asked for."""
        self._refuse(error)

    def root_refused(self, error: CloudfsError) -> None:
        """403 or 503 to the listing of the root."""
        self._refuse(error)

    def ready(self) -> None:
        """The root answered."""
        if self._refusal is not None:
            log.info("the cloud is ready again")
            self._refused = trio.Event()
        self._refusal = None
        self._is_reachable = True

    def unreachable(self) -> None:
        """No answer at all to a request, whatever was asked for."""
        self._is_reachable = False

    def answered(self) -> None:
        """Some answer came; where the credentials were refused, it takes the root's own to end that."""
        self._is_reachable = True

    # --- asking ---

    async def check(self) -> None:
        """Raise CloudNotReady while the cloud refuses us, having asked just now.

        Callers that come while the root is being asked share its answer.
        """
        if self._refusal is not None:
            times_asked = self._times_asked
            async with self._asking:
                if self._times_asked == times_asked:
                    await self._ask()
        if self._refusal is not None:
            raise CloudNotReady(self._refusal.reason, status=self._refusal.status)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask the root again while it refuses us, every ASK_AGAIN_S and no sooner than Retry-After says."""
        task_status.started()
        while True:
            await self._refused.wait()
            await trio.sleep_until(self._ask_at)
            async with self._asking:
                if self._refusal is not None and trio.current_time() >= self._ask_at:
                    await self._ask()

    async def _ask(self) -> None:
        self._ask_at = trio.current_time() + ASK_AGAIN_S
        try:
            await self._probe()
        except NetworkUnavailable:
            self.unreachable()
        except (AccessRefused, TooManyRequests, ServerError) as error:
            self._refuse(error)
        except CloudfsError:
            self.ready()  # it was an answer, if not a good one; the sync will meet it
        else:
            self.ready()
        finally:
            self._times_asked += 1

    def _refuse(self, error: CloudfsError) -> None:
        if self._refusal is None:
            log.warning("the cloud refuses us: %s", error.reason)
        self._refusal = error
        self._is_reachable = True
        self._ask_at = trio.current_time() + max(ASK_AGAIN_S, error.retry_after or 0.0)
        self._refused.set()
