"""INTERFACE section 9: the promises of the read side on a real mount, and the tools that rely on them."""

from __future__ import annotations

import base64
import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import cloudfs, content, errno_of, read, reads_as
from tests.servers.apache import Apache
from tests.servers.faults import Answer, CutBody, Fault, Hang
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

OUT_OF_REACH = {errno.ENETUNREACH, errno.ETIMEDOUT}
TIMEOUT_S, SLACK_S = 1.0, 3.0
PASSWORD = "s3cret:of mine"


@pytest.fixture
def tree(apache: Apache) -> dict[str, bytes]:
    """What the server holds: files of several sizes in folders of several depths."""
    files = {
        "a.txt": b"needle in a",
        "empty": b"",
        "docs/b.bin": content(700_000, seed=2),
        "docs/deep/c.txt": b"a needle in c\n" * 1000,
        "docs/deep/zeros.bin": bytes(300_000) + b"end",
    }
    for name, data in files.items():
        (apache.root / name).parent.mkdir(parents=True, exist_ok=True)
        (apache.root / name).write_bytes(data)
    return files


def shown(mount: Mount) -> set[str]:
    """The files that a walk of the whole mount finds."""
    return {str(path.relative_to(mount.path)) for path in mount.path.rglob("*") if path.is_file()}


def within_timeout(call: Callable[[], object]) -> int:
    begin = time.monotonic()
    met = errno_of(call)
    assert time.monotonic() - begin < TIMEOUT_S + SLACK_S
    return met


# --- 1: an error is never a deletion ---


