"""CloudReadiness: 22400001 from a refusal until the root answers again."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from cloudfs.cloudsync.readiness import ASK_AGAIN_S, CloudReadiness
from cloudfs.model.enums import CloudState
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudNotReady,
    NetworkUnavailable,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
)

REFUSED = Unauthorized("the password is wrong", status=401)


class Root:
    """The cloud's root: raises `answer`, and notes when it was asked."""

    def __init__(self, answer: CloudfsError | None = None, *, takes_s: float = 0) -> None:
        self.answer = answer
        self.takes_s = takes_s
        self.asked_at: list[float] = []

    async def __call__(self) -> None:
        self.asked_at.append(trio.current_time())
        await trio.sleep(self.takes_s)
        if self.answer is not None:
            raise self.answer


async def test_ready_until_told_otherwise() -> None:
    root = Root()
    readiness = CloudReadiness(root)
    await readiness.check()
    assert readiness.state is CloudState.READY
    assert root.asked_at == []


@pytest.mark.parametrize(
    "answer", [REFUSED, AccessRefused("no", status=403), ServerError("busy", status=503)]
)
async def test_a_refused_start_asks_at_once(answer: CloudfsError) -> None:
    root = Root(answer)
    readiness = CloudReadiness(root)
    readiness.unauthorized(REFUSED)
    with pytest.raises(CloudNotReady) as refusal:
        await readiness.check()
    assert refusal.value.code == 22400001
    root.answer = None
    await readiness.check()
    assert readiness.state is CloudState.READY
    assert len(root.asked_at) == 2


async def test_no_answer_is_none_and_a_bad_one_is_one() -> None:
    root = Root(NetworkUnavailable("no route"))
    readiness = CloudReadiness(root)
    readiness.root_refused(ServerError("maintenance", status=503))
    with pytest.raises(CloudNotReady):
        await readiness.check()
    assert readiness.state is CloudState.OFFLINE
    root.answer = NotFound("no root", status=404)
    await readiness.check()


async def test_being_out_of_reach_refuses_nothing() -> None:
    readiness = CloudReadiness(Root())
    readiness.unreachable()
    states = [readiness.state]
    assert readiness.is_ready
    readiness.answered()
    assert [*states, readiness.state] == [CloudState.OFFLINE, CloudState.READY]


async def test_another_files_answer_does_not_end_the_refusal() -> None:
    readiness = CloudReadiness(Root())
    readiness.unauthorized(REFUSED)
    readiness.answered()
    assert readiness.state is CloudState.UNAUTHORIZED
    assert not readiness.is_ready
    readiness.ready()
    assert readiness.is_ready


async def test_the_root_is_asked_every_five_seconds(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    root = Root(REFUSED)
    readiness = CloudReadiness(root)
    await nursery.start(readiness.run)
    begun = trio.current_time()
    readiness.unauthorized(REFUSED)
    await trio.sleep(3 * ASK_AGAIN_S + 1)
    assert [at - begun for at in root.asked_at] == [ASK_AGAIN_S, 2 * ASK_AGAIN_S, 3 * ASK_AGAIN_S]
    root.answer = None
    await trio.sleep(ASK_AGAIN_S)
    assert readiness.is_ready
    asked = len(root.asked_at)
    await trio.sleep(10 * ASK_AGAIN_S)
    assert len(root.asked_at) == asked


async def test_retry_after_is_kept_to(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    root = Root(TooManyRequests("busy", status=503, retry_after=40))
    readiness = CloudReadiness(root)
    await nursery.start(readiness.run)
    begun = trio.current_time()
    readiness.root_refused(TooManyRequests("busy", status=503, retry_after=20))
    await trio.sleep(70)
    assert [at - begun for at in root.asked_at] == [20, 60]


async def test_callers_share_one_question(autojump_clock: MockClock) -> None:
    root = Root(REFUSED, takes_s=1)
    readiness = CloudReadiness(root)
    readiness.unauthorized(REFUSED)
    refused = []

    async def start() -> None:
        try:
            await readiness.check()
        except CloudNotReady as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(start)
    assert len(refused) == 100
    assert len(root.asked_at) == 1


async def test_a_cloud_out_of_reach_is_asked_every_five_seconds_until_it_answers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    root = Root(NetworkUnavailable("no route"))
    returned: list[float] = []
    readiness = CloudReadiness(root, lambda: returned.append(trio.current_time() - begun))
    await nursery.start(readiness.run)
    begun = trio.current_time()
    readiness.answered()
    readiness.unreachable()
    for _ in range(4):
        await trio.sleep(1)
        readiness.unreachable()  # others meet the same meanwhile, which puts nothing off
    await trio.sleep(2 * ASK_AGAIN_S - 3)
    assert [at - begun for at in root.asked_at] == [ASK_AGAIN_S, 2 * ASK_AGAIN_S]
    assert returned == []
    root.answer = None
    await trio.sleep(10 * ASK_AGAIN_S)
    assert returned == [3 * ASK_AGAIN_S]
    assert len(root.asked_at) == 3
    assert readiness.state is CloudState.READY


async def test_any_answer_ends_the_waiting_but_a_refusal(nursery: trio.Nursery) -> None:
    returned: list[str] = []
    readiness = CloudReadiness(Root(), lambda: returned.append("returned"))
    readiness.unreachable()
    readiness.answered()
    readiness.answered()
    assert returned == ["returned"]
    readiness.unreachable()
    readiness.unauthorized(REFUSED)  # an answer, of a kind
    readiness.answered()
    assert returned == ["returned"]
    readiness.ready()
    assert returned == ["returned", "returned"]
