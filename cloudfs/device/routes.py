"""The kernel's main routing tables, and which route leads to a cloud (proc_net(5), proc(5)).

No name is resolved here and no packet is sent. A cloud with an address takes the most specific route that
covers it; one with a name takes a default route, or else any route over real hardware: a server in the local
network needs no gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

Address = IPv4Address | IPv6Address

# include/uapi/linux/route.h
_RTF_UP = 0x0001
_RTF_GATEWAY = 0x0002
_RTF_REJECT = 0x0200


@dataclass(frozen=True, slots=True)
class Route:
    """One line of a table that leads somewhere. has_gateway: whether it leads out of the local network."""

    target: IPv4Network | IPv6Network
    interface: str
    has_gateway: bool

    @property
    def is_default(self) -> bool:
        return self.target.prefixlen == 0


def read_routes(proc_net: Path) -> list[Route]:
    """Those of IPv4, then those of IPv6, the preferred one of several to one target first.

    proc_net: /proc/net.
    """
    return [*_routes_v4(proc_net / "route"), *_routes_v6(proc_net / "ipv6_route")]


def address_of(host: str) -> Address | None:
    """The address that a URL's host is; None: a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """RFC 6761 section 6.3: `localhost` and all below it are this machine, as are the loopback addresses."""
    address = address_of(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def route_to(address: Address, routes: Sequence[Route]) -> Route | None:
    """The most specific one."""
    covering = [route for route in routes if address in route.target]
    return max(covering, key=lambda route: route.target.prefixlen, default=None)


def outward(routes: Sequence[Route]) -> list[Route]:
    """The routes with those first that lead far: default ones, then those with a gateway."""
    return sorted(routes, key=lambda route: (not route.is_default, not route.has_gateway))


def _routes_v4(table: Path) -> Iterator[Route]:
    """/proc/net/route: hexadecimal columns in the machine's byte order."""
    for line in _lines(table)[1:]:
        columns = line.split()
        flags = int(columns[3], 16)
        if flags & _RTF_UP and not flags & _RTF_REJECT:
            target, mask = (IPv4Address(_swapped(columns[index])) for index in (1, 7))
            yield Route(IPv4Network(f"{target}/{mask}"), columns[0], bool(flags & _RTF_GATEWAY))


def _routes_v6(table: Path) -> Iterator[Route]:
    """/proc/net/ipv6_route: hexadecimal columns, network byte order; loopback and multicast are in it too."""
    for line in _lines(table):
        columns = line.split()
        flags = int(columns[8], 16)
        interface = columns[9]
        if flags & _RTF_UP and not flags & _RTF_REJECT and interface != "lo":
            network = ip_network((bytes.fromhex(columns[0]), int(columns[1], 16)))
            if not network.is_multicast and not network.is_link_local:
                yield Route(network, interface, bool(flags & _RTF_GATEWAY))


def _swapped(hexadecimal: str) -> int:
    return int.from_bytes(bytes.fromhex(hexadecimal), "little")


def _lines(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()
    except OSError:
        return []  # a kernel without that protocol
