"""What every Cloud does, on the one in memory, on Apache and on WsgiDAV."""

from __future__ import annotations

import pytest

from cloudfs.clouds.base import Cloud, Lane
from cloudfs.model.entry import RemotePath, Version
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    ContentNotFound,
    NameRefused,
    NotAFolder,
    NotFound,
    VersionChanged,
)
from tests.clouds.conftest import NAMES, Subject


async def read(cloud: Cloud, path: RemotePath, version: Version, start: int, stop: int) -> bytes:
    async with cloud.read(path, version, start, stop, Lane.DEMAND) as content:
        body = b"".join([chunk async for chunk in content.chunks()])
        assert content.stop - content.start == len(body)
        return body[start - content.start : stop - content.start]


async def test_a_listing_shows_files_and_folders(subject: Subject) -> None:
    subject.outside.put(b"one.txt", b"12345")
    subject.outside.put(b"sub/two.txt", b"")
    listing = await subject.cloud.list_folder(b"")
    found = {entry.name: (entry.kind, entry.size) for entry in listing.entries}
    assert found == {b"one.txt": (Kind.FILE, 5), b"sub": (Kind.FOLDER, 0)}
    assert listing.folder.kind is Kind.FOLDER
    assert listing.left_out == ()
    below = await subject.cloud.list_folder(b"sub")
    assert [(e.name, e.size) for e in below.entries] == [(b"two.txt", 0)]
    assert below.folder.name == b"sub"


async def test_an_empty_folder_has_an_empty_listing(subject: Subject) -> None:
    subject.outside.mkdir(b"empty")
    assert (await subject.cloud.list_folder(b"empty")).entries == ()


async def test_listing_what_is_missing(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.cloud.list_folder(b"missing")


async def test_listing_a_file(subject: Subject) -> None:
    subject.outside.put(b"f", b"abc")
    with pytest.raises(NotAFolder):
        await subject.cloud.list_folder(b"f")


async def test_stat_says_what_the_listing_says(subject: Subject) -> None:
    subject.outside.put(b"d/f", b"abc")
    (listed,) = (await subject.cloud.list_folder(b"d")).entries
    assert await subject.cloud.stat(b"d/f") == listed
    assert (await subject.cloud.stat(b"d")).kind is Kind.FOLDER
    assert (await subject.cloud.stat(b"")).kind is Kind.FOLDER
    with pytest.raises(NotFound):
        await subject.cloud.stat(b"d/g")


async def test_names_come_back_as_they_are(subject: Subject) -> None:
    for name in NAMES:
        subject.outside.put(b"names/" + name, name)
        subject.outside.mkdir(b"folders/" + name)
    listing = await subject.cloud.list_folder(b"names")
    assert {entry.name for entry in listing.entries} == set(NAMES)
    for entry in listing.entries:
        path = b"names/" + entry.name
        assert await read(subject.cloud, path, entry.version, 0, entry.size) == entry.name
        assert await subject.cloud.stat(path) == entry
    folders = await subject.cloud.list_folder(b"folders")
    assert {entry.name for entry in folders.entries} == set(NAMES)
    for name in NAMES:
        assert (await subject.cloud.list_folder(b"folders/" + name)).entries == ()


async def test_temporary_names_are_hidden(subject: Subject) -> None:
    subject.outside.put(b".cloudfs-upload", b"x")
    subject.outside.put(b".cloudfsrc", b"x")
    assert [e.name for e in (await subject.cloud.list_folder(b"")).entries] == [b".cloudfsrc"]


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 200_000), (70_000, 140_000), (199_999, 200_000)])
async def test_a_range_is_just_that_range(subject: Subject, start: int, stop: int) -> None:
    body = bytes(range(256)) * 800
    subject.outside.put(b"f", body[:200_000])
    version = (await subject.cloud.stat(b"f")).version
    assert await read(subject.cloud, b"f", version, start, stop) == body[start:stop]
    if (start, stop) != (0, 200_000):
        assert subject.cloud.capabilities.ranges is True


async def test_another_version_is_never_read(subject: Subject) -> None:
    subject.outside.put(b"f", b"old content")
    version = (await subject.cloud.stat(b"f")).version
    subject.outside.put(b"f", b"new content")
    with pytest.raises(VersionChanged):
        await read(subject.cloud, b"f", version, 0, 5)
    subject.outside.put(b"f", b"longer content")
    with pytest.raises(VersionChanged):
        await read(subject.cloud, b"f", version, 0, 5)
    now = (await subject.cloud.stat(b"f")).version
    assert await read(subject.cloud, b"f", now, 0, 6) == b"longer"


async def test_content_that_is_gone(subject: Subject) -> None:
    with pytest.raises(ContentNotFound):
        await read(subject.cloud, b"gone", Version('"x"', None, 4), 0, 4)


async def test_a_path_that_leads_elsewhere_is_no_name(subject: Subject) -> None:
    subject.outside.put(b"d/f", b"abc")
    with pytest.raises((NameRefused, NotFound)):
        await subject.cloud.make_folder(b"d/..")


async def test_quota_where_the_server_tells_it(subject: Subject) -> None:
    quota = await subject.cloud.quota()
    assert subject.cloud.capabilities.quota is (quota is not None)
    if quota is not None:
        assert quota.available is None or quota.available > 0
