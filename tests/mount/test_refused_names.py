"""Names that the cloud can't hold, or takes for others: they stay here, and hold up nothing."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from tests.mount.conftest import Mounts, mount_of_eight
from tests.mount.harness import Mount
from tests.mount.programs import cloudfs, content
from tests.mount.trees import assert_same, assert_well, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

MIB = 1024 * 1024
OLD, NEW = content(300_000, seed=7), content(400_000, seed=8)


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    return mount_of_eight(apache.root, proxy.url, mounts, OLD)


@pytest.mark.parametrize("status", [400, 422])
def test_a_name_that_the_cloud_refuses_stays_local_with_the_reason(
    status: int, mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    proxy.faults.add(Answer(status), method="PUT|MKCOL|MOVE", target="refused")
    (mount.path / "refused: file").write_bytes(NEW)
    (mount.path / "refused| folder").mkdir()
    (mount.path / "refused| folder" / "inner").write_bytes(NEW)
    expected = tree(mount.path)
    (mount.path / "good.bin").write_bytes(NEW)
    assert mount.sync() == "UPLOAD_FAILED"
    assert_same(tree(mount.path), expected | {"good.bin": NEW})
    assert (apache.root / "good.bin").read_bytes() == NEW
    assert mount.pending == 3
    for name in ("refused: file", "refused| folder"):
        assert mount.xattr("error", name) == "UNKNOWN_ERROR"
        told = cloudfs("why", "--json", mount.path / name, "--socket", mount.socket)
        assert told.returncode == 0, told.stderr
        assert json.loads(told.stdout)["error"], "with the reason"
    os.rename(mount.path / "refused: file", mount.path / "taken file")
    os.rename(mount.path / "refused| folder", mount.path / "taken folder")
    assert_well(mount, apache.root, tree(mount.path))


def test_a_path_too_long_for_a_url_holds_up_no_other(mount: Mount, apache: Apache) -> None:
    """Debian's Apache takes 8 KiB of a request line, and none of it beyond 4 KiB of path on its disk."""
    here = os.open(mount.path, os.O_RDONLY)
    try:
        for _ in range(20):
            os.mkdir("n" * 250, dir_fd=here)
            below = os.open("n" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        fd = os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here)
        os.write(fd, NEW)
        os.close(fd)
    finally:
        os.close(here)
    (mount.path / "good.bin").write_bytes(NEW)
    assert mount.sync() == "UPLOAD_FAILED"
    assert (apache.root / "good.bin").read_bytes() == NEW
    assert 0 < mount.pending < 21
    shutil.rmtree(mount.path / ("n" * 250))
    assert mount.sync() == "UPLOAD_FAILED", "so many deletes meet the brake"
    mount.call("Mount.confirm", scope="files")
    assert_well(mount, apache.root, tree(mount.path))


def test_names_that_differ_by_case_live_where_the_server_lets_them(mount: Mount, apache: Apache) -> None:
    for name, data in (("readme", OLD), ("README", NEW), ("Readme", b"third")):
        (mount.path / name).write_bytes(data)
    os.rename(mount.path / "0.bin", mount.path / "0.BIN")
    assert_well(mount, apache.root, tree(mount.path))
    assert {"readme", "README", "Readme", "0.BIN"} < set(os.listdir(apache.root))


def test_names_that_the_server_takes_for_one_do_not_overwrite_each_other(
    mount: Mount, apache: Apache, proxy: FaultProxy
) -> None:
    """A server that folds case says 412, or 405, to a name that it takes for another, and lists the other."""
    (apache.root / "readme").write_bytes(OLD)
    (apache.root / "folder").mkdir()
    mount.settle()
    proxy.faults.add(Answer(412), method="PUT|MOVE", target="/README")
    proxy.faults.add(Answer(405), method="MKCOL", target="/FOLDER")
    (mount.path / "README").write_bytes(NEW)
    (mount.path / "FOLDER").mkdir()
    (mount.path / "good.bin").write_bytes(NEW)
    expected = tree(mount.path)
    for _ in range(2):
        assert mount.sync() == "UPLOAD_FAILED"
        assert_same(tree(mount.path), expected)
        assert mount.xattr("error", "README") == "UNKNOWN_ERROR"
    assert (apache.root / "readme").read_bytes() == OLD
    assert mount.pending == 2
    os.rename(mount.path / "README", mount.path / "second readme")
    os.rmdir(mount.path / "FOLDER")
    assert_well(mount, apache.root, tree(mount.path))
