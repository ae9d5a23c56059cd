"""What battery and network forbid (INTERFACE section 8, "Conditions").

Everything is read from /sys and /proc at the moment of the question: both change under us, and a question
comes a few times a minute. What NetworkManager knows is taken as it was heard last. Nothing here waits.

**Which network.** With `network = "auto"` the route to the cloud decides: a cloud on loopback needs none and
counts as Ethernet, else the kind is that of the route's interface. Whether there is a route only the kernel
says: what NetworkManager takes down loses its routes, and what it does not manage has some all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from cloudfs.config import DeviceSettings, Network
from cloudfs.device.links import NOTHING_KNOWN, Links, NetworkFacts
from cloudfs.device.power import Battery, read_battery
from cloudfs.device.routes import Route, address_of, is_loopback, outward, read_routes, route_to
from cloudfs.model.enums import ErrorType
from cloudfs.model.errors import BatteryLow, CloudfsError, NoNetwork
from cloudfs.simulation import Simulator

# INTERFACE section 8: percent of the capacity.
LOW_PERCENT = 15
WARNING_PERCENT = 10


class Device:
    """What the device allows right now.

    cloud_url: whose host decides which route counts. simulator: what is to be seen instead of what is there.
    facts: the last ones that NetworkManager told. proc_net, sys_net: /proc/net and /sys/class/net.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        cloud_url: str,
        *,
        simulator: Simulator | None = None,
        facts: Callable[[], NetworkFacts] = lambda: NOTHING_KNOWN,
        proc_net: Path = Path("/proc/net"),
        sys_net: Path = Path("/sys/class/net"),
    ) -> None:
        self._settings = settings
        self._host = urlsplit(cloud_url).hostname or ""
        self._simulator = simulator or Simulator()
        self._proc_net = proc_net
        self._links = Links(sys_net, facts)

    def battery(self) -> Battery:
        """The batteries that the device runs on."""
        if (told := self._simulator.current.battery_percent) is not None:
            return Battery(told, is_running_down=True)
        return read_battery(self._settings.power_supply)

    def network(self) -> Network:
        """What the way to the cloud is: none, mobile (metered too), wifi or ethernet; never auto."""
        if (told := self._told_network()) is not Network.AUTO:
            return told
        if is_loopback(self._host):
            return Network.ETHERNET
        routes = read_routes(self._proc_net)
        route = self._route(routes)
        return Network.NONE if route is None else self._links.kind(route.interface, routes)

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

    def _route(self, routes: list[Route]) -> Route | None:
        """The one that leads to the cloud."""
        address = address_of(self._host)
        if address is not None:
            return route_to(address, routes)
        usable = (r for r in outward(routes) if r.is_default or self._links.is_hardware(r.interface))
        return next(usable, None)
