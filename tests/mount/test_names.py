"""Names and listings: percent-coding both ways on real servers, and listings that lie."""

from __future__ import annotations

import unicodedata
from urllib.parse import quote

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import wait_until
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy
from tests.servers.wsgidav import WsgiDav

NAMES = [
    "with space",
    "100%",
    "%41",
    "a#b",
    "what?",
    "a+b",
    "a&b",
    "a;b=c",
    'it\'s "quoted"',
    "<tag>",
    unicodedata.normalize("NFC", "é.txt"),
    unicodedata.normalize("NFD", "é.txt"),
    "日本語",
    "n" * 255,
    "-dash",
    "...",
    "tab\there",
    "~tilde",
    "[brackets]",
    "co:lon",
]


@pytest.mark.parametrize("kind", ["apache", "wsgidav"])
def test_every_name_round_trips(kind: str, request: pytest.FixtureRequest, mounts: Mounts) -> None:
    server: Apache | WsgiDav = request.getfixturevalue(kind)
    names = [*NAMES, "back\\slash"]
    for i, name in enumerate(names):
        (server.root / name).write_text(f"file {i}")
        (server.root / f"d{name[:250]}").mkdir()
        (server.root / f"d{name[:250]}" / "inside").write_text(f"inside {i}")
    mount = mounts(server.url)
    assert {p.name for p in mount.path.iterdir() if p.is_file()} == set(names)
    for i, name in enumerate(names):
        assert (mount.path / name).read_text() == f"file {i}", name
        assert (mount.path / f"d{name[:250]}" / "inside").read_text() == f"inside {i}", name


RESPONSE = (
    "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype>{kind}</D:resourcetype>"
    "{size}<D:getlastmodified>Tue, 01 Sep 2026 10:00:00 GMT</D:getlastmodified>"
    '<D:getetag>"x"</D:getetag></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>'
)


def multistatus(*hrefs: str) -> bytes:
    root = RESPONSE.format(href="/", kind="<D:collection/>", size="")
    files = "".join(
        RESPONSE.format(href=h, kind="", size="<D:getcontentlength>5</D:getcontentlength>") for h in hrefs
    )
    return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{root}{files}</D:multistatus>'.encode()


def test_a_listings_bad_entries_are_left_out_and_the_rest_is_shown(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    body = multistatus(
        "/good.txt",
        "/..",
        "/../etc/passwd",
        "/%2e%2e/x",
        "http://evil.example/stolen",
        "/a%2Fb",
        "/nul%00",
        "/./",
        "/.cloudfs-0123456789",
        "/sub/dir/deep",
    )
    proxy.faults.add(Answer(207, {"Content-Type": "application/xml"}, body), method="PROPFIND")
    mount = mounts(proxy.url)
    wait_until(lambda: [p.name for p in mount.path.iterdir()] == ["good.txt"], "only the good name is shown")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"Content-Type": "text/html"}, b"<html>Please log in</html>"),
        Answer(207, {"Content-Type": "application/xml"}, multistatus("/a.txt")[:-20]),
        Answer(207, {"Content-Type": "application/xml"}, b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
        Answer(207, {"Content-Type": "application/xml"}, b""),
        Answer(500),
        Answer(404),
    ],
    ids=["login page", "cut", "entities", "empty", "500", "404"],
)
def test_a_listing_that_did_not_come_whole_removes_nothing(
    answer: Answer, apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    (apache.root / "sub").mkdir()
    (apache.root / "sub" / "inner.txt").write_text("inner")
    (apache.root / "kept.txt").write_text("kept")
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    proxy.faults.add(answer, method="PROPFIND")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert sorted(p.name for p in mount.path.iterdir()) == ["kept.txt", "sub"]
    assert (mount.path / "sub" / "inner.txt").read_text() == "inner"


def test_a_folder_never_seen_is_an_error_and_never_empty(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    (apache.root / "sub").mkdir()
    (apache.root / "sub" / "inner.txt").write_text("inner")
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    assert [p.name for p in mount.path.iterdir()] == ["sub"]
    proxy.refuse()
    with pytest.raises(OSError, match=r"unreachable|timed out"):
        list((mount.path / "sub").iterdir())
    with pytest.raises(OSError, match=r"unreachable|timed out"):
        (mount.path / "sub" / "inner.txt").stat()
    proxy.accept()
    wait_until(lambda: _names(mount.path / "sub") == ["inner.txt"], "it fills when the server comes")


def _names(folder: object) -> list[str] | None:
    try:
        return [p.name for p in folder.iterdir()]  # type: ignore[attr-defined]
    except OSError:
        return None


def test_a_server_down_at_the_first_mount_fills_the_tree_when_it_comes(
    apache: Apache, proxy: FaultProxy, mounts: Mounts
) -> None:
    (apache.root / "a.txt").write_text("a")
    proxy.refuse()
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"interval": "1s"})
    assert mount.status()["cloud"]["state"] == "offline"
    with pytest.raises(OSError, match=r"unreachable|timed out"):
        list(mount.path.iterdir())
    proxy.accept()
    wait_until(lambda: _names(mount.path) == ["a.txt"], "the tree is there once the server is")
    wait_until(lambda: mount.status()["cloud"]["state"] == "ready", "the cloud is ready")


def test_uris_are_canonical(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "a b+c.txt").write_text("x")
    mount = mounts(apache.url)
    assert mount.uri("a b+c.txt") == "file://com.example.files/data/storage/el2/cloud/" + quote("a b+c.txt")
