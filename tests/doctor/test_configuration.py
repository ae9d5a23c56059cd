"""The configuration, the secret, and the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cloudfs.config import Login, MountConfig, Network
from cloudfs.doctor import configuration


def on(config: MountConfig, network: Network) -> MountConfig:
    return replace(config, device=replace(config.device, network=network))


def test_the_device_is_told_of(config: MountConfig) -> None:
    assert configuration.device(config).detail == "network ethernet, no battery"
    found = configuration.device(on(config, Network.NONE))
    assert "no sync can start" in found.detail
    assert "device.network" in str(found.mend)


def test_a_battery_that_is_low(config: MountConfig, tmp_path: Path) -> None:
    cell = tmp_path / "supplies" / "BAT0"
    cell.mkdir(parents=True)
    config = replace(config, device=replace(config.device, power_supply=cell.parent))
    for name, value in {"type": "Battery", "capacity": "14", "status": "Charging"}.items():
        (cell / name).write_text(value)
    assert configuration.device(config).detail == "network ethernet, battery 14 %"
    (cell / "status").write_text("Discharging")
    running_down = configuration.device(config)
    assert "battery 14 %, running down" in running_down.detail
    assert running_down.mend == "plug it in"
    (cell / "capacity").write_text("15")
    assert configuration.device(config).ok


def test_whose_secret_it_is(config: MountConfig) -> None:
    plain = replace(config, cloud=replace(config.cloud, url="http://dav.example/"))
    near = replace(config, cloud=replace(config.cloud, url="http://127.0.0.2:8080/"))
    assert "open to everybody" in configuration.credentials(config, None).detail
    assert configuration.credentials(config, Login("me", "s3cret")).detail == "found a password for me"
    assert configuration.credentials(near, Login("", "s3cret")).detail == "found a bearer token"
    told = configuration.credentials(plain, Login("me", "s3cret"))
    assert told.ok
    assert "unencrypted" in told.detail
    assert "s3cret" not in told.detail
