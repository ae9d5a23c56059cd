"""What clients can make the daemon hold: it is bounded, and the others are served meanwhile."""

from __future__ import annotations

import errno
import json
import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from cloudfs.control import admission, parts, server
from cloudfs.control.subscriptions import FOLLOWERS_MAX
from cloudfs.model.enums import Scope
from cloudfs.model.jsonrpc import LINE_MAX
from tests.control.client import Client, connected, request
from tests.control.desk import HEAD, Desk, open_desk, running
from tests.servers.memory_cloud import MemoryCloud

FILE = HEAD + "a%20b.txt"
ASKING = json.dumps(request(1, "FileSync.getLastSyncTime")).encode() + b"\n"


# --- how many ---


async def test_clients_beyond_the_limit_are_told_and_the_owner_still_gets_in(
    served: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admission, "CLIENTS_MAX", 6)
    monkeypatch.setattr(admission, "RESERVED", 2)
    async with AsyncExitStack() as stack:
        for _ in range(4):
            client = await stack.enter_async_context(connected(served))
            assert await client.call("FileSync.getLastSyncTime") == 0
        with pytest.MonkeyPatch.context() as others:
            others.setattr(type(served.methods.permissions), "is_owner", lambda self, caller: False)
            for _ in range(2):
                stranger = await stack.enter_async_context(connected(served))
                refusal = await stranger.line()
                assert (refusal["id"], refusal["error"]["code"]) == (None, 13900010)
                assert await stranger.line() is None
        owner = await stack.enter_async_context(connected(served))
        assert await owner.call("FileSync.getLastSyncTime") == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING], "said once"
    async with connected(served) as client:
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_a_process_out_of_descriptors_serves_who_is_there_and_lets_the_others_in_later(
    served: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, left = trio.SocketListener.accept, [OSError(errno.EMFILE, os.strerror(errno.EMFILE))] * 3

    async def accept_later(listener: trio.SocketListener) -> trio.SocketStream:
        if left:
            raise left.pop()
        return await accept(listener)

    async with connected(served) as before:
        assert await before.call("FileSync.getLastSyncTime") == 0
        monkeypatch.setattr(trio.SocketListener, "accept", accept_later)
        monkeypatch.setattr(server, "_ACCEPT_AGAIN_S", 0.01)
        async with connected(served) as last, connected(served) as waiting:
            assert await last.call("FileSync.getLastSyncTime") == 0  # it was being accepted already
            assert await before.call("FileSync.getLastSyncTime") == 0
            assert await waiting.call("FileSync.getLastSyncTime") == 0
    assert not left
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "Too many open files" in record.getMessage()
    assert record.exc_info is None


async def test_a_connection_follows_the_journal_a_few_times(served: Desk) -> None:
    async with connected(served) as client:
        for _ in range(FOLLOWERS_MAX):
            await client.call("Mount.events")
        await client.send(request(1, "Mount.events"))
        assert (await client.line())["error"]["code"] == 13900010
        await client.call("CloudFileCache.on", event="progress")


async def test_ten_thousand_subscriptions_are_refused_one_by_one(served: Desk) -> None:
    async with connected(served) as client, trio.open_nursery() as nursery:
        calls = [request(n, "CloudFileCache.on", event="progress", scope="all") for n in range(10_000)]
        nursery.start_soon(client.send, *calls)
        answers = [await client.line() for _ in calls]
        assert [answer["id"] for answer in answers] == list(range(10_000))
        assert [answer["result"]["subscription"] for answer in answers[:256]] == list(range(1, 257))
        assert {answer["error"]["code"] for answer in answers[256:]} == {13900010}


# --- what was sent ---


async def test_idle_half_lines_are_bounded_and_short_ones_always_work(
    served: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty clients with a megabyte each, of which none ends: the room has 32 MiB."""
    async with AsyncExitStack() as stack:
        idle = [await stack.enter_async_context(connected(served)) for _ in range(40)]
        half = b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (LINE_MAX - 100)
        for client in idle:
            await client.stream.send_all(half)
        await trio.testing.wait_all_tasks_blocked(cushion=0.01)
        refused = [await _told(client) for client in idle]
        assert sum(refused) in range(6, 11), "those that came when it was full"
        late = await stack.enter_async_context(connected(served))
        await late.stream.send_all(b'{"x":"' + b"x" * (LINE_MAX - 100) + b'"}\n' + ASKING)
        answers = [await late.line(), await late.line()]
        assert (answers[0]["id"], answers[0]["error"]["code"]) == (None, -32600)
        assert answers[1]["result"] == 0
        for client, was_refused in zip(idle, refused, strict=True):
            if was_refused:
                await client.stream.send_all(b"\n" + ASKING)
                assert (await client.line())["result"] == 0
            else:
                await client.stream.send_all(b'"}\n')
                assert (await client.line())["error"]["code"] == -32601
        await late.stream.send_all(half + b'"}\n')
        assert (await late.line())["error"]["code"] == -32601, "there is room again"


async def _told(client: Client) -> bool:
    """Whether the daemon, which has read all by now, has refused the client's line."""
    with trio.move_on_after(0.05):
        refusal = await client.line()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        return True
    return False


async def test_who_breaks_off_gives_its_room_back(served: Desk) -> None:
    for _ in range(3):
        async with AsyncExitStack() as stack:
            for _ in range(20):
                client = await stack.enter_async_context(connected(served))
                await client.stream.send_all(b"x" * LINE_MAX)
        await trio.testing.wait_all_tasks_blocked()
    async with connected(served) as client:
        await client.stream.send_all(b"x" * LINE_MAX + b"\n")
        assert (await client.line())["error"]["code"] == -32700


async def test_who_pipelines_and_never_reads_is_not_read_from(served: Desk) -> None:
    calls = b"".join(
        json.dumps(request(n, "cloudSync.getFileSyncState", uri=[FILE] * 100)).encode() + b"\n"
        for n in range(20)
    )
    async with connected(served) as deaf, connected(served) as client:
        sent = 0
        with trio.move_on_after(0.3):
            while True:
                await deaf.stream.send_all(calls)
                sent += len(calls)
        assert sent < 4 * LINE_MAX, "what the kernel's buffers take"
        assert await client.call("FileSync.getLastSyncTime") == 0


# --- what is answered ---


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PART_MAX", 10_000)


@pytest.fixture
async def wide(tmp_path: Path, cloud: MemoryCloud) -> Any:
    """A desk that knows a folder of 3,000 files."""
    for number in range(3000):
        cloud.put(b"wide/%04d" % number, b"x")
    async with open_desk(tmp_path, cloud) as desk, running(desk.server.run):
        await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "wide/0000"])
        yield desk


