"""Battery and network as the device sees them, and what they forbid (INTERFACE section 8, "Conditions").

Everything is read from /sys and /proc at the moment of the question: both change under us, and a question
comes a few times a minute. Nothing here waits: no name is resolved and no packet is sent.

**Which network.** With `network = "auto"` the route to the cloud decides, by the kernel's main tables:
a cloud on loopback needs none and counts as Ethernet; an address takes the most specific route that covers
it; a name, which is not resolved here, takes a default route, or else any route over real hardware (a
server in the local network needs no gateway). The kind is that of the route's interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from cloudfs.config import DeviceSettings, Network
from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import BatteryLow, CloudfsError, NoNetwork
from cloudfs.simulation import Simulator

# INTERFACE section 8: percent of the capacity.
LOW_PERCENT = 15
WARNING_PERCENT = 10

# include/uapi/linux/route.h
_RTF_UP = 0x0001
_RTF_REJECT = 0x0200

_Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Battery:
    """All batteries that drive the device, as one. percent is None where there is none."""

    percent: float | None
    is_charging: bool

    def is_below(self, percent: int) -> bool:
        """Whether it holds less than that and is running down."""
        return self.percent is not None and self.percent < percent and not self.is_charging


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the kernel's main routing table that leads somewhere."""

    target: IPv4Network | IPv6Network
    interface: str

    @property
    def is_default(self) -> bool:
        return self.target.prefixlen == 0


class Device:
    """What the device allows right now.

    cloud_url: whose host decides which route counts. simulator: what is to be seen instead of what is there.
    proc_net, sys_net: /proc/net and /sys/class/net.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        cloud_url: str,
        *,
        simulator: Simulator | None = None,
        proc_net: Path = Path("/proc/net"),
        sys_net: Path = Path("/sys/class/net"),
    ) -> None:
        self._settings = settings
        self._host = urlsplit(cloud_url).hostname or ""
        self._simulator = simulator or Simulator()
        self._proc_net = proc_net
        self._sys_net = sys_net

    def battery(self) -> Battery:
        """The batteries of `power_supply`; those of mice and other gadgets (scope Device) don't count."""
        if (told := self._simulator.current.battery_percent) is not None:
            return Battery(told, is_charging=False)
        cells = [cell for cell in _cells(self._settings.power_supply) if cell.percent is not None]
        if not cells:
            return Battery(None, is_charging=False)
        weight = sum(cell.weight for cell in cells)
        percent = sum(cell.percent * cell.weight for cell in cells if cell.percent is not None) / weight
        return Battery(percent, any(cell.is_charging for cell in cells))

    def network(self) -> Network:
        """What the way to the cloud is: none, mobile, wifi or ethernet; never auto."""
        if (told := self._told_network()) is not Network.AUTO:
            return told
        address = _address(self._host)
        if _is_loopback(self._host, address):
            return Network.ETHERNET
        routes = [*_routes_v4(self._proc_net / "route"), *_routes_v6(self._proc_net / "ipv6_route")]
        route = self._route_to_name(routes) if address is None else _route_to(address, routes)
        return Network.NONE if route is None else self._kind(route.interface)

    @property
    def is_cut_off(self) -> bool:
        """Whether it is told to have no network: nothing may be asked of the cloud then, though it could be.

        Where the system has none, the kernel says so to each request.
        """
        return self._told_network() is Network.NONE

    def refusal(self, cloud: CloudfsError | None = None) -> CloudfsError | None:
        """Why a sync may not start now, or None.

        cloud: the cloud's own refusal (22400001), which ranks between the network's and the battery's
        (INTERFACE section 7). A missing Wi-Fi refuses no start: the sync ends with WIFI_UNAVAILABLE.
        """
        if self.network() is Network.NONE:
            return NoNetwork("the device has no network")
        if cloud is not None:
            return cloud
        if self.battery().is_below(LOW_PERCENT):
            return BatteryLow(f"the battery is below {LOW_PERCENT} % and not charging")
        return None

    def interruption(self, *, wifi_only: bool) -> ErrorType:
        """Why a running sync has to end, or NO_ERROR: the first cause in the order of INTERFACE section 8."""
        network = self.network()
        if network is Network.NONE:
            return ErrorType.NETWORK_UNAVAILABLE
        if wifi_only and network is Network.MOBILE:
            return ErrorType.WIFI_UNAVAILABLE
        battery = self.battery()
        if battery.is_below(WARNING_PERCENT):
            return ErrorType.BATTERY_LEVEL_WARNING
        if battery.is_below(LOW_PERCENT):
            return ErrorType.BATTERY_LEVEL_LOW
        return ErrorType.NO_ERROR

    def _told_network(self) -> Network:
        """What the device is told to be on; auto: it looks."""
        return self._simulator.current.network or self._settings.network

    def _route_to_name(self, routes: list[Route]) -> Route | None:
        defaults = [route for route in routes if route.is_default]
        real = [route for route in routes if (self._sys_net / route.interface / "device").exists()]
        return next(iter(defaults + real), None)

    def _kind(self, interface: str) -> Network:
        """Documentation/ABI/testing/sysfs-class-net: `wireless` and `phy80211` mark Wi-Fi."""
        link = self._sys_net / interface
        if (link / "wireless").exists() or (link / "phy80211").exists():
            return Network.WIFI
        if "DEVTYPE=wwan" in _read(link / "uevent").split() or interface.startswith(("wwan", "ppp", "rmnet")):
            return Network.MOBILE
        return Network.ETHERNET


