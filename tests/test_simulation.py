"""What is simulated, for how long, and what it may never touch."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from cloudfs.config import Network
from cloudfs.model.errors import SERVER_ERRORS
from cloudfs.simulation import NOTHING, Simulation, Simulator

METHODS = ("GET", "HEAD", "PROPFIND", "PUT", "DELETE", "MOVE", "MKCOL", "LOCK", "UNLOCK", "OPTIONS")


@pytest.mark.parametrize("status", [404, 410])
def test_only_content_is_ever_not_there(status: int) -> None:
    """Any other question would have a file taken for deleted, or a delete for done."""
    answers = {method: Simulation(server_error=status).answer_to(method) for method in METHODS}
    assert answers == {method: status if method == "GET" else None for method in METHODS}


def test_a_full_cloud_refuses_content_alone() -> None:
    answers = {method: Simulation(is_quota_full=True).answer_to(method) for method in METHODS}
    assert answers == {method: 507 if method == "PUT" else None for method in METHODS}


@pytest.mark.parametrize("status", sorted(set(SERVER_ERRORS) - {404, 410}))
def test_what_was_locked_is_let_go(status: int) -> None:
    answers = {method: Simulation(server_error=status).answer_to(method) for method in METHODS}
    assert answers == {method: None if method == "UNLOCK" else status for method in METHODS}


def test_both_of_two_conditions_are_met() -> None:
    both = Simulation(is_quota_full=True, server_error=404)
    assert [both.answer_to(method) for method in ("PUT", "GET", "PROPFIND")] == [507, 404, None]


def test_no_answer_makes_a_change_believed() -> None:
    """Neither a success, nor a 412 that makes a conflict of it, nor a name that is refused for good."""
    assert all(status >= 400 for status in SERVER_ERRORS)
    assert not {405, 409, 412, 413, 414, 423} & set(SERVER_ERRORS)


async def test_it_ends_by_itself(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    told = []
    simulator = Simulator(lambda: told.append(simulator.current))
    await nursery.start(simulator.run)
    simulator.begin(Simulation(battery_percent=9), 30)
    await trio.sleep(29)
    assert simulator.current == Simulation(battery_percent=9)
    assert simulator.until_ms is not None
    await trio.sleep(2)
    assert told == [Simulation(battery_percent=9), NOTHING]
    assert simulator.current is NOTHING
    assert simulator.until_ms is None


async def test_the_next_takes_the_place_of_the_one_before(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    simulator = Simulator()
    await nursery.start(simulator.run)
    simulator.begin(Simulation(battery_percent=9), 5)
    await trio.sleep(1)
    simulator.begin(Simulation(network=Network.NONE), None)
    await trio.sleep(60)
    assert simulator.current == Simulation(network=Network.NONE)
    simulator.begin(Simulation(server_error=429), 5)
    simulator.end()
    await trio.sleep(60)
    assert simulator.current is NOTHING
