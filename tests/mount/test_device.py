"""Battery and network of a mount's device: refused starts, ends in mid-sync, and what then goes by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloudfs.model.enums import ErrorType, SyncState
from tests.mount.conftest import Mounts
from tests.mount.harness import Connection, Mount, RpcError
from tests.mount.programs import content
from tests.mount.trees import tree
from tests.servers.apache import Apache
from tests.servers.faults import Hang
from tests.servers.proxy import FaultProxy

NEW = content(20_000)
AUTO = {"auto": True, "debounce": "50ms", "interval": "1h"}


class Supplies:
    """A /sys/class/power_supply with a laptop's battery and adapter."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._write("BAT0", type="Battery", status="Discharging")
        self._write("AC", type="Mains", online="0")

    def battery(self, percent: int, status: str = "Discharging", *, is_plugged_in: bool = False) -> None:
        self._write("AC", online=str(int(is_plugged_in)))
        self._write("BAT0", status=status, capacity=str(percent))

    def _write(self, supply: str, **values: str) -> None:
        (self.root / supply).mkdir(parents=True, exist_ok=True)
        for name, value in values.items():
            new = self.root / supply / f"{name}.new"
            new.write_text(f"{value}\n")
            new.rename(self.root / supply / name)  # as sysfs: never half written


@pytest.fixture
def supplies(tmp_path: Path) -> Supplies:
    return Supplies(tmp_path / "power_supply")


class Syncs:
    """What FileSync says, from now on."""

    def __init__(self, mount: Mount) -> None:
        self._connection: Connection = mount.connect()
        self._connection.call("FileSync.on", event="progress")
        self.first = self.next()

    def start(self) -> None:
        self._connection.call("FileSync.start")

    def next(self) -> tuple[str, str]:
        progress: dict[str, Any] = self._connection.next_event()["params"]["progress"]
        return SyncState(progress["state"]).name, ErrorType(progress["error"]).name

    def end(self) -> tuple[str, str]:
        """Of the sync that comes, or is under way."""
        while not SyncState[(said := self.next())[0]].is_end:
            pass
        return said


def refused(mount: Mount, method: str) -> int:
    with pytest.raises(RpcError) as error:
        mount.call(method)
    return error.value.code


def waits_for(mount: Mount, name: str) -> str:
    waiting: str = mount.call("Mount.why", path=str(mount.path / name))["waiting_for"]
    return waiting


@pytest.mark.shows("*Sync.start 22400003", "ErrorType.BATTERY_LEVEL_WARNING")
def test_a_battery(apache: Apache, proxy: FaultProxy, mounts: Mounts, supplies: Supplies) -> None:
    """It runs low, charges, runs down while files are sent, and is plugged in again."""
    supplies.battery(14)
    device = {"power_supply": str(supplies.root), "network": "ethernet"}
    mount = mounts(proxy.url, sync=AUTO, device=device, cloud={"max_connections": 3})
    (mount.path / "first.bin").write_bytes(NEW)
    assert refused(mount, "FileSync.start") == refused(mount, "GallerySync.start") == 22400003
    low = "a sync, which can't begin: the battery is below 15 % and not charging"
    assert waits_for(mount, "first.bin") == low
    syncs = Syncs(mount)
    assert syncs.first == ("COMPLETED", "NO_ERROR")  # none was begun, and nothing was said

    supplies.battery(14, "Charging", is_plugged_in=True)
    assert syncs.next() == ("DOWNLOADING", "NO_ERROR")
    assert syncs.end() == ("COMPLETED", "NO_ERROR")
    assert tree(apache.root) == {"first.bin": NEW}

    proxy.conditions.upload_bandwidth = 100_000
    names = [f"{number}.bin" for number in range(40)]
    for name in names:
        (mount.path / name).write_bytes(NEW)
    assert [syncs.next()[0], syncs.next()[0]] == ["DOWNLOADING", "UPLOADING"]
    supplies.battery(9)
    assert syncs.end() == ("UPLOAD_FAILED", "BATTERY_LEVEL_WARNING")
    sent = tree(apache.root)
    assert 1 < len(sent) < 1 + len(names)
    assert set(sent.values()) == {NEW}  # none was cut
    assert mount.pending == 1 + len(names) - len(sent)
    assert refused(mount, "FileSync.start") == 22400003

    proxy.conditions.upload_bandwidth = None
    supplies.battery(9, "Not charging", is_plugged_in=True)  # at a charge threshold
    assert syncs.end() == ("COMPLETED", "NO_ERROR")
    assert mount.pending == 0
    assert tree(apache.root) == dict.fromkeys(["first.bin", *names], NEW)


@pytest.mark.shows("ErrorType.BATTERY_LEVEL_LOW")
def test_a_battery_in_a_sync_that_sends_nothing(
    apache: Apache, proxy: FaultProxy, mounts: Mounts, supplies: Supplies
) -> None:
    supplies.battery(15)
    device = {"power_supply": str(supplies.root), "network": "mobile"}
    mount = mounts(proxy.url, sync={"auto": False}, device=device)
    mount.settle()
    syncs = Syncs(mount)
    proxy.faults.add(Hang(), method="PROPFIND")
    syncs.start()
    assert syncs.next() == ("DOWNLOADING", "NO_ERROR")
    supplies.battery(14)
    assert syncs.next() == ("UPLOAD_FAILED", "BATTERY_LEVEL_LOW")  # at once: the answer never comes
    proxy.faults.clear()
    supplies.battery(14, "Charging")
    assert mount.sync() == "COMPLETED"


@pytest.mark.shows("FileSync.start 22400002", "FileSync.start 22400003", "ErrorType.WIFI_UNAVAILABLE")
def test_no_wifi(apache: Apache, proxy: FaultProxy, mounts: Mounts, supplies: Supplies) -> None:
    supplies.battery(80)
    device = {"power_supply": str(supplies.root), "network": "mobile"}
    mount = mounts(proxy.url, sync={**AUTO, "wifi_only": True}, device=device)
    (mount.path / "new.bin").write_bytes(NEW)
    syncs = Syncs(mount)
    assert syncs.first == ("COMPLETED", "NO_ERROR")  # none was begun
    assert waits_for(mount, "new.bin") == "Wi-Fi or a cable that is not metered, as sync.wifi_only is true"
    mount.call("Mount.simulate", network="wifi")
    assert syncs.next() == ("DOWNLOADING", "NO_ERROR")  # by itself
    assert syncs.end() == ("COMPLETED", "NO_ERROR")
    assert tree(apache.root) == {"new.bin": NEW}

    proxy.faults.add(Hang(), method="PROPFIND")
    syncs.start()
    assert syncs.next() == ("DOWNLOADING", "NO_ERROR")
    supplies.battery(9)
    mount.call("Mount.simulate")
    assert syncs.next() == ("DOWNLOAD_FAILED", "WIFI_UNAVAILABLE")  # the first of several causes
    assert refused(mount, "FileSync.start") == 22400003
    mount.call("Mount.simulate", network="none", battery=9)
    assert refused(mount, "FileSync.start") == 22400002
    mount.call("Mount.simulate")
    supplies.battery(80)
    syncs.start()  # which is accepted
    assert syncs.end() == ("DOWNLOAD_FAILED", "WIFI_UNAVAILABLE")
