"""A /sys and /proc of our own, with files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

from cloudfs.config import DeviceSettings, Network
from cloudfs.device import NOTHING_KNOWN, Device, NetworkFacts
from cloudfs.simulation import Simulator

_HEADER = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
_ZERO = "0" * 32
_LOOPBACK_V6 = f"{_ZERO[:-1]}1 80 {_ZERO} 00 {_ZERO} 00000000 00000002 00000000 80200001 lo\n"
_REJECT_V6 = f"{_ZERO} 00 {_ZERO} 00 {_ZERO} ffffffff 00000001 00000000 00200200 lo\n"


def default_v4(interface: str) -> str:
    return f"{interface}\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"


def local_v4(interface: str) -> str:
    """192.0.2.0/24"""
    return f"{interface}\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"


def half_v4(interface: str) -> str:
    """0.0.0.0/1, by which OpenVPN takes precedence of a default route."""
    return f"{interface}\t00000000\t010200C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"


def host_v4(interface: str) -> str:
    """203.0.113.9, by a gateway: the other end of a tunnel."""
    return f"{interface}\t097100CB\t010200C0\t0007\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n"


def default_v6(interface: str) -> str:
    return f"{_ZERO} 00 {_ZERO} 00 fd00{_ZERO[4:]} 00000400 00000001 00000000 00000003 {interface}\n"


def link_local_v6(interface: str) -> str:
    return f"fe80{_ZERO[4:]} 40 {_ZERO} 00 {_ZERO} 00000100 00000001 00000000 00000001 {interface}\n"


class Machine:
    """`facts` are what NetworkManager would have told."""

    def __init__(self, root: Path) -> None:
        self.supplies = root / "power_supply"
        self.proc_net = root / "proc"
        self.sys_net = root / "net"
        self.facts = NOTHING_KNOWN
        for folder in (self.supplies, self.proc_net, self.sys_net):
            folder.mkdir()
        self.routes()

    def supply(self, name: str, **values: str | int) -> Path:
        folder = self.supplies / name
        folder.mkdir(exist_ok=True)
        for key, value in values.items():
            (folder / key).write_text(f"{value}\n")
        return folder

    def routes(self, *v4: str, v6: str = "") -> None:
        """In place of those before, beside what every IPv6 table has."""
        (self.proc_net / "route").write_text(_HEADER + "".join(v4))
        (self.proc_net / "ipv6_route").write_text(v6 + _LOOPBACK_V6 + _REJECT_V6)

    def interface(self, name: str, *marks: str, uevent: str = "") -> None:
        """marks: "device" for hardware, "wireless", "lower_eth0" for what stands on another."""
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
        return Device(
            DeviceSettings(power_supply=self.supplies, network=network),
            url,
            simulator=simulator,
            facts=self._facts,
            proc_net=self.proc_net,
            sys_net=self.sys_net,
        )

    def _facts(self) -> NetworkFacts:
        return self.facts
