"""What goes on by itself once the cloud answers again, however long the interval is."""

from __future__ import annotations

import os

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import content
from tests.mount.trees import tree
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

NEW = content(10_000)


def mounted(proxy: FaultProxy, mounts: Mounts, *, auto: bool = True) -> Mount:
    timing = {"auto": auto, "debounce": "100ms", "interval": "1h"}
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync=timing)
    assert os.listdir(mount.path) == []
    if auto:
        wait_until(lambda: mount.xattr("last_sync_time") != "0", "the first sync is over")
    return mount


def test_changes_that_met_no_network_go_as_soon_as_there_is_one(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounted(proxy, mounts)
    proxy.refuse()
    (mount.path / "new.bin").write_bytes(NEW)
    wait_until(lambda: mount.xattr("sync_error") == "NETWORK_UNAVAILABLE", "the sync met no network")
    assert mount.status()["cloud"]["state"] == "offline"
    proxy.accept()
    wait_until(lambda: mount.pending == 0, "it went by itself")
    assert tree(apache.root) == {"new.bin": NEW}
    wait_until(lambda: mount.xattr("sync_state") == "COMPLETED", "and the sync says so")


def test_a_sync_that_failed_is_made_up_for_without_changes_too(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounted(proxy, mounts)
    proxy.refuse()
    assert mount.sync() == "DOWNLOAD_FAILED"
    (apache.root / "theirs.bin").write_bytes(NEW)
    proxy.accept()
    wait_until(lambda: os.listdir(mount.path) == ["theirs.bin"], "what came there meanwhile shows here")


def test_nothing_goes_by_itself_without_auto(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounted(proxy, mounts, auto=False)
    proxy.refuse()
    (mount.path / "new.bin").write_bytes(NEW)
    assert mount.sync() == "DOWNLOAD_FAILED"
    proxy.accept()
    wait_until(lambda: mount.status()["cloud"]["state"] == "ready", "the cloud is asked all the same")
    assert mount.pending == 1
    mount.settle()
    assert tree(apache.root) == {"new.bin": NEW}
