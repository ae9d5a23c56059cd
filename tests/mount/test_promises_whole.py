"""INTERFACE section 9, promises 4 to 7, of what is written: never torn, never waiting, never elsewhere."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import cloudfs, content, errno_of
from tests.mount.trees import assert_same, tree
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

OLD, NEW = content(3_000_000, seed=5), content(4_000_000, seed=6)
SLOW = 4_000_000  # bytes a second of each connection
SLACK_S = 3.0
Server = Apache | WsgiDav


@pytest.fixture(params=["apache", "wsgidav"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def slow(server: Server) -> Iterator[FaultProxy]:
    """The way to the server."""
    with FaultProxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def mount(server: Server, slow: FaultProxy, mounts: Mounts) -> Mount:
    """One file in sync, and what servers are asked once already asked."""
    (server.root / "old.bin").write_bytes(OLD)
    mount = mounts(slow.url, cloud={"timeout": "5s"}, sync={"auto": False})
    (mount.path / "first").write_bytes(b"1")
    mount.settle()
    return mount


# --- 4: under its name the cloud has the old content or the whole new one ---


def fetched(url: str) -> bytes | None:
    """What anybody gets who asks the server now; None where there is nothing."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            data: bytes = answer.read()
            return data
    except urllib.error.HTTPError as error:
        error.close()
        assert error.code in (404, 410), error
        return None


@contextmanager
def observed(*urls: str) -> Iterator[list[list[bytes | None]]]:
    """What each URL held while the block ran, asked again and again; nothing twice in a row."""
    seen: list[list[bytes | None]] = [[fetched(url)] for url in urls]
    ended = threading.Event()

    def observe() -> None:
        while not ended.is_set():
            for url, contents in zip(urls, seen, strict=True):
                if (now := fetched(url)) != contents[-1]:
                    contents.append(now)
            time.sleep(0.02)

    thread = threading.Thread(target=observe)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def under_way(mount: Mount, slow: FaultProxy) -> None:
    """Begin a sync whose uploads are slow, and return in the middle of them."""
    slow.conditions.upload_bandwidth = SLOW
    sent = slow.counters.bytes_up
    mount.call("FileSync.start")
    wait_until(lambda: slow.counters.bytes_up > sent + 1_000_000, "it is under way")


def test_promise_4_nobody_sees_a_part_of_a_file(mount: Mount, server: Server, slow: FaultProxy) -> None:
    (mount.path / "old.bin").write_bytes(NEW)
    (mount.path / "new.bin").write_bytes(NEW)
    with observed(f"{server.url}old.bin", f"{server.url}new.bin") as (old, new):
        under_way(mount, slow)
        slow.conditions.upload_bandwidth = 2 * SLOW
        mount.settle()
    assert old in ([OLD, NEW], [OLD])
    assert new in ([None, NEW], [None])
    assert_same(tree(mount.path), tree(server.root))
    assert fetched(f"{server.url}old.bin") == fetched(f"{server.url}new.bin") == NEW


def test_promise_4_temporaries_are_hidden_by_every_mount(
    mount: Mount, server: Server, slow: FaultProxy, mounts: Mounts
) -> None:
    second = mounts(server.url, sync={"auto": False})
    (mount.path / "new.bin").write_bytes(NEW)
    under_way(mount, slow)
    assert second.sync() == "COMPLETED"
    assert set(os.listdir(second.path)) <= {"first", "old.bin", "new.bin"}
    slow.conditions.upload_bandwidth = None
    mount.settle()
    second.settle()
    assert_same(tree(second.path), tree(server.root), "and none is left")
    assert set(os.listdir(second.path)) == {"first", "old.bin", "new.bin"}


def test_promise_4_a_kill_in_mid_upload_leaves_the_old_content(
    mount: Mount, server: Server, slow: FaultProxy
) -> None:
    (mount.path / "old.bin").write_bytes(NEW)
    (mount.path / "new.bin").write_bytes(NEW)
    under_way(mount, slow)
    mount.kill()
    slow.drop_connections()
    wait_until(lambda: slow.counters.open == 0, "the server has been left")
    assert fetched(f"{server.url}old.bin") == OLD
    assert fetched(f"{server.url}new.bin") is None
    slow.conditions.upload_bandwidth = None
    mount.start()
    assert (mount.path / "old.bin").read_bytes() == NEW
    mount.settle()
    wait_until(lambda: not leftovers(server.root), "what it left on the server is collected")
    assert_same(tree(mount.path), tree(server.root))


def leftovers(root: Path) -> list[str]:
    return [name for name in tree(root) if name.rpartition("/")[2].startswith(".")]


# --- 5: no access waits on the network ---


