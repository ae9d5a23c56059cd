"""Changes of a WebDav in detail: what it sends, what it makes of refusals, what it leaves behind."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio

from cloudfs.clouds.base import Cloud
from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AccessRefused,
    CloudfsError,
    CloudStorageFull,
    FileTooLarge,
    Locked,
    NameRefused,
    NotEmpty,
    NotFound,
    PreconditionFailed,
    ServerError,
    TooManyRequests,
    Unauthorized,
)
from tests.clouds.conftest import (
    KNOWN,
    OLD_S,
    UNCONDITIONAL,
    Directory,
    OpenOdd,
    OpenScripted,
    OpenWebDav,
    mark,
    pieces,
    version,
)
from tests.servers.apache import Apache
from tests.servers.faults import SeenRequest
from tests.servers.odd_wsgidav import Oddities
from tests.servers.scripted import FOLDER, file_properties, multistatus, resource, response

BASE = Version('"five"', None, 5)


# --- what is sent ---


async def test_what_is_known_is_not_asked_for(open_scripted: OpenScripted, open_webdav: OpenWebDav) -> None:
    server = await open_scripted(lambda _: response(201, ETag='"one"', X_OC_Mtime="accepted"))
    cloud = await open_webdav(server.url, known=KNOWN)
    assert await cloud.probe_writes() == KNOWN
    mtime_ns = OLD_S * 1_000_000_000 + 123
    made = await cloud.write(b"f", pieces(b"abc"), 3, None, mtime_ns=mtime_ns)
    assert made == Version('"one"', OLD_S * 1_000_000_000, 3)
    await cloud.write(b"f", pieces(b"abc"), 3, BASE)
    assert [(seen.method, seen.target) for seen in server.seen] == [("PUT", "/f"), ("PUT", "/f")]
    first, second = (seen.headers for seen in server.seen)
    assert (first["if-none-match"], first["x-oc-mtime"]) == ("*", str(OLD_S))
    assert "if-match" not in first
    assert (second["if-match"], second["content-length"]) == ('"five"', "3")
    assert not {"x-oc-mtime", "if-none-match", "transfer-encoding"} & set(second)


async def test_without_a_tag_the_version_is_asked_for(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    entry = resource("/f", file_properties())
    for etag in ('W/"weak"', None):
        made = response(201) if etag is None else response(201, ETag=etag)

        def script(request: SeenRequest, made: bytes = made) -> bytes:
            return made if request.method == "PUT" else multistatus(entry)

        server = await open_scripted(script)
        cloud = await open_webdav(server.url, known=KNOWN)
        assert await cloud.write(b"f", pieces(b"abcde"), 5, None) == BASE
        with pytest.raises(ServerError):  # a torso
            await cloud.write(b"f", pieces(b"abcdef"), 6, None)


@pytest.mark.parametrize("etag", ['"of the page"', None])
async def test_a_login_page_in_place_of_the_answer_stores_nothing(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, etag: str | None
) -> None:
    untagged = file_properties({"getcontentlength": "5", "getlastmodified": "Wed, 25 Nov 2026 08:00:00 GMT"})
    there = {
        "/old": multistatus(resource("/old", file_properties())),
        "/untagged": multistatus(resource("/untagged", untagged)),
    }
    headers = {} if etag is None else {"ETag": etag}

    def script(request: SeenRequest) -> bytes:
        if request.method == "PUT":
            return response(200, b"<html>Please log in</html>", Content_Type="text/html", **headers)
        return response(405) if request.method == "LOCK" else there.get(request.target, response(404))

    server = await open_scripted(script)
    cloud = await open_webdav(server.url, known=KNOWN)
    with pytest.raises(ServerError, match="does not show it"):
        await cloud.write(b"new", pieces(b"abcde"), 5, None)
    with pytest.raises(ServerError, match="what it had before"):
        await cloud.write(b"old", pieces(b"abcde"), 5, BASE)
    with pytest.raises(ServerError, match="what it had before"):
        await cloud.write(b"untagged", pieces(b"abcde"), 5, (await cloud.stat(b"untagged")).version)
    there["/old"] = multistatus(
        resource("/old", file_properties({"getcontentlength": "5", "getetag": '"six"'}))
    )
    assert await cloud.write(b"old", pieces(b"abcde"), 5, BASE) == Version('"six"', None, 5)


async def test_the_same_bytes_may_have_the_same_tag(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    def script(request: SeenRequest) -> bytes:
        if request.method == "PUT":
            return response(200, ETag='"five"')
        return multistatus(resource("/f", file_properties()))

    server = await open_scripted(script)
    cloud = await open_webdav(server.url, known=KNOWN)
    assert await cloud.write(b"f", pieces(b"abcde"), 5, BASE) == BASE


async def test_folders_are_named_as_such(open_scripted: OpenScripted, open_webdav: OpenWebDav) -> None:
    server = await open_scripted(lambda _: response(201))
    cloud = await open_webdav(server.url, known=KNOWN)
    await cloud.move(b"a b", b"c d", kind=Kind.FOLDER)
    (seen,) = server.seen
    assert seen.target == "/a%20b/"
    assert seen.headers["destination"] == server.url + "c%20d/"
    assert seen.headers["overwrite"] == "F"


# --- refusals ---


PUT_REFUSALS = [
    (400, NameRefused),
    (401, Unauthorized),
    (403, AccessRefused),
    (404, NotFound),
    (405, PreconditionFailed),
    (409, NotFound),
    (412, PreconditionFailed),
    (413, FileTooLarge),
    (414, NameRefused),
    (422, NameRefused),
    (423, Locked),
    (429, TooManyRequests),
    (500, ServerError),
    (502, ServerError),
    (507, CloudStorageFull),
]


@pytest.mark.parametrize(("status", "cause"), PUT_REFUSALS)
async def test_a_refused_write(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, status: int, cause: type[CloudfsError]
) -> None:
    """The folder is there, and does not hold the name."""

    def script(request: SeenRequest) -> bytes:
        if request.method != "PROPFIND":
            return response(status)
        return multistatus(resource("/", FOLDER)) if request.target == "/" else response(404)

    server = await open_scripted(script)
    cloud = await open_webdav(server.url, known=KNOWN)
    with pytest.raises(cause) as caught:
        await cloud.write(b"f", pieces(b"abc"), 3, None)
    assert type(caught.value) is cause
    assert caught.value.status == status


async def test_retry_after_reaches_who_writes(open_scripted: OpenScripted, open_webdav: OpenWebDav) -> None:
    server = await open_scripted(lambda _: response(503, Retry_After="7"))
    cloud = await open_webdav(server.url, known=KNOWN)
    with pytest.raises(TooManyRequests) as caught:
        await cloud.write(b"f", pieces(b"abc"), 3, None)
    assert caught.value.retry_after == 7.0


async def test_a_probe_that_is_refused_is_the_writes_own_refusal(
    open_scripted: OpenScripted, open_webdav: OpenWebDav
) -> None:
    server = await open_scripted(lambda _: response(507))
    cloud = await open_webdav(server.url)
    with pytest.raises(CloudStorageFull):
        await cloud.write(b"d/f", pieces(b"abc"), 3, None)
    assert cloud.capabilities.conditional_writes is None
    assert {seen.target.rpartition("/")[0] for seen in server.seen} == {"/d"}
    assert {seen.method for seen in server.seen} == {"PUT", "DELETE"}


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "MOVE"])
async def test_a_name_that_differs_in_case_alone(
    open_odd: OpenOdd, open_webdav: OpenWebDav, method: str
) -> None:
    server = open_odd(Oddities(folds_case=True))
    cloud = await open_webdav(server.url, known=KNOWN)
    (server.root / "Readme").write_bytes(b"theirs")
    (server.root / "other").write_bytes(b"mine")
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "PUT": partial(cloud.write, b"README", pieces(b"mine"), 4, None),
        "MKCOL": partial(cloud.make_folder, b"README"),
        "MOVE": partial(cloud.move, b"other", b"README"),
    }
    with pytest.raises(NameRefused, match="case"):
        await changes[method]()
    assert (server.root / "Readme").read_bytes() == b"theirs"


@pytest.mark.parametrize("method", ["PUT", "MKCOL", "MOVE"])
async def test_a_name_of_which_the_server_makes_another(
    open_odd: OpenOdd, open_webdav: OpenWebDav, method: str
) -> None:
    server = open_odd(Oddities(composes_names=True))
    cloud = await open_webdav(server.url)
    (server.root / "other").write_bytes(b"mine")
    name = "cafe\u0301".encode()
    changes: dict[str, Callable[[], Awaitable[object]]] = {
        "PUT": partial(cloud.write, name, pieces(b"mine"), 4, None),
        "MKCOL": partial(cloud.make_folder, name),
        "MOVE": partial(cloud.move, b"other", name),
    }
    for _ in range(2):
        with pytest.raises(NameRefused, match="form"):
            await changes[method]()
    assert os.listdir(server.root) == ["other"]
    composed = "caf\u00e9".encode()
    await cloud.move(b"other", composed)
    assert os.listdir(os.fsencode(server.root)) == [composed]


async def test_a_folder_with_somebodys_upload_in_it_is_not_empty(
    open_odd: OpenOdd, open_webdav: OpenWebDav
) -> None:
    server = open_odd(Oddities(shows_torsos=True))
    cloud = await open_webdav(server.url, mount_id="ours")
    (server.root / "d").mkdir()
    upload = server.root / "d" / f".cloudfs-{mark('theirs')}-{'0' * 16}"
    upload.write_bytes(b"half")
    with pytest.raises(NotEmpty):
        await cloud.delete(b"d", None)
    parked = server.root / "d" / ".cloudfs-moved-theirs-7"
    os.utime(upload, (OLD_S, OLD_S))
    parked.write_bytes(b"precious")
    os.utime(parked, (OLD_S, OLD_S))
    with pytest.raises(NotEmpty):
        await cloud.delete(b"d", None)
    parked.unlink()
    await cloud.delete(b"d", None)  # given up long ago
    assert not (server.root / "d").exists()


# --- conditions of no use ---


async def test_a_server_that_misreads_right_tags(open_odd: OpenOdd, open_webdav: OpenWebDav) -> None:
    """Once a 412 is known to say nothing, a lock and a comparison do."""
    server = open_odd(Oddities(misreads_tags=True, misreads_if=True))
    (server.root / "f").write_bytes(b"first")
    (server.root / "g").write_bytes(b"taken")
    cloud = await open_webdav(server.url)
    with pytest.raises(PreconditionFailed):  # the body is spent
        await cloud.write(b"f", pieces(b"mine"), 4, await version(cloud, b"f"))
    assert cloud.capabilities.conditional_writes is False
    await cloud.write(b"f", pieces(b"mine"), 4, await version(cloud, b"f"))
    await cloud.move(b"f", b"g", replaces=await version(cloud, b"g"))
    assert (server.root / "g").read_bytes() == b"mine"
    stale = await version(cloud, b"g")
    (server.root / "g").write_bytes(b"theirs")
    with pytest.raises(PreconditionFailed):
        await cloud.delete(b"g", stale)
    await cloud.delete(b"g", await version(cloud, b"g"))
    assert os.listdir(server.root) == []


async def test_a_server_that_stays_weak_is_waited_for_once(
    open_scripted: OpenScripted, open_webdav: OpenWebDav, autojump_clock: trio.testing.MockClock
) -> None:
    entry = resource("/f", file_properties({"getcontentlength": "5", "getetag": 'W/"five"'}))

    def script(request: SeenRequest) -> bytes:
        if request.method == "PROPFIND":
            return multistatus(entry)
        return response(200, Lock_Token="<t>") if request.method == "LOCK" else response(204)

    server = await open_scripted(script)
    cloud = await open_webdav(server.url, known=KNOWN)
    began = trio.current_time()
    for _ in range(3):
        await cloud.write(b"f", pieces(b"abcde"), 5, Version('W/"five"', None, 5))
    assert 1.0 < trio.current_time() - began < 2.0
    methods = [seen.method for seen in server.seen]
    assert methods.count("LOCK") == methods.count("UNLOCK") == methods.count("PUT") == 3
    puts = [seen.headers for seen in server.seen if seen.method == "PUT"]
    assert {put["if"] for put in puts} == {"</f> (<t>)"}


async def test_apaches_first_second(apache: Apache, open_webdav: OpenWebDav) -> None:
    (apache.root / "f").write_bytes(b"first")
    (apache.root / "g").write_bytes(b"young")
    (apache.root / "h").write_bytes(b"young too")
    cloud = await open_webdav(apache.url, known=KNOWN)
    base = await version(cloud, b"f")
    assert not base.is_strong
    (apache.root / "f").write_bytes(b"other")
    with pytest.raises(PreconditionFailed):
        await cloud.write(b"f", pieces(b"mine"), 4, base)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(cloud.write, b"f", pieces(b"mine"), 4, await version(cloud, b"f"))
        nursery.start_soon(cloud.delete, b"h", await version(cloud, b"h"))
    (apache.root / "h").write_bytes(b"again young")
    await cloud.move(b"h", b"g", replaces=await version(cloud, b"g"))
    assert (apache.root / "f").read_bytes() == b"mine"
    assert (apache.root / "g").read_bytes() == b"again young"
    assert not (apache.root / "h").exists()


# --- races ---


async def test_of_two_writers_with_locks_one_wins(apache: Apache, open_webdav: OpenWebDav) -> None:
    Directory(apache.root).put(b"f", b"first")
    clouds = [await open_webdav(apache.url, known=UNCONDITIONAL) for _ in range(4)]
    base = await version(clouds[0], b"f")
    won: list[bytes] = []

    async def write(number: int, cloud: Cloud) -> None:
        content = b"by %d" % number
        try:
            await cloud.write(b"f", pieces(content), len(content), base)
        except (PreconditionFailed, Locked):
            return
        won.append(content)

    async with trio.open_nursery() as nursery:
        for number, cloud in enumerate(clouds):
            nursery.start_soon(write, number, cloud)
    assert won == [(apache.root / "f").read_bytes()]


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_long_upload_minds_what_came_meanwhile(
    apache: Apache, open_webdav: OpenWebDav, is_new: bool
) -> None:
    """Apache looks at the condition before the body alone."""
    outside = Directory(apache.root)
    cloud = await open_webdav(apache.url, known=KNOWN)
    base = None
    if not is_new:
        outside.put(b"f", b"first")
        base = await version(cloud, b"f")

    async def body() -> AsyncIterator[bytes]:
        yield bytes(1_000_000)
        outside.put(b"f", b"theirs")
        yield bytes(1_000_000)

    with pytest.raises(PreconditionFailed):
        await cloud.write(b"f", body(), 2_000_000, base)
    assert (apache.root / "f").read_bytes() == b"theirs"


async def test_a_long_upload_over_the_only_connection(
    apache: Apache, open_webdav: OpenWebDav, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloudfs.clouds.writes.LOOK_S", 0.05)
    cloud = await open_webdav(apache.url, known=KNOWN, max_connections=1)
    assert (await cloud.write(b"f", pieces(bytes(2_000_000)), 2_000_000, None)).size == 2_000_000
