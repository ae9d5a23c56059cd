"""Changes as every Cloud makes them, on servers that help and on servers that do not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from cloudfs.model.entry import TEMPORARY_PREFIX
from cloudfs.model.enums import Kind
from cloudfs.model.errors import (
    AlreadyExists,
    CloudfsError,
    NameRefused,
    NotAFolder,
    NotEmpty,
    NotFound,
    PreconditionFailed,
)
from tests.clouds.conftest import NAMES, Directory, OpenWebDav, Subject, pieces, version
from tests.servers.apache import Apache
from tests.servers.memory_cloud import MemoryCloud
from tests.servers.odd_wsgidav import Oddities, OddWsgiDav
from tests.servers.wsgidav import WsgiDav

ODD = {
    "torsos": Oddities(shows_torsos=True),
    "unconditional": Oddities(ignores_conditions=True, ignores_if=True),
    "lockless": Oddities(ignores_conditions=True, ignores_if=True, has_locks=False),
    "torsos-unconditional": Oddities(shows_torsos=True, ignores_conditions=True, ignores_if=True),
    "tagless": Oddities(has_tags=False),
    "go-like": Oddities(ignores_conditions=True, misreads_if=True),
}
# conditional writes, moves and deletes, whole writes
FOUND = {
    "apache": (True, True, True, True),
    "wsgidav": (True, False, False, True),
    "torsos": (True, False, False, False),
    "unconditional": (False, False, False, True),
    "lockless": (False, False, False, True),
    "torsos-unconditional": (False, False, False, False),
    "tagless": (False, False, False, True),
    "go-like": (False, True, False, True),
}


Server = Apache | WsgiDav | OddWsgiDav


@pytest.fixture(params=["memory", *FOUND])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server | None]:
    """None stands for the cloud in memory."""
    if request.param == "memory":
        yield None
    elif request.param in ODD:
        with OddWsgiDav(tmp_path, ODD[request.param]) as odd:
            yield odd
    else:
        yield request.getfixturevalue(request.param)


@pytest.fixture
async def subject(server: Server | None, open_webdav: OpenWebDav) -> AsyncIterator[Subject]:
    """A cloud, in whose server nothing hidden may be left in the end."""
    if server is None:
        memory = MemoryCloud()
        yield Subject(memory, memory)
        left = list(memory.paths())
    else:
        yield Subject(await open_webdav(server.url), Directory(server.root))
        left = [os.fsencode(name) for _, _, names in os.walk(server.root) for name in names]
    assert not [path for path in left if TEMPORARY_PREFIX in path]


async def test_what_a_server_keeps_to_is_found_out_once(
    server: Server | None, subject: Subject, request: pytest.FixtureRequest
) -> None:
    if server is None:
        return
    found = await subject.cloud.probe_writes()
    conditional = (found.conditional_writes, found.conditional_moves, found.conditional_deletes)
    assert (*conditional, found.whole_writes) == FOUND[request.node.callspec.params["server"]]
    assert found == subject.cloud.capabilities
    if isinstance(server, OddWsgiDav):
        before = len(server.seen)
        await subject.cloud.probe_writes()
        assert len(server.seen) == before


async def test_write_makes_and_replaces(subject: Subject) -> None:
    subject.outside.put(b"old", b"first")
    base = await version(subject.cloud, b"old")
    await subject.cloud.write(b"old", pieces(b"sec", b"ond"), 6, base)
    assert subject.outside.content(b"old") == b"second"
    await subject.cloud.write(b"new", pieces(b"made"), 4, None)
    assert subject.outside.content(b"new") == b"made"
    await subject.cloud.write(b"empty", pieces(), 0, None)
    assert subject.outside.content(b"empty") == b""


async def test_what_was_written_can_be_written_again(subject: Subject) -> None:
    """Also where its tag is weak at first, or there is none."""
    base = None
    for content in (b"one", b"two", b"three"):
        base = await subject.cloud.write(b"f", pieces(content), len(content), base)
        assert base.size == len(content)
        assert base.is_same_as(await version(subject.cloud, b"f"))
        assert subject.outside.content(b"f") == content
    assert base is not None
    await subject.cloud.delete(b"f", base)
    with pytest.raises(NotFound):
        await subject.cloud.stat(b"f")


async def test_a_large_body_comes_whole(subject: Subject) -> None:
    chunk = bytes(range(256)) * 256
    found = await subject.cloud.write(b"f", pieces(*[chunk] * 40), len(chunk) * 40, None)
    assert found.size == len(chunk) * 40
    assert subject.outside.content(b"f") == chunk * 40


async def test_write_never_overwrites_what_it_does_not_know(subject: Subject) -> None:
    subject.outside.put(b"f", b"first")
    base = await version(subject.cloud, b"f")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.write(b"f", pieces(b"mine"), 4, None)
    subject.outside.put(b"f", b"other")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.write(b"f", pieces(b"mine"), 4, base)
    assert subject.outside.content(b"f") == b"other"
    try:  # some move it there all the same: then it is there
        await subject.cloud.write(b"missing", pieces(b"mine"), 4, base)
    except PreconditionFailed:
        assert not (await subject.cloud.list_folder(b"")).entries[1:]
    else:
        assert subject.outside.content(b"missing") == b"mine"


async def test_a_name_in_a_missing_folder_or_below_a_file(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.cloud.write(b"missing/f", pieces(b"mine"), 4, None)
    with pytest.raises(NotFound):
        await subject.cloud.make_folder(b"missing/d")
    subject.outside.put(b"f", b"file")
    with pytest.raises(CloudfsError):
        await subject.cloud.write(b"f/g", pieces(b"mine"), 4, None)
    with pytest.raises(NotFound):
        await subject.cloud.move(b"f", b"missing/f")
    assert subject.outside.content(b"f") == b"file"


async def test_a_folder_is_never_written_over(subject: Subject) -> None:
    subject.outside.put(b"f", b"mine")
    base = await version(subject.cloud, b"f")
    subject.outside.put(b"d/inside", b"precious")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.write(b"d", pieces(b"mine"), 4, None)
    with pytest.raises(PreconditionFailed):
        await subject.cloud.write(b"d", pieces(b"mine"), 4, base)
    with pytest.raises(AlreadyExists):
        await subject.cloud.move(b"f", b"d")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.move(b"f", b"d", replaces=base)
    with pytest.raises(PreconditionFailed):
        await subject.cloud.delete(b"d", base)
    with pytest.raises(NotEmpty):
        await subject.cloud.delete(b"d", None)
    assert subject.outside.content(b"d/inside") == b"precious"
    assert subject.outside.content(b"f") == b"mine"


async def test_a_name_that_is_taken_makes_no_folder(subject: Subject) -> None:
    subject.outside.put(b"f", b"mine")
    await subject.cloud.make_folder(b"d")
    for name in (b"f", b"d"):
        with pytest.raises(AlreadyExists):
            await subject.cloud.make_folder(name)


async def test_delete_takes_only_the_version_it_names(subject: Subject) -> None:
    subject.outside.put(b"f", b"first")
    base = await version(subject.cloud, b"f")
    subject.outside.put(b"f", b"other")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.delete(b"f", base)
    await subject.cloud.delete(b"f", await version(subject.cloud, b"f"))
    for gone in (b"f", b"d/f"):
        with pytest.raises(NotFound):
            await subject.cloud.delete(gone, base)


async def test_delete_of_a_folder_and_of_nothing(subject: Subject) -> None:
    subject.outside.mkdir(b"d")
    subject.outside.put(b"f", b"first")
    await subject.cloud.delete(b"d", None)
    with pytest.raises(NotFound):
        await subject.cloud.delete(b"d", None)
    with pytest.raises(NotAFolder):
        await subject.cloud.delete(b"f", None)
    assert subject.outside.content(b"f") == b"first"


async def test_move_renames_files_and_folders(subject: Subject) -> None:
    subject.outside.put(b"d/f", b"abc")
    await subject.cloud.move(b"d/f", b"d/g h%")
    assert subject.outside.content(b"d/g h%") == b"abc"
    await subject.cloud.move(b"d", b"e", kind=Kind.FOLDER)
    assert subject.outside.content(b"e/g h%") == b"abc"
    with pytest.raises(NotFound):
        await subject.cloud.move(b"missing", b"x")


async def test_move_onto_a_taken_name(subject: Subject) -> None:
    subject.outside.put(b"f", b"mine")
    subject.outside.put(b"g", b"taken")
    with pytest.raises(AlreadyExists):
        await subject.cloud.move(b"f", b"g")
    stale = await version(subject.cloud, b"g")
    subject.outside.put(b"g", b"other")
    with pytest.raises(PreconditionFailed):
        await subject.cloud.move(b"f", b"g", replaces=stale)
    with pytest.raises(NotFound):
        await subject.cloud.move(b"missing", b"g", replaces=await version(subject.cloud, b"g"))
    assert subject.outside.content(b"g") == b"other"
    await subject.cloud.move(b"f", b"g", replaces=await version(subject.cloud, b"g"))
    assert subject.outside.content(b"g") == b"mine"
    # Whatever was locked is free again.
    await subject.cloud.delete(b"g", await version(subject.cloud, b"g"))


async def test_a_body_that_fails_changes_nothing(subject: Subject) -> None:
    subject.outside.put(b"f", b"first")
    base = await version(subject.cloud, b"f")

    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await subject.cloud.write(b"f", failing(), 400_000, base)
    with pytest.raises(InterruptedError):
        await subject.cloud.write(b"new", failing(), 400_000, None)
    await trio.sleep(0.1)  # for the server to notice
    assert subject.outside.content(b"f") == b"first"
    with pytest.raises(NotFound):
        await subject.cloud.stat(b"new")


async def test_a_write_that_is_cancelled_changes_nothing(subject: Subject) -> None:
    subject.outside.put(b"f", b"first")
    base = await version(subject.cloud, b"f")
    await subject.cloud.probe_writes()
    with trio.CancelScope() as scope:

        async def endless() -> AsyncIterator[bytes]:
            yield b"x" * 300_000
            scope.cancel()
            await trio.sleep_forever()

        await subject.cloud.write(b"f", endless(), 400_000, base)
    assert scope.cancelled_caught
    await trio.sleep(0.1)
    assert subject.outside.content(b"f") == b"first"
    # No lock of ours stands in the way.
    await subject.cloud.write(b"f", pieces(b"next"), 4, base)


async def test_odd_names_are_kept_or_refused(subject: Subject) -> None:
    """A file comes under just its name, or is refused; it never takes another's."""
    subject.outside.put(b"what", b"precious")
    subject.outside.put(b"a", b"precious")
    for number, name in enumerate([*NAMES, b"tab\there"]):
        made = b"n%d" % number
        try:
            await subject.cloud.write(name, pieces(name), len(name), None)
        except NameRefused:
            continue
        assert subject.outside.content(name) == name
        await subject.cloud.move(name, made)
        assert subject.outside.content(made) == name
        try:
            await subject.cloud.move(made, name)
        except NameRefused:
            assert subject.outside.content(made) == name
        else:
            assert subject.outside.content(name) == name
    assert subject.outside.content(b"what") == subject.outside.content(b"a") == b"precious"
