"""A transfer's table whole, and what it says of itself."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from cloudfs.model.enums import DownloadErrorType, EventClass, Priority, State
from cloudfs.model.errors import LocalStorageFull
from cloudfs.transfers.transfer import TRANSITIONS, Step, Transfer, TransferState


def transfer(size: int = 1000) -> Transfer:
    return Transfer(
        1, size=size, source=EventClass.CLOUD_FILE_CACHE, uri="file://x", priority=Priority.ASKED, order=0
    )


@pytest.mark.parametrize("state", list(TransferState))
@pytest.mark.parametrize("step", list(Step))
async def test_every_step_in_every_state(state: TransferState, step: Step) -> None:
    subject = transfer()
    subject.state = state
    if (state, step) in TRANSITIONS:
        subject.take(step)
        assert subject.state is TRANSITIONS[state, step]
        assert subject.has_ended is (step is not Step.BEGIN)
    else:
        with pytest.raises(RuntimeError, match=step.name):
            subject.take(step)
        assert subject.state is state


def test_nothing_follows_an_end() -> None:
    ends = {TransferState.COMPLETED, TransferState.FAILED, TransferState.STOPPED}
    assert not ends & {state for state, _ in TRANSITIONS}


async def test_it_says_how_it_ended() -> None:
    done = transfer()
    done.begin(1000, 10)
    done.take(Step.COMPLETE)
    assert (done.progress().state, done.progress().processed) == (State.COMPLETED, 1000)
    failed = transfer()
    failed.take(Step.FAIL, LocalStorageFull("full"))
    assert failed.progress().error is DownloadErrorType.LOCAL_STORAGE_FULL
    stopped = transfer()
    stopped.take(Step.STOP)
    assert (stopped.progress().state, stopped.progress().error) == (State.STOPPED, DownloadErrorType.NO_ERROR)


@given(st.lists(st.integers(0, 1000)))
def test_processed_never_falls(held: list[int]) -> None:
    async def run() -> None:
        subject = transfer()
        subject.begin(1000, 0)
        seen = [0]
        for count in held:
            subject.advance(count)
            seen.append(subject.progress().processed)
        assert seen == sorted(seen)

    trio.run(run)


async def test_news_comes_at_a_measured_pace(autojump_clock: MockClock) -> None:
    subject = transfer()
    assert not subject.has_news()
    subject.begin(1000, 0)
    assert subject.has_news()
    assert not subject.has_news()
    await trio.sleep(0.2)
    assert subject.has_news()


async def test_the_rate_is_that_of_the_last_seconds(autojump_clock: MockClock) -> None:
    subject = transfer(100_000)
    subject.begin(100_000, 500)
    for second in range(10):
        await trio.sleep(1)
        subject.advance(500 + (second + 1) * 100)
    assert subject.status().rate == pytest.approx(100)
    await trio.sleep(100)
    assert subject.status().rate < 10