@dataclass(frozen=True, slots=True)
class _Cell:
    percent: float | None
    weight: float
    is_charging: bool


def _cells(directory: Path) -> Iterator[_Cell]:
    """Documentation/ABI/testing/sysfs-class-power: one directory a supply, one file a value."""
    try:
        supplies = sorted(directory.iterdir())
    except OSError:
        return  # no such class: a device without batteries
    for supply in supplies:
        if _read(supply / "type") != "Battery" or _read(supply / "scope") == "Device":
            continue
        if _read(supply / "present") == "0":
            continue
        full = _number(supply / "energy_full") or _number(supply / "charge_full")
        yield _Cell(_percent(supply), full or 1.0, _read(supply / "status") in ("Charging", "Full"))


def _percent(supply: Path) -> float | None:
    percent = _number(supply / "capacity")
    if percent is not None:
        return percent
    for unit in ("energy", "charge"):
        now, full = _number(supply / f"{unit}_now"), _number(supply / f"{unit}_full")
        if now is not None and full:
            return 100 * now / full
    return None


def _address(host: str) -> _Address | None:
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _is_loopback(host: str, address: _Address | None) -> bool:
    """RFC 6761 section 6.3: `localhost` and all below it are this machine."""
    if address is not None:
        return address.is_loopback
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def _route_to(address: _Address, routes: list[Route]) -> Route | None:
    covering = [route for route in routes if address in route.target]
    return max(covering, key=lambda route: route.target.prefixlen, default=None)


def _routes_v4(table: Path) -> Iterator[Route]:
    """/proc/net/route: hexadecimal columns in the machine's byte order (proc_net(5))."""
    for line in _read(table).splitlines()[1:]:
        columns = line.split()
        flags = int(columns[3], 16)
        if flags & _RTF_UP and not flags & _RTF_REJECT:
            target, mask = (IPv4Address(_swap(columns[index])) for index in (1, 7))
            yield Route(IPv4Network(f"{target}/{mask}"), columns[0])


def _routes_v6(table: Path) -> Iterator[Route]:
    """/proc/net/ipv6_route: hexadecimal columns, network byte order; loopback and multicast are in it too."""
    for line in _read(table).splitlines():
        columns = line.split()
        flags = int(columns[8], 16)
        interface = columns[9]
        if flags & _RTF_UP and not flags & _RTF_REJECT and interface != "lo":
            network = ip_network((bytes.fromhex(columns[0]), int(columns[1], 16)))
            if not network.is_multicast and not network.is_link_local:
                yield Route(network, interface)


def _swap(hexadecimal: str) -> int:
    return int.from_bytes(bytes.fromhex(hexadecimal), "little")


def _read(path: Path) -> str:
    """A file's text, stripped; "" where it can't be read: a value that a driver does not offer."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    try:
        return float(_read(path))
    except ValueError:
        return None
