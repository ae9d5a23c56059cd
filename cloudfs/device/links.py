"""What a network interface is: mobile, Wi-Fi or a cable, whatever it is carried by.

**Virtual ones** (VPN, bridge, VLAN) take the kind of what carries them. The kernel says what a bridge or a
VLAN stands on. Of a tunnel, NetworkManager knows the connection that leads to its other end; without it, that
is the first of the outward routes that goes over real hardware.

**Metered** counts as mobile, be it Wi-Fi or a cable; only NetworkManager knows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloudfs.config import Network
from cloudfs.device.routes import Route, outward


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What NetworkManager knows, none of it `none` or `auto`; a metered connection is `mobile`.

    links: the kind of each interface of which it says one; of a virtual one only that it is metered.
    primary: the kind of the connection that leads to the Internet, below a VPN; None: unknown.
    """

    links: Mapping[str, Network] = field(default_factory=dict)
    primary: Network | None = None


NOTHING_KNOWN = NetworkFacts()


class Links:
    """This machine's interfaces. sys_net: /sys/class/net. facts: the last ones that NetworkManager told."""

    def __init__(self, sys_net: Path, facts: Callable[[], NetworkFacts]) -> None:
        self._sys_net = sys_net
        self._facts = facts

    def is_hardware(self, interface: str) -> bool:
        """Whether a device stands behind it."""
        return (self._sys_net / interface / "device").exists()

    def kind(self, interface: str, routes: Sequence[Route]) -> Network:
        """mobile, wifi or ethernet. routes: all that there are."""
        below = [interface, *self._lower(interface)]
        known = next(filter(None, map(self._own_kind, below)), None) or self._facts().primary
        if known is None and interface.startswith("ppp"):
            return Network.MOBILE  # by a modem; with NetworkManager it may be DSL or a VPN
        return known or self._kind_below_tunnel(routes)

    def _own_kind(self, interface: str) -> Network | None:
        """None: it is virtual, and what carries it decides."""
        return self._facts().links.get(interface) or self._kind_in_sys(interface)

    def _kind_in_sys(self, interface: str) -> Network | None:
        """Documentation/ABI/testing/sysfs-class-net: `wireless` and `phy80211` mark Wi-Fi."""
        link = self._sys_net / interface
        if (link / "wireless").exists() or (link / "phy80211").exists():
            return Network.WIFI
        if self._is_wwan(link) or interface.startswith(("wwan", "rmnet")):
            return Network.MOBILE
        return Network.ETHERNET if self.is_hardware(interface) else None

    def _is_wwan(self, link: Path) -> bool:
        try:
            return "DEVTYPE=wwan" in (link / "uevent").read_text().split()
        except OSError:
            return False

    def _lower(self, interface: str) -> Iterator[str]:
        """What it stands on, by the kernel's links `lower_NAME`, the nearest first.

        The kernel nests no deeper than eight (MAX_NEST_DEV) and makes no circles.
        """
        for link in sorted((self._sys_net / interface).glob("lower_*")):
            name = link.name.removeprefix("lower_")
            yield name
            yield from self._lower(name)

    def _kind_below_tunnel(self, routes: Sequence[Route]) -> Network:
        """Of what a tunnel's packets take; a container's end of a cable where there is no hardware at all."""
        kinds = (self._own_kind(route.interface) for route in outward(routes))
        return next(filter(None, kinds), Network.ETHERNET)
