"""What the device allows: thresholds, and the order of several causes."""

from __future__ import annotations

import pytest

from cloudfs.config import DeviceSettings, Network
from cloudfs.device import Battery, Device
from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import BatteryLow, CloudNotReady, NoNetwork
from cloudfs.simulation import Simulation, Simulator
from tests.device.machine import Machine


def test_a_device_without_battery_refuses_nothing(machine: Machine) -> None:
    machine.supply("AC", type="Mains", online=1)
    device = machine.device(network=Network.WIFI)
    assert device.refusal() is None
    assert device.interruption(wifi_only=True) is ErrorType.NO_ERROR


@pytest.mark.parametrize(
    ("percent", "status", "is_refused", "in_mid_sync"),
    [
        (15, "Discharging", False, ErrorType.NO_ERROR),
        (14, "Discharging", True, ErrorType.BATTERY_LEVEL_LOW),
        (10, "Unknown", True, ErrorType.BATTERY_LEVEL_LOW),
        (9, "Not charging", True, ErrorType.BATTERY_LEVEL_WARNING),
        (0, "Discharging", True, ErrorType.BATTERY_LEVEL_WARNING),
        (3, "Charging", False, ErrorType.NO_ERROR),
        (3, "Full", False, ErrorType.NO_ERROR),
    ],
)
def test_levels(
    machine: Machine, percent: int, status: str, is_refused: bool, in_mid_sync: ErrorType
) -> None:
    machine.supply("BAT0", type="Battery", capacity=percent, status=status)
    device = machine.device(network=Network.WIFI)
    assert isinstance(device.refusal(), BatteryLow) == is_refused
    assert device.interruption(wifi_only=False) is in_mid_sync


def test_the_battery_is_read_when_asked(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=50, status="Discharging")
    device = machine.device(network=Network.WIFI)
    assert device.refusal() is None
    machine.supply("BAT0", capacity=5)
    assert isinstance(device.refusal(), BatteryLow)
    machine.supply("BAT0", status="Charging")
    assert device.refusal() is None


def test_wifi_only_ends_a_sync_on_mobile_but_refuses_no_start(machine: Machine) -> None:
    device = machine.device(network=Network.MOBILE)
    assert device.interruption(wifi_only=True) is ErrorType.WIFI_UNAVAILABLE
    assert device.interruption(wifi_only=False) is ErrorType.NO_ERROR
    assert device.refusal() is None


def test_the_order_of_refusals(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=5, status="Discharging")
    unready = CloudNotReady("the credentials were refused")
    offline = machine.device(network=Network.NONE)
    online = machine.device(network=Network.ETHERNET)
    assert isinstance(offline.refusal(unready), NoNetwork)
    assert online.refusal(unready) is unready
    assert isinstance(online.refusal(), BatteryLow)


def test_the_order_of_causes_in_mid_sync(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=5, status="Discharging")
    causes = [machine.device(network=network).interruption(wifi_only=True) for network in Network]
    assert causes == [
        ErrorType.NETWORK_UNAVAILABLE,  # auto, without any route
        ErrorType.NETWORK_UNAVAILABLE,
        ErrorType.WIFI_UNAVAILABLE,
        ErrorType.BATTERY_LEVEL_WARNING,
        ErrorType.BATTERY_LEVEL_WARNING,
    ]


def test_what_is_simulated_goes_before_what_is_there(machine: Machine) -> None:
    """The battery as not charging, the network also before a fixed one; each alone, as long as it lasts."""
    machine.supply("BAT0", type="Battery", capacity=80, status="Charging")
    simulator = Simulator()
    device = machine.device(network=Network.WIFI, simulator=simulator)
    assert device.interruption(wifi_only=True) is ErrorType.NO_ERROR
    simulator.begin(Simulation(battery_percent=0), None)
    assert (device.battery(), device.network()) == (Battery(0, is_running_down=True), Network.WIFI)
    assert device.interruption(wifi_only=True) is ErrorType.BATTERY_LEVEL_WARNING
    simulator.begin(Simulation(network=Network.MOBILE), None)
    assert (device.battery().percent, device.is_cut_off) == (80, False)
    assert device.interruption(wifi_only=True) is ErrorType.WIFI_UNAVAILABLE
    simulator.begin(Simulation(network=Network.NONE), None)
    assert isinstance(device.refusal(), NoNetwork)
    assert device.is_cut_off
    simulator.end()
    assert (device.network(), device.is_cut_off) == (Network.WIFI, False)


def test_a_device_that_is_configured_to_have_no_network_asks_nothing(machine: Machine) -> None:
    simulator = Simulator()
    assert machine.device(network=Network.NONE).is_cut_off
    assert not machine.device().is_cut_off  # where there is none the kernel says so
    simulator.begin(Simulation(network=Network.WIFI), None)
    assert not machine.device(network=Network.NONE, simulator=simulator).is_cut_off


def test_this_machine_can_be_asked() -> None:
    device = Device(DeviceSettings(), "http://127.0.0.1:1/")
    assert device.network() is Network.ETHERNET
    device.battery()