@pytest.mark.parametrize(
    "fault",
    [Answer(500), Answer(404), Answer(410), CutBody(200), Answer(207, {}, b"<a/>")],
    ids=["500", "404", "410", "cut", "no listing"],
)
def test_an_error_is_never_a_deletion(
    fault: Fault, apache: Apache, tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    proxy.faults.add(fault, method="PROPFIND", target="/docs")
    (apache.root / "new.txt").write_text("new")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert shown(mount) == set(tree) | {"new.txt"}, (
        "one folder's trouble removes nothing and holds up nothing"
    )
    proxy.faults.clear()
    assert mount.sync() == "COMPLETED"
    assert shown(mount) == set(tree) | {"new.txt"}
    shutil.rmtree(apache.root / "docs")
    assert mount.sync() == "COMPLETED"
    assert shown(mount) == {"a.txt", "empty", "new.txt"}, "a listing that came whole removes"


# --- 5: no access waits on the network longer than the timeout ---


def test_no_access_waits_longer_than_the_timeout(
    tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync={"auto": False})
    assert sorted(os.listdir(mount.path)) == ["a.txt", "docs", "empty"]
    proxy.hang()
    for access in (
        lambda: os.listdir(mount.path / "docs"),
        lambda: os.stat(mount.path / "docs" / "b.bin"),
        lambda: os.open(mount.path / "docs" / "new", os.O_RDONLY),
        lambda: read(mount.path / "a.txt"),
    ):
        assert within_timeout(access) in OUT_OF_REACH
    proxy.resume()
    wait_until(lambda: reads_as(mount.path / "a.txt", tree["a.txt"]), "it reads again")
    assert reads_as(mount.path / "docs" / "b.bin", tree["docs/b.bin"])


def test_what_the_tree_knows_never_waits(tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "30s"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    assert read(mount.path / "docs" / "b.bin") == tree["docs/b.bin"]
    proxy.hang()
    begin = time.monotonic()
    assert shown(mount) == set(tree)
    for name, data in tree.items():
        assert (mount.path / name).stat().st_size == len(data)
        assert mount.xattr("location", name) in ("cloud", "both")
    assert not (mount.path / "docs" / "not there").exists()
    assert read(mount.path / "docs" / "b.bin") == tree["docs/b.bin"]
    assert os.statvfs(mount.path).f_bavail > 0
    os.close(os.open(mount.path / "a.txt", os.O_RDONLY))
    assert time.monotonic() - begin < SLACK_S


def test_a_mount_starts_without_a_network(tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "1s"}, sync={"auto": False})
    assert sorted(os.listdir(mount.path)) == ["a.txt", "docs", "empty"]
    mount.stop()
    proxy.refuse()
    assert within_timeout(mount.start) == 0
    assert mount.status()["cloud"]["state"] == "offline"
    assert sorted(os.listdir(mount.path)) == ["a.txt", "docs", "empty"], "what is known is shown"
    met = within_timeout(lambda: os.listdir(mount.path / "docs"))
    assert met in OUT_OF_REACH, "a folder never seen is an error, never empty"
    proxy.accept()
    assert sorted(os.listdir(mount.path / "docs")) == ["b.bin", "deep"]


# --- 6: nothing that a server sends does harm ---

ENTRY = (
    "<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop>"
    "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
)
COLLECTION = "<D:resourcetype><D:collection/></D:resourcetype>"
FILE = '<D:resourcetype/><D:getetag>"x"</D:getetag><D:getcontentlength>{size}</D:getcontentlength>'


def listing(**entries: str) -> Answer:
    """The root's listing: href -> the text of getcontentlength."""
    files = "".join(ENTRY.format(href=h, properties=FILE.format(size=s)) for h, s in entries.items())
    root = ENTRY.format(href="/", properties=COLLECTION)
    body = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{root}{files}</D:multistatus>'
    return Answer(207, {"Content-Type": "application/xml"}, body.encode())


def test_bad_entries_are_left_out_and_logged(
    apache: Apache, tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts
) -> None:
    with FaultProxy(apache.url) as foreign:
        proxy.faults.add(
            listing(
                **{
                    "/a.txt": str(len(tree["a.txt"])),
                    "/../../etc/passwd": "9",
                    "/%2e%2e": "9",
                    "/..%2f..%2fescaped": "9",
                    "/nul%00": "9",
                    "/docs/b.bin": "9",
                    f"{foreign.url}a.txt": "9",
                    "http://user:pass@example.invalid/x": "9",
                    "/" + "n" * 256: "9",
                }
            ),
            method="PROPFIND",
            target="^/$",
        )
        mount = mounts(proxy.url, sync={"auto": False})
        assert os.listdir(mount.path) == ["a.txt"]
        assert read(mount.path / "a.txt") == tree["a.txt"]
        assert foreign.seen == []
    assert "passwd" in mount.log.read_text()


@pytest.mark.parametrize("size", ["", "x", "-1", "1e3", "99999999999999999999"])
def test_an_unreadable_size_is_asked_for_and_never_invented(
    size: str, tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts
) -> None:
    proxy.faults.add(listing(**{"/a.txt": size}), method="PROPFIND", target="^/$")
    mount = mounts(proxy.url, sync={"auto": False})
    names = os.listdir(mount.path)
    assert names == ["a.txt"]
    assert (mount.path / "a.txt").stat().st_size == len(tree["a.txt"])
    assert read(mount.path / "a.txt") == tree["a.txt"]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[WsgiDav]:
    """A server that wants credentials."""
    root = tmp_path / "guarded"
    root.mkdir()
    (root / "a.txt").write_text("for me alone")
    with WsgiDav(root, user="me", password=PASSWORD) as server:
        yield server


def test_credentials_go_to_no_other_host(
    apache: Apache, guarded: WsgiDav, mounts: Mounts, tmp_path: Path
) -> None:
    """Neither by a redirect nor by a listing's links, and no log tells them."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "password").chmod(0o600)
    account = {"username": "me", "password_file": str(tmp_path / "password"), "timeout": "2s"}
    header = "Basic " + base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    with FaultProxy(guarded.url) as proxy, FaultProxy(apache.url) as foreign:
        mount = mounts(proxy.url, cloud=account, sync={"auto": False})
        assert os.listdir(mount.path) == ["a.txt"]
        assert {request.headers.get("authorization") for request in proxy.seen} == {header}
        for status in (301, 302, 303, 307, 308):
            proxy.faults.add(Answer(status, {"Location": f"{foreign.url}a.txt"}), times=1)
            assert errno_of(lambda: read(mount.path / "a.txt")) in (0, errno.EIO)
            proxy.faults.clear()
        proxy.faults.add(Answer(302, {"Location": f"{foreign.url}"}), method="PROPFIND")
        assert mount.sync() == "DOWNLOAD_FAILED"
        proxy.faults.clear()
        proxy.faults.add(listing(**{"/a.txt": "12", f"{foreign.url}b.txt": "5"}), method="PROPFIND")
        mount.sync()
        proxy.faults.clear()
        wait_until(lambda: reads_as(mount.path / "a.txt", b"for me alone"), "the right host is asked")
        assert foreign.seen == []
        log = mount.log.read_text()
    assert PASSWORD not in log
    assert header.split()[1] not in log


def test_nothing_of_a_server_lands_outside_of_the_cache(
    apache: Apache, mounts: Mounts, tmp_path: Path
) -> None:
    for name in ("lock", "cloudfs.db", "contents", "-rf", "~", "$HOME", "a\nb"):
        (apache.root / name).write_text(name)
    mount = mounts(apache.url)
    outside = [tmp_path, mount.directory, mount.cache, mount.cache / "contents"]
    before = [_names(folder) for folder in outside[:3]]
    for name in os.listdir(mount.path):
        assert read(mount.path / name) == name.encode()
    assert [_names(folder) for folder in outside[:3]] == before
    assert {len(name) for name in _names(outside[3])} == {2}, "cache files have names of our own"


def _names(folder: Path) -> set[str]:
    return {name for name in os.listdir(folder) if not name.startswith("cloudfs.db-")}


def test_answers_without_end_cost_no_memory(
    tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    before = _resident_bytes(mount)
    flood = b'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:"><D:response><D:href>' + b"a" * 96_000_000
    proxy.faults.add(Answer(207, {"Content-Type": "application/xml"}, flood), method="PROPFIND")
    proxy.faults.add(Answer(500, {}, flood), method="GET")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert errno_of(lambda: read(mount.path / "a.txt")) != 0
    assert _resident_bytes(mount) - before < 40_000_000
    proxy.faults.clear()
    wait_until(lambda: reads_as(mount.path / "a.txt", tree["a.txt"]), "it reads again")


def _resident_bytes(mount: Mount) -> int:
    """The most memory that the daemon ever had (proc(5))."""
    status = Path(f"/proc/{mount.status()['pid']}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


# --- 7: only one daemon uses a cache directory ---


def test_a_cache_directory_has_one_daemon(apache: Apache, tree: dict[str, bytes], mounts: Mounts) -> None:
    first = mounts(apache.url)
    second = mounts(apache.url, start=False, cache={"path": str(first.cache)})
    refused = cloudfs("mount", "--foreground", "--config", second.config)
    assert refused.returncode == 1
    assert f"in use by process {first.status()['pid']}" in refused.stderr
    assert not second.is_mounted()
    assert shown(first) == set(tree)
    first.kill()
    second.start()
    assert shown(second) == set(tree), "a killed daemon leaves it free"


# --- tools ---


def run(*command: str | Path) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, ""), command
    return result.stdout


def same(folder: Path, tree: dict[str, bytes], server: Path) -> None:
    """Bytes and times, as the server has them (it tells whole seconds)."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == tree
    for name in tree:
        assert int((folder / name).stat().st_mtime) == int((server / name).stat().st_mtime), name


def test_a_backup_of_placeholders_has_the_right_bytes(
    apache: Apache, tree: dict[str, bytes], mounts: Mounts, tmp_path: Path
) -> None:
    mount = mounts(apache.url, cache={"size": "1MiB"})
    assert os.listdir(mount.path)  # the root has its own time once it was listed
    run("tar", "-C", mount.path, "-cSf", tmp_path / "backup.tar", ".")
    (tmp_path / "out").mkdir()
    run("tar", "-C", tmp_path / "out", "-xf", tmp_path / "backup.tar")
    same(tmp_path / "out", tree, apache.root)


def test_copies_of_placeholders_have_the_right_bytes(
    apache: Apache, tree: dict[str, bytes], mounts: Mounts, tmp_path: Path
) -> None:
    mount = mounts(apache.url)
    run("cp", "-a", mount.path, tmp_path / "copy")
    same(tmp_path / "copy", tree, apache.root)
    run("cp", "-a", "--sparse=auto", mount.path, tmp_path / "again")
    same(tmp_path / "again", tree, apache.root)
    if shutil.which("rsync"):
        run("rsync", "-a", f"{mount.path}/", tmp_path / "synced")
        same(tmp_path / "synced", tree, apache.root)
        assert run("rsync", "-ai", f"{mount.path}/", tmp_path / "synced") == "", "nothing differs"


def test_a_search_finds_what_is_in_placeholders(
    apache: Apache, tree: dict[str, bytes], mounts: Mounts
) -> None:
    mount = mounts(apache.url)
    found = run("grep", "-rlI", "needle", mount.path).split()
    assert sorted(found) == [f"{mount.path}/a.txt", f"{mount.path}/docs/deep/c.txt"]
    wait_until(lambda: len(os.listdir(mount.cache / "contents")) > 0, "they were read through the cache")


@pytest.mark.parametrize("fault", [Hang(), Answer(500)], ids=["hang", "500"])
def test_a_copy_tells_of_a_failure_and_has_no_wrong_file(
    fault: Fault, tree: dict[str, bytes], proxy: FaultProxy, mounts: Mounts, tmp_path: Path
) -> None:
    mount = mounts(proxy.url, cloud={"timeout": "1s"})
    proxy.faults.add(fault, method="GET", target="b.bin")
    result = subprocess.run(
        ["cp", "-r", mount.path, tmp_path / "copy"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "b.bin" in result.stderr
    copied = {name: (tmp_path / "copy" / name).read_bytes() for name in tree if name != "docs/b.bin"}
    assert copied == {name: data for name, data in tree.items() if name != "docs/b.bin"}
