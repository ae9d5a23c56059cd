"""Whether the cloud can be reached and takes us in (INTERFACE section 8, "Conditions").

Invariants: `check` raises (a start is refused with 22400001) from a 401 anywhere, or a refused listing of the
root, until the root has answered. For as long, and while nothing answers at all, the root is asked again and
again.
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
    """Fed with what was heard from the cloud; asks its root while that refuses us or can't be reached.

    probe: asks for the cloud's root once; raises what `Cloud.stat` raises.
    returned: told when the cloud answers, or takes us in, after a while in which it did not. Must not block.
    """

    def __init__(
        self, probe: Callable[[], Awaitable[object]], returned: Callable[[], None] = lambda: None
    ) -> None:
        self._probe = probe
        self._returned = returned
        self._refusal: CloudfsError | None = None
        self._ask_at = 0.0  # trio's clock
        self._is_reachable = True
        self._troubled = trio.Event()
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

    @property
    def refusal(self) -> CloudfsError | None:
        """Why a start is refused: the cloud's own words."""
        return self._refusal

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
        self._settle(None, is_reachable=True)

    def unreachable(self) -> None:
        """No answer at all to a request, whatever was asked for."""
        if self._is_reachable:
            log.warning("the cloud can't be reached")
            self._ask_at = max(self._ask_at, trio.current_time() + ASK_AGAIN_S)
        self._settle(self._refusal, is_reachable=False)

    def answered(self) -> None:
        """Some answer came; where the credentials were refused, it takes the root's own to end that."""
        if not self._is_reachable:
            log.info("the cloud answers again")
        self._settle(self._refusal, is_reachable=True)

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
        """Ask the root again while it refuses us or can't be reached: every ASK_AGAIN_S, and no sooner than
        Retry-After says."""
        task_status.started()
        while True:
            await self._troubled.wait()
            await trio.sleep_until(self._ask_at)
            async with self._asking:
                if self._is_troubled and trio.current_time() >= self._ask_at:
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
        self._ask_at = trio.current_time() + max(ASK_AGAIN_S, error.retry_after or 0.0)
        self._settle(error, is_reachable=True)

    @property
    def _is_troubled(self) -> bool:
        return self._refusal is not None or not self._is_reachable

    def _settle(self, refusal: CloudfsError | None, *, is_reachable: bool) -> None:
        """Remember how the cloud stands, and wake who waits for trouble, or tell of its end."""
        was_troubled = self._is_troubled
        self._refusal, self._is_reachable = refusal, is_reachable
        if self._is_troubled:
            self._troubled.set()
        elif was_troubled:
            self._troubled = trio.Event()
            self._returned()
