"""What the device allows, told from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.config import DeviceSettings, Network
from cloudfs.device import Battery, Device
from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import BatteryLow, CloudNotReady, NoNetwork
from cloudfs.simulation import Simulation, Simulator

HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT_V4 = "{}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
# 192.0.2.0/24
LOCAL_V4 = "{}\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
ZERO = "0" * 32
LOOPBACK_V6 = f"{ZERO[:-1]}1 80 {ZERO} 00 {ZERO} 00000000 00000002 00000000 80200001 lo\n"
REJECT_V6 = f"{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200 lo\n"
LINK_LOCAL_V6 = f"fe80{ZERO[4:]} 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001 {{}}\n"
DEFAULT_V6 = f"{ZERO} 00 {ZERO} 00 fd00{ZERO[4:]} 00000400 00000001 00000000 00000003 {{}}\n"


class Machine:
    """A /sys and /proc of our own."""

    def __init__(self, root: Path) -> None:
        self.supplies = root / "power_supply"
        self.proc_net = root / "proc"
        self.sys_net = root / "net"
        for folder in (self.supplies, self.proc_net, self.sys_net):
            folder.mkdir()
        self.routes(v4="", v6=LOOPBACK_V6 + REJECT_V6)

    def supply(self, name: str, **values: str | int) -> None:
        folder = self.supplies / name
        folder.mkdir(exist_ok=True)
        for key, value in values.items():
            (folder / key).write_text(f"{value}\n")

    def routes(self, *, v4: str = "", v6: str = "") -> None:
        (self.proc_net / "route").write_text(HEADER + v4)
        (self.proc_net / "ipv6_route").write_text(v6)

    def interface(self, name: str, *marks: str, uevent: str = "") -> None:
        folder = self.sys_net / name
        folder.mkdir()
        (folder / "uevent").write_text(uevent)
        for mark in marks:
            (folder / mark).mkdir()

    def device(
        self,
        url: str = "https://dav.example/",
        network: Network = Network.AUTO,
        simulator: Simulator | None = None,
    ) -> Device:
        settings = DeviceSettings(power_supply=self.supplies, network=network)
        return Device(settings, url, simulator=simulator, proc_net=self.proc_net, sys_net=self.sys_net)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


# --- battery ---


def test_a_device_without_battery_refuses_nothing(machine: Machine) -> None:
    machine.supply("AC", type="Mains", online=1)
    assert machine.device().battery().percent is None
    assert machine.device(network=Network.WIFI).refusal() is None


def test_no_power_supply_class_at_all(machine: Machine) -> None:
    machine.supplies.rmdir()
    assert machine.device().battery().percent is None


@pytest.mark.parametrize(
    ("percent", "status", "is_refused", "in_mid_sync"),
    [
        (15, "Discharging", False, ErrorType.NO_ERROR),
        (14, "Discharging", True, ErrorType.BATTERY_LEVEL_LOW),
        (10, "Unknown", True, ErrorType.BATTERY_LEVEL_LOW),
        (9, "Not charging", True, ErrorType.BATTERY_LEVEL_WARNING),
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


def test_several_batteries_count_by_their_size(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=0, status="Unknown", energy_full=30)
    machine.supply("BAT1", type="Battery", capacity=40, status="Discharging", energy_full=10)
    assert machine.device().battery().percent == 10
    machine.supply("BAT1", status="Charging")
    assert machine.device().battery().is_charging


def test_gadgets_ups_and_empty_bays_do_not_count(machine: Machine) -> None:
    machine.supply("hidpp_battery_0", type="Battery", scope="Device", capacity=1, status="Discharging")
    machine.supply("ups", type="UPS", capacity=1, status="Discharging")
    machine.supply("BAT1", type="Battery", present=0, capacity=1, status="Discharging")
    machine.supply("BAT2", type="Battery", capacity="?", status="Discharging")
    assert machine.device().battery().percent is None


def test_a_driver_without_capacity(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", status="Discharging", charge_now=25, charge_full=100)
    assert machine.device().battery().percent == 25


# --- network ---


def test_fixed_values_say_what_the_device_is_on(machine: Machine) -> None:
    machine.routes(v4=DEFAULT_V4.format("eth0"))
    for network in (Network.NONE, Network.MOBILE, Network.WIFI, Network.ETHERNET):
        assert machine.device("http://127.0.0.1/", network).network() is network


def test_without_any_route_there_is_no_network(machine: Machine) -> None:
    device = machine.device()
    assert device.network() is Network.NONE
    assert isinstance(device.refusal(), NoNetwork)
    assert device.interruption(wifi_only=True) is ErrorType.NETWORK_UNAVAILABLE


@pytest.mark.parametrize("host", ["127.0.0.1:80", "127.9.9.9", "[::1]:8080", "localhost", "dav.LOCALHOST."])
def test_a_cloud_on_loopback_needs_no_network(machine: Machine, host: str) -> None:
    device = machine.device(f"http://{host}/dav/")
    assert device.refusal() is None
    assert device.interruption(wifi_only=True) is ErrorType.NO_ERROR


def test_the_interface_of_the_route_says_what_it_is(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("wlan1", "phy80211", "device")
    machine.interface("wwan0", "device")
    machine.interface("usb0", "device", uevent="DEVTYPE=wwan\nINTERFACE=usb0\n")
    machine.interface("eth0", "device")
    kinds = {}
    for name in ("wlan0", "wlan1", "wwan0", "usb0", "eth0", "ppp0"):
        machine.routes(v4=DEFAULT_V4.format(name))
        kinds[name] = machine.device().network().value
    assert kinds == {
        "wlan0": "wifi",
        "wlan1": "wifi",
        "wwan0": "mobile",
        "usb0": "mobile",
        "eth0": "ethernet",
        "ppp0": "mobile",
    }


def test_wifi_only_ends_a_sync_on_mobile_but_refuses_no_start(machine: Machine) -> None:
    device = machine.device(network=Network.MOBILE)
    assert device.interruption(wifi_only=True) is ErrorType.WIFI_UNAVAILABLE
    assert device.interruption(wifi_only=False) is ErrorType.NO_ERROR
    assert device.refusal() is None


def test_an_address_takes_the_most_specific_route(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("eth0", "device")
    machine.routes(v4=DEFAULT_V4.format("wlan0") + LOCAL_V4.format("eth0"))
    assert machine.device("http://192.0.2.7/").network() is Network.ETHERNET
    assert machine.device("http://198.51.100.1/").network() is Network.WIFI


def test_an_address_without_a_route_has_no_network(machine: Machine) -> None:
    machine.routes(v4=LOCAL_V4.format("eth0"), v6=LINK_LOCAL_V6.format("eth0") + LOOPBACK_V6 + REJECT_V6)
    assert machine.device("http://198.51.100.1/").network() is Network.NONE
    assert machine.device("http://[2001:db8::1]/").network() is Network.NONE
    machine.routes(v6=DEFAULT_V6.format("eth0"))
    assert machine.device("http://[2001:db8::1]/").network() is Network.ETHERNET


def test_a_name_in_the_local_network_needs_no_gateway_but_real_hardware(machine: Machine) -> None:
    machine.interface("docker0")
    machine.routes(v4=LOCAL_V4.format("docker0"))
    assert machine.device("http://nas/").network() is Network.NONE
    machine.interface("eth0", "device")
    machine.routes(v4=LOCAL_V4.format("docker0") + LOCAL_V4.format("eth0"))
    assert machine.device("http://nas/").network() is Network.ETHERNET


def test_a_kernel_without_ipv6(machine: Machine) -> None:
    machine.routes(v4=DEFAULT_V4.format("eth0"))
    (machine.proc_net / "ipv6_route").unlink()
    assert machine.device().network() is Network.ETHERNET


def test_this_machine_can_be_asked() -> None:
    device = Device(DeviceSettings(), "http://127.0.0.1:1/")
    assert device.network() is Network.ETHERNET


# --- what it is told ---


def test_what_is_simulated_goes_before_what_is_there(machine: Machine) -> None:
    """The battery as not charging, the network also before a fixed one; each alone, as long as it lasts."""
    machine.supply("BAT0", type="Battery", capacity=80, status="Charging")
    simulator = Simulator()
    device = machine.device(network=Network.WIFI, simulator=simulator)
    assert device.interruption(wifi_only=True) is ErrorType.NO_ERROR
    simulator.begin(Simulation(battery_percent=0), None)
    assert (device.battery(), device.network()) == (Battery(0, is_charging=False), Network.WIFI)
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


# --- order ---


def test_the_order_of_refusals(machine: Machine) -> None:
    machine.supply("BAT0", type="Battery", capacity=5, status="Discharging")
    unready = CloudNotReady("the credentials were refused")
    offline = machine.device(network=Network.NONE)
    online = machine.device(network=Network.ETHERNET)
    assert isinstance(offline.refusal(unready), NoNetwork)
    assert online.refusal(unready) is unready
    assert isinstance(online.refusal(), BatteryLow)
