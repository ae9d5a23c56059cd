"""Who may call, and in which order that is found out: 401, 201, 202, the file's own (INTERFACE 7 and 8)."""

from __future__ import annotations

import os

import pytest

from cloudfs.control.messages import PERMISSION_10, PERMISSION_11
from tests.mount.calls import FILE, HEAD, connected_as, failure, good_calls
from tests.mount.conftest import Mounts
from tests.mount.harness import Mount
from tests.mount.scopes import files, gallery
from tests.servers.apache import Apache

SYSTEM_APP, APP, STRANGER = 20001, 20002, 20003
INVALID = (401, "The input parameter is invalid.")
OPEN_TO_READERS = {f"CloudFileCache.{verb}" for verb in ("on", "off", "start", "stop")}
SINCE_10 = ("GallerySync.", "Download.")  # whose texts are shorter

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="takes root to call as others")


@pytest.fixture
def mount(apache: Apache, mounts: Mounts) -> Mount:
    (apache.root / "1.txt").write_bytes(b"one")
    (apache.root / "Photos").mkdir()
    (apache.root / "Photos" / "1.jpg").write_bytes(b"jpeg")
    (apache.root / "Private").mkdir()
    (apache.root / "Private" / "2.txt").write_bytes(b"two")
    permission = "ohos.permission.CLOUDFILE_SYNC"
    grants = [(SYSTEM_APP, True), (APP, False)]
    mount = mounts(apache.url, control={"mode": "0666"}, sync={"auto": False}, start=False)
    with mount.config.open("a") as config:
        for uid, is_system in grants:
            config.write(
                f'[[control.grant]]\nuid = {uid}\npermissions = ["{permission}"]\n'
                f"system_app = {str(is_system).lower()}\n"
            )
    mount.start()
    mount.settle()
    return mount


@pytest.mark.shows(
    "FileSync.* 20[12]",
    "GallerySync.* 20[12]",
    "Download.* 20[12]",
    "CloudFileCache.cleanCache 20[12]",
    "cloudSync.getFileSyncState 20[12]",
    "* 401",
)
def test_who_calls_is_asked_once_it_is_known_what_for(mount: Mount) -> None:
    with connected_as(mount, STRANGER) as stranger, connected_as(mount, APP) as app:
        for method, params in good_calls(mount).items():
            assert failure(stranger, method, list(params.values()) or [1]) == INVALID
            assert failure(stranger, method, {**params, "more": 1}) == INVALID
            if method in OPEN_TO_READERS:
                stranger.request(method, params)
                continue
            texts = PERMISSION_10 if method.startswith(SINCE_10) else PERMISSION_11
            assert failure(stranger, method, params) == (201, texts[201])
            assert failure(app, method, params) == (202, texts[202])


@pytest.mark.shows("*Sync.start 2240000[123]")
def test_what_refuses_a_start_is_told_in_its_order(mount: Mount) -> None:
    """The call's faults, then who calls, then the device and the cloud, one after the other."""
    with connected_as(mount, STRANGER) as stranger, connected_as(mount, APP) as app:
        for scope in (files(mount), gallery(mount)):
            scope.on()
            mount.call("Mount.simulate", serverError=401)
            assert scope.sync()[-1] == ("DOWNLOAD_FAILED", "NO_ERROR")
            mount.call("Mount.simulate", serverError=401, network="none", battery=9)
            method = f"{scope.name}.start"
            assert failure(stranger, method, [1]) == INVALID
            assert failure(stranger, method, {})[0] == 201
            assert failure(app, method, {})[0] == 202
            assert failure(scope.connection, method, {}) == (22400002, "Network unavailable.")
            mount.call("Mount.simulate", serverError=401, battery=9)
            assert failure(scope.connection, method, {}) == (22400001, "Cloud status not ready.")
            mount.call("Mount.simulate", battery=9)  # and the cloud takes us in again
            assert failure(scope.connection, method, {}) == (22400003, "Battery level warning.")
            mount.call("Mount.simulate")
            assert scope.sync()[-1] == ("COMPLETED", "NO_ERROR")


@pytest.mark.parametrize("uid", [0, SYSTEM_APP])
def test_who_was_granted_it_calls_everything(mount: Mount, uid: int) -> None:
    with connected_as(mount, uid) as caller:
        for method, params in good_calls(mount).items():
            caller.request(method, params)
        if uid:
            for method in ("Mount.umount", "Mount.confirm", "Mount.restore", "Mount.simulate"):
                assert failure(caller, method, {})[0] == 201


@pytest.mark.shows("CloudFileCache.start 201", "CloudFileCache.stop 201")
def test_who_can_read_a_file_may_have_it_fetched(mount: Mount) -> None:
    inside = HEAD + "Private/2.txt"
    with connected_as(mount, STRANGER) as stranger:
        for method in ("CloudFileCache.start", "CloudFileCache.stop"):
            stranger.call(method, uri=inside)
            (mount.path / "Private").chmod(0o700)  # it may be read, but not reached
            assert failure(stranger, method, {"uri": inside}) == (201, PERMISSION_11[201])
            assert failure(stranger, method, {"uri": HEAD + "Private/none"})[0] == 201
            (mount.path / "Private").chmod(0o755)
            (mount.path / "1.txt").chmod(0o640)
            assert failure(stranger, method, {"uri": FILE}) == (201, PERMISSION_11[201])
            assert (
                failure(stranger, method, {"uri": HEAD + ".."})[0] == 14000002
            )  # before any file is looked at
            (mount.path / "1.txt").chmod(0o644)


def test_others_see_what_they_could_read_and_no_more(mount: Mount) -> None:
    (mount.path / "1.txt").chmod(0o600)
    with connected_as(mount, STRANGER) as stranger, connected_as(mount, 0) as root:
        stranger.call("CloudFileCache.on", event="progress", scope="all")
        root.call("CloudFileCache.start", uri=FILE)
        root.call("CloudFileCache.start", uri=HEAD + "Private/2.txt")
        end = stranger.events_until(lambda event: event["params"]["progress"]["state"] == 1)
        assert {event["params"]["progress"]["uri"] for event in end} == {HEAD + "Private/2.txt"}
