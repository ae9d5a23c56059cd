"""Content is believed only when the answer is the file, of the version asked for, and the part asked for."""

from __future__ import annotations

import os
import time

import pytest
import trio

from cloudfs.clouds.base import Lane
from cloudfs.clouds.webdav import WebDav
from cloudfs.model.entry import Version
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    ContentNotFound,
    NetworkTimeout,
    NetworkUnavailable,
    ServerError,
    TooManyRequests,
    VersionChanged,
    WrongContent,
)
from tests.clouds.conftest import OLD_S, OpenScripted, OpenWebDav
from tests.servers.apache import Apache
from tests.servers.faults import (
    LOGIN_PAGE,
    Answer,
    AppendBody,
    ChangeHeaders,
    Close,
    CutBody,
    DropRange,
    Fault,
    Hang,
    HangBody,
    SeenRequest,
)
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import file_properties, multistatus, resource, response

BODY = bytes(range(256)) * 4096  # 1 MiB
SIZE = len(BODY)


@pytest.fixture
def file_f(apache: Apache) -> None:
    """A file `f` that is old enough for a strong tag."""
    path = apache.root / "f"
    path.write_bytes(BODY)
    os.utime(path, (OLD_S, OLD_S))


async def read(cloud: WebDav, version: Version, start: int, stop: int) -> tuple[int, bytes]:
    async with cloud.read(b"f", version, start, stop, Lane.BULK) as content:
        return content.start, b"".join([chunk async for chunk in content.chunks()])


FAULTS: list[tuple[Fault, type[CloudfsError]]] = [
    (LOGIN_PAGE, WrongContent),
    (Answer(200, {}, BODY[100:200]), WrongContent),
    (Answer(206, {}, BODY[100:200]), WrongContent),  # no Content-Range
    (Answer(206, {"Content-Range": f"bytes 0-99/{SIZE}"}, BODY[:100]), WrongContent),
    (Answer(206, {"Content-Range": f"bytes 100-299/{SIZE}"}, BODY[100:300]), WrongContent),
    (Answer(206, {"Content-Range": f"bytes 100-199/{SIZE}"}, BODY[100:190]), WrongContent),
    (Answer(206, {"Content-Range": f"bytes 199-100/{SIZE}"}, BODY[100:200]), WrongContent),
    (Answer(206, {"Content-Range": "bytes 100-199/5"}, BODY[100:200]), VersionChanged),
    (ChangeHeaders({"Content-Encoding": "gzip"}), WrongContent),
    (ChangeHeaders({"Content-Length": "90"}), WrongContent),
    (ChangeHeaders({"Content-Length": "200"}), WrongContent),
    (AppendBody(b"more"), WrongContent),
    (CutBody(50), NetworkUnavailable),
    (HangBody(50), NetworkTimeout),
    (Hang(), NetworkTimeout),
    (Answer(302, {"Location": "http://login.example/"}), WrongContent),
    (Answer(302, {"Location": "/login"}), ContentNotFound),
    (Answer(401), AccessRefused),
    (Answer(403), AccessRefused),
    (Answer(404), ContentNotFound),
    (Answer(410), ContentNotFound),
    (Answer(416), WrongContent),
    (Answer(416, {"Content-Range": "bytes */7"}), VersionChanged),
    (Answer(429, {"Retry-After": "3"}), TooManyRequests),
    (Answer(503, {"Retry-After": "3"}), TooManyRequests),
    (Answer(503), ServerError),
    (Answer(504), ServerError),
    (Answer(204), WrongContent),
]

