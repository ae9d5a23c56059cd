"""What a service manager hears, and that one which does not listen holds up nothing."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing

from cloudfs.daemon import notify
from cloudfs.daemon.notify import ServiceManager, summary
from cloudfs.daemon.services import running
from cloudfs.model.enums import CloudState
from cloudfs.model.errors import LocalIOError


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{tmp_path}/notify" if request.param == "path" else f"@cloudfs-test-{os.getpid()}"


@pytest.fixture
def listener(address: str) -> Iterator[socket.socket]:
    """The service manager's end."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.settimeout(5)
        yield listener


async def heard(listener: socket.socket) -> str:
    return (await trio.to_thread.run_sync(listener.recv, 4096)).decode()


async def test_a_life_is_told_in_order(address: str, listener: socket.socket) -> None:
    manager = ServiceManager(address)
    async with running(manager):
        manager.starting(60)
        assert await heard(listener) == "EXTEND_TIMEOUT_USEC=60000000\n"
        manager.ready()
        manager.status("3 changes pending")
        assert await heard(listener) == "READY=1\nSTATUS=3 changes pending\n"
        manager.status("3 changes pending")
        manager.status("ready")
        assert await heard(listener) == "STATUS=ready\n"
        manager.stopping(2.5)
        assert await heard(listener) == "STOPPING=1\nEXTEND_TIMEOUT_USEC=2500000\n"


async def test_how_it_stands_is_told_where_it_is_new(
    address: str, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "LOOK_EVERY_S", 0)
    answers: list[str | LocalIOError] = ["offline", "offline", LocalIOError("the disk"), "ready"]

    def describe() -> str:
        answer = answers.pop(0) if answers else "ready"
        if isinstance(answer, LocalIOError):
            raise answer
        return answer

    manager = ServiceManager(address)
    async with running(manager), trio.open_nursery() as nursery:
        nursery.start_soon(manager.follow, describe)
        assert await heard(listener) == "STATUS=offline\n"
        assert await heard(listener) == "STATUS=ready\n"
        nursery.cancel_scope.cancel()


def fill(address: str) -> int:
    """Send until the receiver's queue has no more room; how many messages wait in it now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        sent = 0
        with suppress(BlockingIOError):
            while other.sendto(b"OTHER=1", address):
                sent += 1
        return sent


async def test_who_hangs_hears_the_last_word_and_holds_up_nobody(tmp_path: Path) -> None:
    address = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5)
        waiting = fill(address)
        manager = ServiceManager(address)
        async with running(manager):
            manager.ready()
            await trio.testing.wait_all_tasks_blocked()
            for number in range(1000):
                manager.status(f"{number}")
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(waiting):
                assert await heard(listener) == "OTHER=1"
            assert await heard(listener) == "READY=1\n"
            assert await heard(listener) == "STATUS=999\n"
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(1)


@pytest.mark.parametrize("name", ["none", "x" * 200])
async def test_who_is_out_of_reach_is_told_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    manager = ServiceManager(f"{tmp_path}/{name}")
    with caplog.at_level(logging.WARNING):
        async with running(manager):
            manager.ready()
            await trio.testing.wait_all_tasks_blocked()
    assert "can't be told of READY: " in caplog.text


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    manager = ServiceManager.of_this_process()
    async with running(manager):
        manager.ready()
        await manager.follow(lambda: pytest.fail("nobody wants to know"))


def test_no_child_inherits_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/x")
    ServiceManager.of_this_process()
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize(
    ("cloud", "pending", "text"),
    [
        (CloudState.READY, 0, "ready"),
        (CloudState.READY, 1, "ready; 1 change pending"),
        (CloudState.OFFLINE, 3, "offline; 3 changes pending"),
    ],
)
def test_how_it_stands_in_words(cloud: CloudState, pending: int, text: str) -> None:
    assert summary(cloud, pending) == text
