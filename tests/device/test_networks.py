"""Which network the way to the cloud is, by the kernel's tables and what NetworkManager told."""

from __future__ import annotations

import pytest

from cloudfs.config import Network
from cloudfs.device import NetworkFacts
from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import NoNetwork
from tests.device.machine import (
    Machine,
    default_v4,
    default_v6,
    half_v4,
    host_v4,
    link_local_v6,
    local_v4,
)


def test_fixed_values_say_what_the_device_is_on(machine: Machine) -> None:
    machine.routes(default_v4("eth0"))
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
        machine.routes(default_v4(name))
        kinds[name] = machine.device().network().value
    assert kinds == {
        "wlan0": "wifi",
        "wlan1": "wifi",
        "wwan0": "mobile",
        "usb0": "mobile",
        "eth0": "ethernet",
        "ppp0": "mobile",
    }


def test_an_address_takes_the_most_specific_route(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("eth0", "device")
    machine.routes(default_v4("wlan0"), local_v4("eth0"))
    assert machine.device("http://192.0.2.7/").network() is Network.ETHERNET
    assert machine.device("http://198.51.100.1/").network() is Network.WIFI


def test_an_address_without_a_route_has_no_network(machine: Machine) -> None:
    machine.routes(local_v4("eth0"), v6=link_local_v6("eth0"))
    assert machine.device("http://198.51.100.1/").network() is Network.NONE
    assert machine.device("http://[2001:db8::1]/").network() is Network.NONE
    machine.routes(v6=default_v6("eth0"))
    assert machine.device("http://[2001:db8::1]/").network() is Network.ETHERNET


def test_a_name_in_the_local_network_needs_no_gateway_but_real_hardware(machine: Machine) -> None:
    machine.interface("docker0")
    machine.routes(local_v4("docker0"))
    assert machine.device("http://nas/").network() is Network.NONE
    machine.interface("eth0", "device")
    machine.routes(local_v4("docker0"), local_v4("eth0"))
    assert machine.device("http://nas/").network() is Network.ETHERNET


def test_a_kernel_without_ipv6(machine: Machine) -> None:
    machine.routes(default_v4("eth0"))
    (machine.proc_net / "ipv6_route").unlink()
    assert machine.device().network() is Network.ETHERNET


def test_a_container_has_no_hardware_and_a_network_all_the_same(machine: Machine) -> None:
    machine.interface("eth0")
    machine.routes(default_v4("eth0"))
    assert machine.device().network() is Network.ETHERNET


def test_a_bridge_is_what_it_stands_on(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("bond0", "lower_wlan0")
    machine.interface("vnet3")
    machine.interface("br0", "lower_bond0", "lower_vnet3")
    machine.routes(default_v4("br0"))
    assert machine.device().network() is Network.WIFI
    machine.facts = NetworkFacts({"wlan0": Network.MOBILE}, primary=None)  # metered
    assert machine.device().network() is Network.MOBILE
    machine.facts = NetworkFacts({"br0": Network.MOBILE, "wlan0": Network.WIFI})
    assert machine.device().network() is Network.MOBILE


def test_a_tunnel_is_what_leads_to_its_other_end(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("eth0", "device")
    machine.interface("tun0")
    machine.routes(default_v4("tun0"), local_v4("eth0"), host_v4("wlan0"))
    assert machine.device().network() is Network.WIFI
    machine.facts = NetworkFacts({"wlan0": Network.WIFI, "eth0": Network.ETHERNET}, primary=Network.MOBILE)
    assert machine.device().network() is Network.MOBILE  # NetworkManager knows which one it is

    machine.facts = NetworkFacts({"wlan0": Network.MOBILE})
    machine.routes(half_v4("tun0"), default_v4("wlan0"), local_v4("eth0"))
    assert machine.device("http://10.0.0.1/").network() is Network.MOBILE


def test_a_metered_connection_counts_as_mobile(machine: Machine) -> None:
    machine.interface("wlan0", "wireless", "device")
    machine.interface("eth0", "device")
    machine.facts = NetworkFacts({"wlan0": Network.MOBILE, "eth0": Network.ETHERNET}, primary=Network.MOBILE)
    machine.routes(default_v4("wlan0"), local_v4("eth0"))
    assert machine.device().interruption(wifi_only=True) is ErrorType.WIFI_UNAVAILABLE
    assert machine.device().interruption(wifi_only=False) is ErrorType.NO_ERROR
    # The cloud is in the local network, whatever the way to the Internet costs.
    assert machine.device("http://192.0.2.7/").interruption(wifi_only=True) is ErrorType.NO_ERROR


def test_a_point_to_point_link_is_a_modem_unless_network_manager_knows_better(machine: Machine) -> None:
    machine.interface("ppp0")
    machine.routes(default_v4("ppp0"))
    assert machine.device().network() is Network.MOBILE
    machine.facts = NetworkFacts(primary=Network.ETHERNET)  # DSL
    assert machine.device().network() is Network.ETHERNET


def test_a_device_that_network_manager_does_not_have_is_looked_up_in_sys(machine: Machine) -> None:
    machine.interface("eth0", "device")
    machine.facts = NetworkFacts({"wlan0": Network.MOBILE}, primary=Network.MOBILE)
    machine.routes(default_v4("eth0"))
    assert machine.device().network() is Network.ETHERNET