# Refused, and then settled within the same call: the listing knows of no change.
STRANGE_TAGS: list[Fault] = [
    Answer(206, {"Content-Range": f"bytes 100-199/{SIZE}", "ETag": '"x"'}, b"x" * 100),
    ChangeHeaders({"ETag": '"other"', "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    ChangeHeaders({"ETag": 'W/"other"', "Last-Modified": None}),
    Answer(412),
]


@pytest.mark.usefixtures("file_f")
async def test_what_is_not_the_file_is_never_its_content(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url, timeout_s=0.4)
    version = (await cloud.stat(b"f")).version
    assert version.is_strong
    for fault, cause in FAULTS:
        proxy.faults.add(fault, method="GET", times=1)
        try:
            await read(cloud, version, 100, 200)
        except cause:
            pass
        else:
            pytest.fail(f"{fault} was believed")
        # Nothing of it lasts.
        assert await read(cloud, version, 100, 200) == (100, BODY[100:200]), fault


@pytest.mark.usefixtures("file_f")
async def test_a_strange_tag_is_settled_by_the_listing(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    for fault in STRANGE_TAGS:
        proxy.faults.add(fault, method="GET", times=1)
        assert await read(cloud, version, 100, 200) == (100, BODY[100:200])
        # One strange answer does not take the guard away from those to come.
        await read(cloud, version, 100, 200)
        assert proxy.seen[-1].headers["if-match"] == version.etag


@pytest.mark.usefixtures("file_f")
async def test_a_cut_body_is_right_up_to_the_cut(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    proxy.faults.add(CutBody(300_000), method="GET", times=1)
    got = bytearray()

    async def collect() -> None:
        async with cloud.read(b"f", version, 1000, SIZE, Lane.BULK) as content:
            async for chunk in content.chunks():
                got.extend(chunk)

    with pytest.raises(NetworkUnavailable):
        await collect()
    assert got == BODY[1000 : 1000 + len(got)]
    assert got


@pytest.mark.usefixtures("file_f")
async def test_a_server_without_ranges_gives_the_whole_file(
    proxy: FaultProxy, open_webdav: OpenWebDav
) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    proxy.faults.add(DropRange())
    assert await read(cloud, version, 100, 200) == (0, BODY)
    assert cloud.capabilities.ranges is False
    proxy.faults.clear()
    await read(cloud, version, 100, 200)
    assert cloud.capabilities.ranges is True


async def test_the_first_seconds_weak_tag_is_the_later_strong_one(
    apache: Apache, open_webdav: OpenWebDav
) -> None:
    path = apache.root / "f"
    path.write_bytes(BODY)
    cloud = await open_webdav(apache.url)
    young = (await cloud.stat(b"f")).version
    # Whichever way the clock fell, both spellings name one version.
    for tag in (young.opaque_tag, f"W/{young.opaque_tag}"):
        version = Version(tag, young.mtime_ns, SIZE)
        if version.is_strong:
            await trio.sleep(1.1)  # until Apache calls it so too
        assert await read(cloud, version, 5, 9) == (5, BODY[5:9])


async def test_a_file_of_tomorrow_is_read_though_no_answer_may_tell_its_time(
    apache: Apache, open_webdav: OpenWebDav
) -> None:
    (apache.root / "f").write_bytes(BODY)
    os.utime(apache.root / "f", (OLD_S, time.time() + 86_400))
    cloud = await open_webdav(apache.url)
    version = (await cloud.stat(b"f")).version
    assert not version.is_strong
    assert await read(cloud, version, 100, SIZE) == (100, BODY[100:])
    (apache.root / "f").write_bytes(BODY[::-1])
    with pytest.raises(VersionChanged):
        await read(cloud, version, 100, SIZE)


@pytest.mark.usefixtures("file_f")
async def test_if_match_goes_only_with_a_strong_tag(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    await read(cloud, version, 0, 10)
    await read(cloud, Version(f"W/{version.etag}", version.mtime_ns, SIZE), 0, 10)
    await read(cloud, Version(None, version.mtime_ns, SIZE), 0, 10)
    gets = [seen.headers for seen in proxy.seen if seen.method == "GET"]
    assert [headers.get("if-match") for headers in gets] == [version.etag, None, None]
    assert {headers["accept-encoding"] for headers in gets} == {"identity"}


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


async def test_tags_that_differ_between_listing_and_content(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    listed = {"getcontentlength": "5", "getetag": '"listed"', "getlastmodified": DATE}
    served = {"ETag": '"served"', "Last-Modified": DATE, "Content-Range": "bytes 0-4/5"}

    def script(request: SeenRequest) -> bytes:
        if request.method == "PROPFIND":
            return multistatus(resource("/f", file_properties(listed)))
        if request.headers.get("if-match", served["ETag"]) != served["ETag"]:
            return response(412)
        return response(206, b"hello", **served)

    server = await open_scripted(script)
    cloud = await open_webdav(server.url)
    version = (await cloud.stat(b"f")).version
    async with trio.open_nursery() as nursery:
        for _ in range(4):  # all find out at once
            nursery.start_soon(read, cloud, version, 0, 5)
    assert await read(cloud, version, 0, 5) == (0, b"hello")
    asked = len(server.seen)
    # Remembered: no more questions, and the time counts in the tag's place.
    assert await read(cloud, version, 0, 5) == (0, b"hello")
    assert len(server.seen) == asked + 1
    served["Last-Modified"] = "Sun, 06 Nov 1994 08:49:38 GMT"
    with pytest.raises(VersionChanged):
        await read(cloud, version, 0, 5)
    del served["Last-Modified"]
    with pytest.raises(WrongContent):
        await read(cloud, version, 0, 5)


async def test_a_changed_tag_is_believed_when_the_listing_changed_too(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    listed = {"getcontentlength": "5", "getetag": '"one"', "getlastmodified": DATE}

    def script(request: SeenRequest) -> bytes:
        if request.method == "PROPFIND":
            return multistatus(resource("/f", file_properties(listed)))
        return response(412)

    cloud = await open_webdav((await open_scripted(script)).url)
    version = (await cloud.stat(b"f")).version
    listed["getetag"] = '"two"'
    with pytest.raises(VersionChanged):
        await read(cloud, version, 0, 5)


async def test_a_body_without_a_length_is_counted(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    head = ""

    def script(request: SeenRequest) -> bytes:
        return f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{head}\r\n5\r\nhello\r\n0\r\n\r\n".encode()

    cloud = await open_webdav((await open_scripted(script)).url)
    with pytest.raises(WrongContent):  # a login page has no tag of ours
        await read(cloud, Version('"t"', None, 5), 0, 5)
    head = 'ETag: "t"\r\n'
    assert await read(cloud, Version('"t"', None, 5), 0, 5) == (0, b"hello")
    with pytest.raises(WrongContent):
        await read(cloud, Version('"t"', None, 4), 0, 4)
    with pytest.raises(NetworkUnavailable):
        await read(cloud, Version('"t"', None, 6), 0, 6)


@pytest.mark.usefixtures("file_f")
async def test_a_connection_closed_at_once_is_asked_again(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    proxy.faults.add(Close(), method="GET", times=1)
    assert await read(cloud, version, 0, 10) == (0, BODY[:10])
    proxy.drop_connections()
    assert await read(cloud, version, 0, 10) == (0, BODY[:10])


@pytest.mark.usefixtures("file_f")
async def test_a_reader_that_leaves_or_is_cancelled_frees_its_connection(
    proxy: FaultProxy, open_webdav: OpenWebDav
) -> None:
    cloud = await open_webdav(proxy.url, max_connections=1)
    version = (await cloud.stat(b"f")).version

    async def leave() -> None:
        async with cloud.read(b"f", version, 0, SIZE, Lane.BULK) as content:
            async for _chunk in content.chunks():
                break

    async def fail() -> None:
        async with cloud.read(b"f", version, 0, SIZE, Lane.BULK) as content:
            async for _chunk in content.chunks():
                raise ZeroDivisionError

    for _ in range(3):
        await leave()
        with pytest.raises(ZeroDivisionError):
            await fail()
        proxy.faults.add(HangBody(1000), method="GET", times=1)
        with trio.move_on_after(0.05) as scope:
            await read(cloud, version, 0, SIZE)
        assert scope.cancelled_caught
    with trio.fail_after(5):
        assert await read(cloud, version, 0, SIZE) == (0, BODY)


@pytest.mark.usefixtures("file_f")
async def test_ranges_in_parallel_make_the_file(proxy: FaultProxy, open_webdav: OpenWebDav) -> None:
    cloud = await open_webdav(proxy.url)
    version = (await cloud.stat(b"f")).version
    parts: dict[int, bytes] = {}

    async def fetch(at: int) -> None:
        parts.update([await read(cloud, version, at, at + SIZE // 32)])

    async with trio.open_nursery() as nursery:
        for at in range(0, SIZE, SIZE // 32):
            nursery.start_soon(fetch, at)
    assert b"".join(parts[at] for at in sorted(parts)) == BODY
    assert proxy.counters.connections <= 14 + 1