@pytest.mark.usefixtures("small_parts")
async def test_a_long_state_comes_in_parts(wide: Desk) -> None:
    async with connected(wide) as client:
        await client.send(
            request("long", "Mount.state", paths=[HEAD + "wide", FILE], recursive=True),
            {"jsonrpc": "2.0", "method": "Mount.state", "params": {"paths": [HEAD], "recursive": True}},
            request(2, "Mount.state", paths=[FILE], recursive=True),
        )
        rows: list[Any] = []
        lines = [line async for line in _until_answered(client, "long", rows)]
        assert len(lines) > 50
        assert max(map(len, lines)) < 11_000
        paths = [row["path"].rpartition("/")[2] for row in rows]
        assert paths == ["wide", *(f"{number:04}" for number in range(3000)), "a b.txt"]
        answer = await client.line()
        assert (answer["id"], len(answer["result"])) == (2, 1)


async def _until_answered(client: Client, number: Any, rows: list[Any]) -> Any:
    while True:
        text = await client.text()
        assert text is not None
        yield text
        line = json.loads(text)
        if line.get("id") == number:
            rows += line["result"]
            return
        assert (line["method"], line["params"]["id"]) == ("Mount.rows", number)
        rows += line["params"]["rows"]


async def test_the_answer_to_a_batch_is_bounded(wide: Desk) -> None:
    """Each of the calls has 250 KiB to answer."""
    uris = [f"{HEAD}wide/{number:04}" for number in range(700)]
    asking = {"paths": uris, "recursive": False}
    line = [
        {"jsonrpc": "2.0", "id": number, "method": "Mount.state", "params": asking} for number in range(12)
    ]
    line += [{"jsonrpc": "2.0", "method": "GallerySync.stop"}, {"foo": "boo"}]
    async with connected(wide) as client:
        await client.send(line)
        text = await client.text()
        assert text is not None
        answers = json.loads(text)
        assert len(text) < 1.5 * LINE_MAX
        assert answers.pop()["error"]["code"] == -32600
        assert [answer["id"] for answer in answers] == list(range(12))
        done = [answer for answer in answers if "result" in answer]
        assert 4 <= len(done) < 12
        assert {answer["error"]["code"] for answer in answers[len(done) :]} == {13900010}
        assert wide.syncs[Scope.GALLERY].is_held, "a notification has no answer that could be too long"


@pytest.mark.usefixtures("small_parts")
async def test_who_asks_for_a_huge_tree_and_does_not_read_holds_up_nobody(wide: Desk) -> None:
    shown = wide.states.state
    count = 0

    def counted(inode: int) -> Any:
        nonlocal count
        count += 1
        return shown(inode)

    wide.states.state = counted  # type: ignore[method-assign]
    async with connected(wide) as deaf, connected(wide) as client:
        await deaf.send(request(1, "Mount.state", paths=[HEAD + "wide"], recursive=True))
        await trio.testing.wait_all_tasks_blocked()
        assert count < 3000, "it stopped where the client's buffer was full"
        assert await client.call("cloudSync.getFileSyncState", uri=[FILE]) == [2]
        rows: list[Any] = []
        async for _ in _until_answered(deaf, 1, rows):
            pass
        assert len(rows) == 3001
