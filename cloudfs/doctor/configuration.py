"""The configuration, the secret that it names, and the device as it has it seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cloudfs.config import Login, MountConfig, Network
from cloudfs.config.faults import ConfigError
from cloudfs.device import LOW_PERCENT, Battery, Device
from cloudfs.device.routes import is_loopback
from cloudfs.doctor.finding import Finding

CONFIGURATION = "configuration"
CREDENTIALS = "credentials"
DEVICE = "device"


def faults(check: str, error: ConfigError) -> Iterator[Finding]:
    """A finding for each fault, with its place."""
    for fault in error.faults:
        yield Finding(check, error.told(fault), fault.mend)


def read(file: Path, config: MountConfig) -> Finding:
    """A configuration without fault."""
    return Finding(CONFIGURATION, f'{file}, mount "{config.name}" of {config.cloud.url}')


def credentials(config: MountConfig, login: Login | None) -> Finding:
    """The secret was found; whether it is right, the server knows."""
    if login is None:
        return Finding(CREDENTIALS, "none are configured: the cloud has to be open to everybody")
    whose = f"a password for {login.username}" if login.username else "a bearer token"
    way = ", which goes unencrypted, as cloud.url is http" if _is_readable_on_its_way(config) else ""
    return Finding(CREDENTIALS, f"found {whose}{way}")


def device(config: MountConfig) -> Finding:
    """Battery and network as they are seen: they may keep syncs from starting (INTERFACE section 8)."""
    seen = Device(config.device, config.cloud.url)
    network, battery = seen.network(), seen.battery()
    detail = f"network {network}, {_described(battery)}"
    if network is Network.NONE:
        mend = "connect this machine; if it is connected, set device.network to what it is on"
        return Finding(DEVICE, f"{detail}: no sync can start", mend)
    if battery.is_below(LOW_PERCENT):
        return Finding(DEVICE, f"{detail}: no sync can start below {LOW_PERCENT} %", "plug it in")
    return Finding(DEVICE, detail)


def _described(battery: Battery) -> str:
    if battery.percent is None:
        return "no battery"
    return f"battery {battery.percent:.0f} %{', running down' if battery.is_running_down else ''}"


def _is_readable_on_its_way(config: MountConfig) -> bool:
    parts = urlsplit(config.cloud.url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
