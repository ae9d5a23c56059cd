"""The order of the checks: what others stand on comes first, and what can't be looked at is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import trio

from cloudfs.config import ConfigError, Fault, Login, MountConfig, load, read_credentials, require_supported
from cloudfs.device import Device
from cloudfs.doctor import machine, places
from cloudfs.doctor.finding import Finding
from cloudfs.doctor.server import examine_server


def examine(file: Path, options: Mapping[str, str], mountpoint: Path | None) -> Iterator[Finding]:
    """Every finding, as soon as it is there.

    file, options, mountpoint: as `config.load` takes them. Each question to the server ends within its
    `timeout`; a password command or a keyring has ten seconds.
    """
    yield from machine.examine()
    try:
        config = load(file, options, mountpoint)
        require_supported(file, config)
    except ConfigError as error:
        yield from (_fault("configuration", fault) for fault in error.faults)
        return
    yield Finding("configuration", f"{file}, mount {config.name}")
    yield from machine.examine_for(config)
    yield from places.examine(config)
    yield _device(config)
    try:
        login = read_credentials(config)
    except ConfigError as error:
        yield from (_fault("credentials", fault) for fault in error.faults)
        return
    yield Finding("credentials", _described(config, login))
    yield from trio.run(partial(examine_server, config, login))


def _fault(check: str, fault: Fault) -> Finding:
    place = f"line {fault.line}: " if fault.line else ""
    subject = f"{fault.path}: " if fault.key else ""
    return Finding(check, f"{place}{subject}{fault.what}", fault.mend)


def _described(config: MountConfig, login: Login | None) -> str:
    if login is None:
        return "none are configured: the cloud has to be open to everybody"
    return f"found, for {login.username}" if login.username else "found, a bearer token"


def _device(config: MountConfig) -> Finding:
    device = Device(config.device, config.cloud.url)
    network, battery = device.network().value, device.battery()
    power = "no battery" if battery.percent is None else f"battery {battery.percent:.0f} %"
    charging = ", charging" if battery.is_charging else ""
    refusal = device.refusal()
    detail = f"network {network}, {power}{charging}"
    if refusal is None:
        return Finding("device", detail)
    mend = "a sync can't start so; see to it, or set [device] in the configuration where this is not true"
    return Finding("device", f"{detail}: {refusal.reason}", mend)
