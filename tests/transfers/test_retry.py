"""Which failures are borne with, for how long, and at whose pace."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import MockClock

from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    NetworkUnavailable,
    ServerError,
    TooManyRequests,
    WrongContent,
)
from cloudfs.transfers.retry import Patience, retried


class Flaky:
    """Fails with each of `failures` in turn, then gives 42."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.times: list[float] = []

    async def __call__(self) -> int:
        self.times.append(trio.current_time())
        if self.failures:
            raise self.failures.pop(0)
        return 42


async def test_it_succeeds_after_failures(autojump_clock: MockClock) -> None:
    flaky = Flaky(NetworkUnavailable("reset"), ServerError("502", status=502))
    assert await retried(flaky, 30) == 42
    waits = [later - earlier for earlier, later in zip(flaky.times, flaky.times[1:], strict=False)]
    assert all(0.1 <= wait <= 4 for wait in waits)


async def test_what_is_not_worth_it_is_raised_at_once(autojump_clock: MockClock) -> None:
    flaky = Flaky(AccessRefused("403", status=403))
    with pytest.raises(AccessRefused):
        await retried(flaky, 30)
    assert len(flaky.times) == 1


async def test_a_bug_is_no_reason_to_try_again(autojump_clock: MockClock) -> None:
    with pytest.raises(ZeroDivisionError):
        await retried(Flaky(ZeroDivisionError()), 30)


async def test_patience_ends_with_the_last_cause(autojump_clock: MockClock) -> None:
    flaky = Flaky(*[NetworkUnavailable(f"{number}") for number in range(10_000)])
    with pytest.raises(NetworkUnavailable) as raised:
        await retried(flaky, 30)
    assert raised.value.reason == str(len(flaky.times) - 1)
    assert 20 <= trio.current_time() - flaky.times[0] <= 30


async def test_the_servers_wish_is_obeyed(autojump_clock: MockClock) -> None:
    flaky = Flaky(TooManyRequests("429", status=429, retry_after=12))
    assert await retried(flaky, 30) == 42
    assert 12 <= flaky.times[1] - flaky.times[0] <= 13


async def test_a_wish_beyond_the_patience_is_an_error_now(autojump_clock: MockClock) -> None:
    flaky = Flaky(TooManyRequests("429", status=429, retry_after=120))
    with pytest.raises(TooManyRequests):
        await retried(flaky, 30)
    assert len(flaky.times) == 1
    assert trio.current_time() == flaky.times[0]


async def test_progress_renews_the_patience_and_is_followed_quickly(autojump_clock: MockClock) -> None:
    patience = Patience(10)
    began = trio.current_time()
    rounds = 0
    async for attempt in patience.attempts():
        with attempt:
            rounds += 1
            await trio.sleep(1)
            if rounds <= 30:
                patience.progressed()
                raise NetworkUnavailable("cut")
    assert rounds == 31
    assert 31 <= trio.current_time() - began <= 35
    assert patience.last is not None


async def test_some_causes_are_worth_one_more_try(autojump_clock: MockClock) -> None:
    for failures, works in ((1, True), (2, False)):
        flaky = Flaky(*[WrongContent("a login page") for _ in range(failures)])
        caught = None
        try:
            async for attempt in Patience(30, once=(WrongContent,)).attempts():
                with attempt:
                    await flaky()
        except WrongContent as error:
            caught = error
        assert (caught is None) is works
        assert len(flaky.times) == 2


async def test_the_last_failure_is_told_while_it_waits(autojump_clock: MockClock) -> None:
    patience = Patience(30)
    failures: list[CloudfsError | None] = []
    async for attempt in patience.attempts():
        with attempt:
            failures.append(patience.last)
            if len(failures) == 1:
                raise ServerError("502", status=502)
    assert failures[0] is None
    assert isinstance(failures[1], ServerError)
    patience.progressed()
    assert patience.last is None


async def test_nothing_is_logged(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        await retried(Flaky(NetworkUnavailable("reset")), 30)
    assert caplog.records == []
