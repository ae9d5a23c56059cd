"""What is learnt from NetworkManager: what its properties mean, and a life with a stand-in on a real bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.config import Network
from cloudfs.daemon.services import running
from cloudfs.device import NOTHING_KNOWN, NetworkFacts, network_manager
from cloudfs.device.network_manager import MANAGER, NetworkManager, facts_of
from tests.device.bus import PrivateBus, StandIn, private_bus

PATIENCE_S = 10
WLAN = "/org/freedesktop/NetworkManager/Devices/2"
AT_HOME = NetworkFacts({"wlan0": Network.WIFI}, Network.WIFI)
AT_A_HOTSPOT = NetworkFacts({"wlan0": Network.MOBILE}, Network.WIFI)

# --- what its properties mean ---


@pytest.mark.parametrize(
    ("device", "links"),
    [
        ({"Interface": "eth0", "DeviceType": 1, "Metered": 4}, {"eth0": "ethernet"}),
        ({"Interface": "eth0", "DeviceType": 1, "Metered": 3}, {"eth0": "mobile"}),
        ({"Interface": "wlan0", "DeviceType": 2, "Metered": 2}, {"wlan0": "wifi"}),
        ({"Interface": "wlan0", "DeviceType": 2, "Metered": 1}, {"wlan0": "mobile"}),
        ({"Interface": "wlan0", "DeviceType": 2, "Metered": 0}, {"wlan0": "wifi"}),
        ({"Interface": "wlan0", "DeviceType": 2}, {"wlan0": "wifi"}),
        (
            {"Interface": "ttyUSB2", "IpInterface": "ppp0", "DeviceType": 8},
            {"ttyUSB2": "mobile", "ppp0": "mobile"},
        ),
        ({"Interface": "enp1s0", "IpInterface": "ppp0", "DeviceType": 1, "Metered": 4}, None),
        ({"Interface": "tun0", "DeviceType": 16, "Metered": 4}, {}),
        ({"Interface": "br0", "DeviceType": 13, "Metered": 1}, {"br0": "mobile"}),
        ({"Interface": "", "DeviceType": 8}, {}),
        ({}, {}),
    ],
)
def test_devices(device: dict[str, Any], links: dict[str, str] | None) -> None:
    expected = {"enp1s0": "ethernet", "ppp0": "ethernet"} if links is None else links
    assert facts_of({}, [device]).links == expected


@pytest.mark.parametrize(
    ("manager", "primary"),
    [
        ({"PrimaryConnectionType": "802-11-wireless", "Metered": 4}, Network.WIFI),
        ({"PrimaryConnectionType": "802-11-wireless", "Metered": 3}, Network.MOBILE),
        ({"PrimaryConnectionType": "gsm", "Metered": 2}, Network.MOBILE),
        ({"PrimaryConnectionType": "pppoe"}, Network.ETHERNET),
        ({"PrimaryConnectionType": "bridge", "Metered": 4}, None),
        ({"PrimaryConnectionType": "wireguard", "Metered": 1}, Network.MOBILE),
        ({"PrimaryConnectionType": ""}, None),
        ({}, None),
    ],
)
def test_the_primary_connection(manager: dict[str, Any], primary: Network | None) -> None:
    assert facts_of(manager, []) == NetworkFacts({}, primary)


# --- its life ---


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    monkeypatch.setattr(network_manager, "ANSWER_S", 0.2)
    monkeypatch.setattr(network_manager, "SETTLE_S", 0.01)
    monkeypatch.setattr(network_manager, "REOPEN_S", 0.02)
    monkeypatch.setattr(network_manager, "LONGEST_S", 0.02)
    with private_bus(tmp_path) as bus:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        yield bus


class Follower:
    """A NetworkManager service, and what it told."""

    def __init__(self) -> None:
        self.told: list[NetworkFacts] = []
        self._news = trio.Event()
        self.service = NetworkManager(self._changed)

    def _changed(self) -> None:
        self.told.append(self.service.facts)
        self._news.set()
        self._news = trio.Event()

    async def knows(self, facts: NetworkFacts) -> None:
        await self.until(lambda: self.service.facts == facts)

    async def until(self, is_true: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE_S):
            while not is_true():
                await self._news.wait()


@pytest.fixture
async def follower(bus: PrivateBus) -> AsyncIterator[Follower]:
    follower = Follower()
    async with running(follower.service):
        yield follower


def stand_in(bus: PrivateBus) -> StandIn:
    manager = {"Devices": [WLAN], "PrimaryConnectionType": "802-11-wireless", "Metered": 4}
    return StandIn(
        bus.address, manager, {WLAN: {"Interface": "wlan0", "IpInterface": "wlan0", "DeviceType": 2}}
    )


async def test_it_comes_changes_and_goes(bus: PrivateBus, follower: Follower) -> None:
    with trio.fail_after(PATIENCE_S):
        await follower.service.known()
    assert follower.service.facts == NOTHING_KNOWN
    nm = stand_in(bus)
    async with running(nm):
        await follower.knows(AT_HOME)
        await nm.change(WLAN, Metered=3)
        await follower.knows(AT_A_HOTSPOT)
        await nm.change(MANAGER.object_path, PrimaryConnectionType="bridge", Metered=3)
        await follower.knows(NetworkFacts({"wlan0": Network.MOBILE}, Network.MOBILE))
        # One that is gone before it is asked leaves the others.
        gone = "/org/freedesktop/NetworkManager/Devices/9"
        await nm.change(MANAGER.object_path, Devices=[gone, WLAN], Metered=4)
        await follower.knows(NetworkFacts({"wlan0": Network.MOBILE}))
    await follower.knows(NOTHING_KNOWN)
    async with running(stand_in(bus)):
        await follower.knows(AT_HOME)
    assert not bus.has_started_network_manager


async def test_many_signals_are_one_question(
    bus: PrivateBus, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    nm = stand_in(bus)
    async with running(nm):
        await follower.knows(AT_HOME)
        monkeypatch.setattr(network_manager, "SETTLE_S", 0.5)
        before = nm.asked
        for number in range(200):
            await nm.change(WLAN, Metered=3, State=number)
        await follower.knows(AT_A_HOTSPOT)
        assert nm.asked - before < 20


async def test_a_bus_that_goes_is_opened_again(bus: PrivateBus, follower: Follower) -> None:
    async with running(stand_in(bus)):
        await follower.knows(AT_HOME)
        bus.stop()
        await follower.knows(NOTHING_KNOWN)
    bus.start()
    async with running(stand_in(bus)):
        await follower.knows(AT_HOME)


async def test_one_that_does_not_answer_is_none_until_it_does(bus: PrivateBus, follower: Follower) -> None:
    nm = stand_in(bus)
    async with running(nm):
        await follower.knows(AT_HOME)
        nm.is_deaf = True
        await nm.change(WLAN, Metered=3)
        await follower.knows(NOTHING_KNOWN)
        nm.is_deaf = False
        await follower.knows(AT_A_HOTSPOT)


async def test_a_bus_that_is_held_up_holds_up_nothing(
    bus: PrivateBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="cloudfs")
    follower = Follower()
    with bus.held_up():
        async with running(follower.service):  # a start does not wait for it
            with trio.fail_after(PATIENCE_S):
                await follower.service.known()
            assert "TooSlowError" in caplog.text
    async with running(follower.service), running(stand_in(bus)):
        await follower.knows(AT_HOME)


@pytest.mark.parametrize("address", ["unix:path=/nonexistent/bus", "tcp:host=bus.example,port=1", "nonsense"])
async def test_a_machine_without_a_bus_says_so_once(
    address: str, bus: PrivateBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
    caplog.set_level("INFO", logger="cloudfs")
    follower = Follower()
    async with running(follower.service):
        await trio.sleep(0.2)
    assert [record.name for record in caplog.records] == ["cloudfs.device.network_manager"]
    assert follower.told == []


async def test_what_is_no_bus_at_all(
    tmp_path: Path, bus: PrivateBus, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It hangs up at once, or answers with what D-Bus never says."""
    answers = [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"OK 1234\r\n", b"x" * 20_000]
    left = list(answers)

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(left.pop(0) if left else b"")

    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(str(tmp_path / "other"))
        listener.listen()
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'other'}")
        follower = Follower()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, answer, [trio.SocketListener(listener)])
            async with running(follower.service):
                with trio.fail_after(PATIENCE_S):
                    while left:
                        await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert follower.told == []
