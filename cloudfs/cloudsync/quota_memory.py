"""What was last heard of the cloud's quota, so that statfs(2) never waits for the network."""

from __future__ import annotations

import logging

import trio

from cloudfs.clouds.base import Cloud, Quota
from cloudfs.model.errors import CloudfsError

log = logging.getLogger(__name__)

ASK_EVERY_S = 300.0
ASK_AGAIN_S = 30.0


class QuotaMemory:
    """Asks now and then, and remembers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._quota: Quota | None = None

    @property
    def quota(self) -> Quota | None:
        """None while unknown, or where the cloud has no notion of it."""
        return self._quota

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Ask every ASK_EVERY_S until cancelled, sooner after a failure."""
        task_status.started()
        while True:
            try:
                self._quota = await self._cloud.quota()
            except CloudfsError as error:
                log.debug("the quota is not known: %s", error.reason)
                await trio.sleep(ASK_AGAIN_S)
            else:
                await trio.sleep(ASK_EVERY_S)