@pytest.fixture
def local(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    """A tree that is known, with a timeout far beyond what a test may take."""
    (apache.root / "docs").mkdir()
    (apache.root / "empty").mkdir()
    for name in ("a.bin", "b.bin", "c.bin", "docs/d.bin"):
        (apache.root / name).write_bytes(OLD)
    mount = mounts(proxy.url, cloud={"timeout": "30s"}, sync={"auto": False})
    mount.settle()
    return mount


def _change_everything(top: Path) -> None:
    (top / "new.bin").write_bytes(NEW)
    fd = os.open(top / "a.bin", os.O_RDWR)
    os.pwrite(fd, b"patched", 1_000_000)
    os.fsync(fd)
    os.close(fd)
    with (top / "b.bin").open("ab") as file:
        file.write(b"appended")
    os.truncate(top / "c.bin", 1000)
    (top / "folder").mkdir()
    os.rename(top / "new.bin", top / "folder" / "renamed.bin")
    os.rename(top / "docs", top / "folder" / "docs")
    os.unlink(top / "folder" / "docs" / "d.bin")
    os.rmdir(top / "empty")
    os.chmod(top / "c.bin", 0o600)
    os.utime(top / "c.bin", (1, 2))
    os.setxattr(top / "c.bin", "user.tag", b"red")
    os.rename(top / "c.bin", top / "b.bin")
    with pytest.raises(FileNotFoundError):
        os.unlink(top / "none")


@pytest.mark.parametrize("trouble", ["hang", "refuse"])
def test_promise_5_changes_never_wait_on_the_network(
    trouble: str, local: Mount, apache: Apache, proxy: FaultProxy, tmp_path: Path
) -> None:
    shutil.copytree(apache.root, tmp_path / "local")
    _change_everything(tmp_path / "local")
    getattr(proxy, trouble)()
    begin = time.monotonic()
    _change_everything(local.path)
    assert time.monotonic() - begin < SLACK_S
    assert local.pending > 0
    (proxy.resume if trouble == "hang" else proxy.accept)()
    local.settle()
    assert_same(tree(tmp_path / "local"), tree(local.path))
    assert_same(tree(tmp_path / "local"), tree(apache.root))


def test_promise_5_changes_never_wait_for_a_sync(local: Mount, apache: Apache, proxy: FaultProxy) -> None:
    """Also to what is just being uploaded, moved and listed."""
    (local.path / "a.bin").write_bytes(NEW)
    os.rename(local.path / "docs", local.path / "papers")
    proxy.conditions.rtt_s = 1.0
    local.call("FileSync.start")
    wait_until(lambda: local.xattr("sync_state") != "COMPLETED", "it runs")
    begin = time.monotonic()
    for number in range(20):
        (local.path / "a.bin").write_bytes(OLD[:number])
        os.rename(local.path / "papers", local.path / f"papers {number}")
        os.rename(local.path / f"papers {number}", local.path / "papers")
        (local.path / "papers" / f"{number}").mkdir()
    assert time.monotonic() - begin < SLACK_S
    proxy.conditions.rtt_s = 0.0
    local.settle()
    assert_same(tree(local.path), tree(apache.root))
    assert (apache.root / "a.bin").read_bytes() == OLD[:19]


def test_promise_5_what_nobody_can_know_now_is_an_error(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    """Neither can a folder never seen be changed by guess, nor be removed."""
    (apache.root / "docs").mkdir()
    (apache.root / "docs" / "d.bin").write_bytes(OLD)
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync={"auto": False})
    assert os.listdir(mount.path) == ["docs"]
    proxy.refuse()
    out_of_reach = {errno.ENETUNREACH, errno.ETIMEDOUT}
    accesses: list[Callable[[], object]] = [
        lambda: os.rmdir(mount.path / "docs"),
        lambda: os.unlink(mount.path / "docs" / "d.bin"),
        lambda: (mount.path / "docs" / "new").write_bytes(NEW),
    ]
    for access in accesses:
        assert errno_of(access) in out_of_reach
    proxy.accept()
    assert errno_of(lambda: os.rmdir(mount.path / "docs")) == errno.ENOTEMPTY
    mount.settle()
    assert tree(apache.root) == {"docs": None, "docs/d.bin": OLD}


# --- 6: nothing that a server sends does harm ---


def test_promise_6_content_goes_to_no_other_host(
    local: Mount, apache: Apache, proxy: FaultProxy, tmp_path: Path
) -> None:
    (tmp_path / "foreign").mkdir()
    with Apache(tmp_path / "foreign") as foreign, FaultProxy(foreign.url) as other:
        for status in (301, 302, 307, 308):
            proxy.faults.add(Answer(status, {"Location": f"{other.url}x"}), method="PUT|MKCOL|MOVE|DELETE")
        (local.path / "new.bin").write_bytes(NEW)
        (local.path / "made").mkdir()
        os.unlink(local.path / "a.bin")
        os.rename(local.path / "b.bin", local.path / "moved.bin")
        assert local.sync() == "UPLOAD_FAILED"
        assert (other.seen, os.listdir(foreign.root)) == ([], [])
    assert set(tree(apache.root)) == {"a.bin", "b.bin", "c.bin", "docs", "docs/d.bin", "empty"}
    proxy.faults.clear()
    local.settle()
    assert_same(tree(local.path), tree(apache.root))


# --- 7: only one daemon uses a cache directory ---


def test_promise_7_another_daemon_touches_no_unsent_content(
    local: Mount, apache: Apache, mounts: Mounts
) -> None:
    (local.path / "new.bin").write_bytes(NEW)
    second = mounts(apache.url, start=False, cache={"path": str(local.cache)})
    refused = cloudfs("mount", "--foreground", "--config", second.config)
    assert refused.returncode == 1
    assert not (apache.root / "new.bin").exists()
    local.kill()
    second.start()
    assert (second.path / "new.bin").read_bytes() == NEW, "a killed daemon leaves it to the next"
    second.settle()
    assert_same(tree(second.path), tree(apache.root))
