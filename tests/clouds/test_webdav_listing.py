"""Listings from servers that are sloppy, hostile, or not the server at all."""

from __future__ import annotations

import os
import time

import pytest
import trio

from cloudfs.clouds.base import Capabilities, Lane, Offer
from cloudfs.clouds.listing import MAX_NOTES
from cloudfs.model.entry import RemoteEntry, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    NetworkUnavailable,
    NotAFolder,
    NotFound,
    ServerError,
    WrongContent,
)
from tests.clouds.conftest import OpenScripted, OpenWebDav
from tests.servers.apache import Apache
from tests.servers.faults import LOGIN_PAGE, Answer, ChangeHeaders, CutBody, Fault, SeenRequest
from tests.servers.proxy import FaultProxy
from tests.servers.scripted import FOLDER, file_properties, multistatus, resource, response

OWN = resource("/", FOLDER)
OWN_IS = "<D:response><D:href>/</D:href><D:status>HTTP/1.1 {} x</D:status></D:response>"
FILE = file_properties()


async def test_bad_entries_are_left_out_and_the_rest_is_shown(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    hrefs = [
        "/good",
        "http://evil.example/foreign",
        "/../up",
        "/%2e%2e/up",
        "/deep/er",
        "/a%2Fb",
        "/" + "n" * 256,
        "/query?x",
        "/.cloudfs-upload",
        "/good",
        "/last",
    ]
    answer = multistatus(OWN, *(resource(href, FILE) for href in hrefs))
    cloud = await open_webdav((await open_scripted(lambda _: answer)).url)
    listing = await cloud.list_folder(b"")
    assert [entry.name for entry in listing.entries] == [b"good", b"last"]
    assert len(listing.left_out) == 8
    assert listing.unshown == frozenset()


async def test_nonsense_without_end_fills_no_log(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, caplog: pytest.LogCaptureFixture
) -> None:
    answer = multistatus(OWN, *(resource(f"/../{i}", FILE) for i in range(1000)))
    cloud = await open_webdav((await open_scripted(lambda _: answer)).url)
    listing = await cloud.list_folder(b"")
    assert len(listing.left_out) == MAX_NOTES + 1
    assert listing.left_out[-1] == "and 900 more"
    assert len([record for record in caplog.records if "left out" in record.message]) == MAX_NOTES


async def test_absolute_hrefs_of_the_server_itself_are_fine(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    def script(request: SeenRequest) -> bytes:
        root = f"http://{request.headers['host']}/"
        return multistatus(resource(root, FOLDER), resource(root + "a%20b", FILE))

    cloud = await open_webdav((await open_scripted(script)).url)
    assert [entry.name for entry in (await cloud.list_folder(b"")).entries] == [b"a b"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (response(200, b"<html>Please log in</html>", Content_Type="text/html"), WrongContent),
        (response(207, b"<html>Please log in</html>"), WrongContent),
        (response(207), WrongContent),
        (response(207, b'{"json": 1}'), WrongContent),
        (response(204), WrongContent),
        (multistatus(), WrongContent),
        (multistatus(resource("/other/", FOLDER)), WrongContent),
        (multistatus(resource("/", "")), WrongContent),
        (multistatus(resource("http://evil.example/", FOLDER), resource("/f", FILE)), WrongContent),
        (multistatus(OWN, resource("/f", FILE))[:-30], NetworkUnavailable),
        (multistatus(resource("/", FILE)), NotAFolder),
        (multistatus(OWN_IS.format(404)), NotFound),
        (multistatus(OWN_IS.format(403)), AccessRefused),
        (response(503), ServerError),
    ],
)
async def test_what_is_no_whole_listing_is_an_error(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, answer: bytes, cause: type[CloudfsError]
) -> None:
    server = await open_scripted(lambda _: answer)
    # A cut answer must not be waited for.
    cloud = await open_webdav(server.url, timeout_s=0.5)
    with pytest.raises(cause):
        await cloud.list_folder(b"")


async def test_a_multistatus_that_ends_early_but_whole_by_its_length(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    document = multistatus(OWN, resource("/f", FILE)).partition(b"\r\n\r\n")[2]
    cloud = await open_webdav((await open_scripted(lambda _: response(207, document[:-20]))).url)
    with pytest.raises(WrongContent):
        await cloud.list_folder(b"")


@pytest.mark.parametrize("text", [None, "", "many", "-1", "99999999999999999999"])
async def test_a_missing_size_is_asked_for(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, text: str | None
) -> None:
    properties = {"getetag": '"t"'} | ({} if text is None else {"getcontentlength": text})

    def script(request: SeenRequest) -> bytes:
        if request.method == "HEAD":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"
        depth_1 = [resource("/d/", FOLDER)] if request.headers["depth"] == "1" else []
        return multistatus(*depth_1, resource("/d/f%23", file_properties(properties)))

    server = await open_scripted(script)
    cloud = await open_webdav(server.url)
    expected = RemoteEntry(b"f#", Kind.FILE, Version('"t"', None, 77))
    assert (await cloud.list_folder(b"d")).entries == (expected,)
    assert await cloud.stat(b"d/f#") == expected
    assert [seen.target for seen in server.seen if seen.method == "HEAD"] == ["/d/f%23"] * 2


async def test_a_size_that_nobody_tells_hides_the_file_but_does_not_remove_it(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    def script(request: SeenRequest) -> bytes:
        if request.method == "HEAD":
            answers = {
                "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "/forbidden": response(403),
                "/gone": response(404),
            }
            return answers[request.target].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        sizeless = file_properties({"getetag": '"t"'})
        names = ["chunked", "forbidden", "gone"]
        broken = "<D:response><D:href>/broken</D:href><D:status>HTTP/1.1 500 x</D:status></D:response>"
        return multistatus(OWN, broken, *(resource(f"/{name}", sizeless) for name in names))

    cloud = await open_webdav((await open_scripted(script)).url)
    listing = await cloud.list_folder(b"")
    assert listing.entries == ()
    assert listing.unshown == {b"chunked", b"forbidden", b"broken"}


async def test_a_size_that_cannot_be_asked_for_now_fails_the_listing(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    def script(request: SeenRequest) -> bytes:
        if request.method == "HEAD":
            return b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
        return multistatus(OWN, resource("/f", file_properties({"getetag": '"t"'})))

    cloud = await open_webdav((await open_scripted(script)).url)
    with pytest.raises(ServerError):
        await cloud.list_folder(b"")


async def test_file_ids_are_asked_for_where_there_are_any(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    file_id = '<o:fileid xmlns:o="http://owncloud.org/ns">42</o:fileid>'
    bodies = iter([multistatus(OWN), multistatus(OWN)])
    plain_server = await open_scripted(lambda _: next(bodies))
    plain = await open_webdav(plain_server.url)
    await plain.list_folder(b"")
    await plain.list_folder(b"")
    first, second = (int(seen.headers["content-length"]) for seen in plain_server.seen)
    assert second < first

    answer = multistatus(OWN, resource("/f", FILE + file_id))
    with_ids_server = await open_scripted(lambda _: answer)
    with_ids = await open_webdav(with_ids_server.url)
    for _ in range(2):
        assert (await with_ids.list_folder(b"")).entries[0].file_id == "42"
    assert len({seen.headers["content-length"] for seen in with_ids_server.seen}) == 1


async def test_a_tag_is_the_same_quoted_or_not(open_scripted: OpenScripted, open_webdav: OpenWebDav) -> None:
    answer = multistatus(OWN, resource("/f", file_properties({"getcontentlength": "5", "getetag": "five"})))
    cloud = await open_webdav((await open_scripted(lambda _: answer)).url)
    assert (await cloud.list_folder(b"")).entries[0].version.etag == '"five"'


async def test_unknown_quota_is_none(open_scripted: OpenScripted, open_webdav: OpenWebDav) -> None:
    told = "<D:quota-used-bytes>7</D:quota-used-bytes><D:quota-available-bytes>-3</D:quota-available-bytes>"
    answers = iter([multistatus(resource("/", FOLDER + told)), multistatus(OWN)])
    cloud = await open_webdav((await open_scripted(lambda _: next(answers))).url)
    quota = await cloud.quota()
    assert quota is not None
    assert (quota.used, quota.available) == (7, None)
    assert cloud.capabilities.quota is True
    assert await cloud.quota() is None


async def test_an_offer_tells_a_webdav_server_from_another(
    apache: Apache, open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    offer = await (await open_webdav(apache.url)).offer()
    assert {"1", "2"} <= offer.levels
    assert offer.time_s is not None
    assert abs(time.time() - offer.time_s) < 60
    other = await open_webdav((await open_scripted(lambda _: response(401, Allow="GET"))).url)
    assert await other.offer() == Offer()


async def test_names_that_are_no_utf_8_come_back_from_apache(apache: Apache, open_webdav: OpenWebDav) -> None:
    name = b"latin-1 \xe9\xff"
    with open(os.path.join(os.fsencode(apache.root), name), "wb") as file:
        file.write(b"abc")
    cloud = await open_webdav(apache.url)
    (entry,) = (await cloud.list_folder(b"")).entries
    assert entry.name == name
    async with cloud.read(name, entry.version, 0, 3, Lane.DEMAND) as content:
        assert [chunk async for chunk in content.chunks()] == [b"abc"]


async def test_ten_thousand_entries_do_not_stall_the_loop(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, nursery: trio.Nursery
) -> None:
    answer = multistatus(OWN, *(resource(f"/file%20{i}", FILE) for i in range(10_000)))
    cloud = await open_webdav((await open_scripted(lambda _: answer)).url)
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    nursery.start_soon(count_turns)
    listing = await cloud.list_folder(b"")
    assert len(listing.entries) == 10_000
    assert turns > len(answer) / (64 * 1024)


async def test_faults_on_the_way_are_errors_and_pass(
    proxy: FaultProxy, apache: Apache, open_webdav: OpenWebDav
) -> None:
    (apache.root / "f").write_bytes(b"abc")
    cloud = await open_webdav(proxy.url)
    faults: list[tuple[Fault, type[CloudfsError]]] = [
        (LOGIN_PAGE, WrongContent),
        (CutBody(100), NetworkUnavailable),
        (ChangeHeaders({"Content-Encoding": "gzip"}), WrongContent),
        (Answer(502), ServerError),
    ]
    for fault, cause in faults:
        proxy.faults.add(fault, times=1)
        with pytest.raises(cause):
            await cloud.list_folder(b"")
    assert len((await cloud.list_folder(b"")).entries) == 1


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ('<o:fileid xmlns:o="http://owncloud.org/ns">7</o:fileid><D:getetag>"strong"</D:getetag>', True),
        ('<o:fileid xmlns:o="http://owncloud.org/ns">7</o:fileid><D:getetag>W/"weak"</D:getetag>', False),
        ('<o:fileid xmlns:o="http://owncloud.org/ns">7</o:fileid>', False),
        ('<D:getetag>"strong"</D:getetag>', False),
    ],
)
async def test_whether_folder_tags_tell_of_all_below(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, properties: str, told: bool
) -> None:
    server = await open_scripted(lambda _: multistatus(resource("/", FOLDER + properties)))
    cloud = await open_webdav(server.url)
    await cloud.list_folder(b"")
    assert cloud.capabilities.folder_tags is told
    other = await open_webdav(server.url, known=Capabilities(folder_tags=not told))
    await other.list_folder(b"")
    assert other.capabilities.folder_tags is not told
