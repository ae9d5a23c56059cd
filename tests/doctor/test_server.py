"""Servers of every kind: what is found of them, and what their users are told to do."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
import trio

from cloudfs.config import Login
from cloudfs.doctor import server
from cloudfs.doctor.finding import Finding
from tests.clouds.conftest import OLD_S, Directory
from tests.doctor.conftest import Asked
from tests.servers.apache import Apache
from tests.servers.faults import LOGIN_PAGE, Answer, ChangeHeaders, DropRange, IgnoreConditions
from tests.servers.odd_wsgidav import Oddities, OddWsgiDav
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import (
    FOLDER,
    ScriptedServer,
    file_properties,
    multistatus,
    resource,
    response,
)
from tests.servers.wsgidav import WsgiDav

ME = Login("me", "s3cret")


@pytest.fixture
def filled(apache: Apache) -> Directory:
    """A file with a strong tag, not in the root, beside an empty one that is no use."""
    cloud = Directory(apache.root)
    cloud.put(b"empty", b"")
    cloud.put(b"folder/file", b"content")
    return cloud


def names(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def failed(found: dict[str, Finding]) -> list[str]:
    return [check for check, finding in found.items() if finding.is_made and not finding.ok]


def left_out(found: dict[str, Finding]) -> list[str]:
    return [check for check, finding in found.items() if not finding.is_made]


async def test_apache_is_found_good_and_left_as_it_was(
    asked: Asked, apache: Apache, filled: Directory
) -> None:
    before = names(apache.root)
    found = await asked(apache.url)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert found["WebDAV"].detail == "spoken there, level 1, 2"
    assert found["clock"].detail == "as the server's"
    assert found["versions"].detail == "files have strong ETags"
    assert found["ranges"].detail == "the server sends any part of a file"
    assert found["conditional writes"].detail.startswith("the server keeps to them (If-Match)")
    assert found["quota"].detail == "the server does not tell it"
    assert names(apache.root) == before


async def test_wsgidav_is_found_good_with_its_habits(asked: Asked, tmp_path: Path) -> None:
    (tmp_path / "dav").mkdir()
    with WsgiDav(tmp_path / "dav", user="me", password="s3cret") as wsgidav:
        found = await asked(wsgidav.url, ME)
        refused = await asked(wsgidav.url, Login("me", "wrong"))
        unknown = await asked(wsgidav.url)
    assert [finding for finding in found.values() if not finding.ok] == []
    assert found["access"].detail == "as me"
    assert "under a LOCK" in found["conditional writes"].detail
    assert "free" in found["quota"].detail
    assert "no file" in found["ranges"].detail
    assert names(tmp_path / "dav") == []
    for wrong in (refused, unknown):
        assert failed(wrong) == ["access"]
        assert left_out(wrong) == [check for check in server.CHECKS if check not in ("server", "access")]
    assert "app password" in str(refused["access"].mend)
    assert "set cloud.username" in str(unknown["access"].mend)


async def test_nothing_is_written_for_a_mount_that_is_read_only(
    asked: Asked, proxy: FaultProxy, filled: Directory
) -> None:
    found = await asked(proxy.url, mount={"read_only": True})
    assert failed(found) == left_out(found) == []
    assert "read_only" in found["conditional writes"].detail
    assert {request.method for request in proxy.seen} == {"OPTIONS", "PROPFIND", "GET"}


async def test_a_wrong_path(asked: Asked, apache: Apache) -> None:
    found = await asked(apache.url + "wrong/")
    assert failed(found) == ["WebDAV"]
    assert "404" in found["WebDAV"].detail
    assert "check the path in cloud.url" in str(found["WebDAV"].mend)
    assert found["access"].mend == 'settle "WebDAV" first'


async def test_a_path_to_a_file(asked: Asked, nursery: trio.Nursery) -> None:
    scripted = ScriptedServer(lambda _: multistatus(resource("/", file_properties())))
    await nursery.start(scripted.run)
    assert "names a file" in str((await asked(scripted.url))["WebDAV"].mend)


async def test_what_is_no_webdav_server(asked: Asked, proxy: FaultProxy) -> None:
    proxy.faults.add(LOGIN_PAGE)
    found = await asked(proxy.url)
    assert failed(found) == ["WebDAV"]
    assert "in a browser" in str(found["WebDAV"].mend)
    proxy.faults.clear()
    proxy.faults.add(Answer(405))
    assert "check the path" in str((await asked(proxy.url))["WebDAV"].mend)


async def test_a_redirect_elsewhere_is_named_without_what_it_may_carry(
    asked: Asked, proxy: FaultProxy
) -> None:
    proxy.faults.add(Answer(301, {"Location": "https://dav.example/login?token=s3cret"}))
    found = await asked(proxy.url)
    assert failed(found) == ["WebDAV"]
    assert "https://dav.example:443" in found["WebDAV"].detail
    assert "s3cret" not in found["WebDAV"].detail


@pytest.mark.parametrize(
    ("status", "check", "words"),
    [(403, "access", "right to it"), (429, "WebDAV", "busy"), (500, "WebDAV", "its own log")],
)
async def test_a_refusal(asked: Asked, proxy: FaultProxy, status: int, check: str, words: str) -> None:
    proxy.faults.add(Answer(status), method="PROPFIND")
    found = await asked(proxy.url, ME)
    assert failed(found) == [check]
    assert words in str(found[check].mend)


async def test_a_server_without_ranges(asked: Asked, proxy: FaultProxy, filled: Directory) -> None:
    proxy.faults.add(DropRange())
    found = await asked(proxy.url, mount={"read_only": True})
    assert found["ranges"].ok
    assert "whole files only" in found["ranges"].detail


async def test_content_that_is_not_the_file(asked: Asked, proxy: FaultProxy, filled: Directory) -> None:
    proxy.faults.add(LOGIN_PAGE, method="GET")
    found = await asked(proxy.url, mount={"read_only": True})
    assert failed(found) == ["ranges"]


@pytest.mark.parametrize(("off_s", "direction"), [(300, "behind"), (-300, "ahead of")])
async def test_a_clock_that_is_off(asked: Asked, proxy: FaultProxy, off_s: int, direction: str) -> None:
    proxy.faults.add(ChangeHeaders({"Date": formatdate(time() + off_s, usegmt=True)}), method="OPTIONS")
    found = await asked(proxy.url, mount={"read_only": True})
    assert failed(found) == ["clock"]
    assert direction in found["clock"].detail
    assert "set-ntp" in str(found["clock"].mend)


async def test_a_clock_that_is_not_told(asked: Asked, proxy: FaultProxy) -> None:
    proxy.faults.add(ChangeHeaders({"Date": None}), method="OPTIONS")
    assert "does not tell" in (await asked(proxy.url, mount={"read_only": True}))["clock"].detail


@pytest.mark.parametrize(
    ("oddities", "check", "words"),
    [
        (Oddities(has_tags=False), "versions", "no ETags"),
        (Oddities(shows_torsos=True), "conditional writes", "under a temporary name"),
    ],
)
async def test_odd_servers_are_lived_with(
    asked: Asked, tmp_path: Path, oddities: Oddities, check: str, words: str
) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    Directory(root).put(b"file", b"content")
    with OddWsgiDav(root, oddities) as odd:
        found = await asked(odd.url)
    assert failed(found) == left_out(found) == []
    assert words in found[check].detail
    assert names(root) == ["file"]


async def test_a_server_with_neither_conditions_nor_locks(asked: Asked, proxy: FaultProxy) -> None:
    proxy.faults.add(ChangeHeaders({"DAV": "1"}), method="OPTIONS")
    proxy.faults.add(IgnoreConditions())
    found = await asked(proxy.url)
    assert found["conditional writes"].ok
    assert "has no locks" in found["conditional writes"].detail


async def test_a_folder_that_takes_no_files(asked: Asked, proxy: FaultProxy) -> None:
    proxy.faults.add(Answer(403), method="PUT")
    found = await asked(proxy.url)
    assert failed(found) == ["conditional writes"]
    assert "read_only = true" in str(found["conditional writes"].mend)


async def test_a_cloud_that_is_full(asked: Asked, proxy: FaultProxy) -> None:
    proxy.faults.add(Answer(507), method="PUT")
    assert "remove files there" in str((await asked(proxy.url))["conditional writes"].mend)


async def test_what_the_server_keeps_of_the_check_is_named(
    asked: Asked, proxy: FaultProxy, apache: Apache
) -> None:
    proxy.faults.add(Answer(403), method="DELETE")
    found = await asked(proxy.url)
    left = [name for name in names(apache.root) if name.startswith(".cloudfs-")]
    assert left
    assert found["left behind"].mend == f"remove them there: {', '.join(left)}"


async def test_what_was_only_slow_to_go_is_removed(asked: Asked, proxy: FaultProxy, apache: Apache) -> None:
    proxy.faults.add(Answer(500), method="DELETE", times=3)
    found = await asked(proxy.url)
    assert "left behind" not in found
    assert names(apache.root) == []


def full(used: int, available: int) -> str:
    return (
        f"<D:quota-used-bytes>{used}</D:quota-used-bytes>"
        f"<D:quota-available-bytes>{available}</D:quota-available-bytes>"
    )


@pytest.mark.parametrize(
    ("available", "is_ok", "detail"),
    [(0, False, "the cloud is full"), (3 * 1024**3, True, "3.0 GiB free, 1.5 KiB used")],
)
async def test_the_quota(
    asked: Asked, nursery: trio.Nursery, available: int, is_ok: bool, detail: str
) -> None:
    root = FOLDER + full(1536, available) + '<o:fileid xmlns:o="http://owncloud.org/ns">7</o:fileid>'
    file = file_properties({"getcontentlength": "1", "getlastmodified": formatdate(OLD_S, usegmt=True)})
    answers = {
        "OPTIONS": response(200, DAV="1, 3"),
        "PROPFIND": multistatus(resource("/", root), resource("/a", file)),
    }
    scripted = ScriptedServer(lambda seen: answers[seen.method])
    await nursery.start(scripted.run)
    found = await asked(scripted.url, mount={"read_only": True})
    assert (found["quota"].ok, found["quota"].detail) == (is_ok, detail)
    assert "files have ids" in found["changes"].detail
    assert "no file" in found["versions"].detail  # one of a single byte says nothing of ranges
