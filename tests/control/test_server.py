"""The socket itself: who listens, who is let in, and what clients of every kind do to it."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.control.callers import peer_of
from cloudfs.control.connection import IN_FLIGHT
from cloudfs.control.server import ControlServer
from cloudfs.control.subscriptions import SUBSCRIPTIONS_MAX
from cloudfs.model.enums import EventClass, State
from cloudfs.model.errors import LocalIOError
from cloudfs.model.progress import DownloadProgress
from tests.control.client import PATIENCE_S, Client, connected, request
from tests.control.desk import HEAD, Desk, running
from tests.servers.memory_cloud import MemoryCloud

FILE = HEAD + "a%20b.txt"


# --- the socket ---


async def test_mode_folder_and_end(desk: Desk) -> None:
    path = desk.config.socket
    async with running(desk.server.run):
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.stat().st_uid == path.parent.stat().st_uid == os.geteuid()
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


async def test_a_socket_for_others_lies_in_a_folder_they_can_pass(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "shared" / "name.sock"
    server = ControlServer(path, 0o666, desk.methods, events=desk.events, may_read=desk.mode_bits.may_read)
    async with running(server.run):
        assert stat.S_IMODE(path.stat().st_mode) == 0o666
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711


async def test_a_stale_socket_is_replaced(desk: Desk) -> None:
    path = desk.config.socket
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    async with running(desk.server.run), connected(desk) as client:
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_a_live_one_is_refused_and_stays(served: Desk) -> None:
    other = ControlServer(
        served.config.socket, 0o600, served.methods, events=served.events, may_read=lambda caller, inode: True
    )
    with pytest.raises(LocalIOError, match="another daemon"):
        await other.run()
    async with connected(served) as client:
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_what_is_no_socket_is_left_alone(desk: Desk) -> None:
    path = desk.config.socket
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(LocalIOError):
        await desk.server.run()
    assert path.read_text() == "mine"


async def test_a_path_too_long(desk: Desk, tmp_path: Path) -> None:
    server = ControlServer(
        tmp_path / ("x" * 120), 0o600, desk.methods, events=desk.events, may_read=lambda caller, inode: True
    )
    with pytest.raises(LocalIOError, match="longer than"):
        await server.run()


def test_the_peer_is_known() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        caller = peer_of(ours)
    assert (caller.pid, caller.uid) == (os.getpid(), os.geteuid())
    assert caller.groups >= {os.getegid(), *os.getgroups()}


# --- requests ---


async def test_the_example_of_the_contract(served: Desk, cloud: MemoryCloud) -> None:
    async with connected(served) as client:
        assert await client.call("CloudFileCache.on", event="progress") == {"subscription": 1}
        await client.send(request(2, "CloudFileCache.start", uri=FILE))
        assert await client.line() == {"jsonrpc": "2.0", "id": 2, "result": None}
        progress: dict[str, Any] = {}
        while progress.get("state") != State.COMPLETED:
            event = await client.line()
            assert event["method"] == "CloudFileCache.progress"
            assert event["params"]["subscription"] == 1
            progress = event["params"]["progress"]
            assert progress["uri"] == FILE
        assert progress == {"state": 1, "processed": 5, "size": 5, "uri": FILE, "error": 0}
        assert await client.call("cloudSync.getFileSyncState", uri=[FILE]) == [2]


async def test_pipelined_requests_keep_their_order(served: Desk) -> None:
    async with connected(served) as client:
        methods = ["FileSync.stop", "FileSync.getLastSyncTime", "Mount.status"] * 20
        await client.send(*(request(number, method) for number, method in enumerate(methods)))
        answers = [await client.line() for _ in methods]
    assert [answer["id"] for answer in answers] == list(range(len(methods)))


async def test_a_folder_never_listed_holds_up_nobody(served: Desk, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    async with connected(served) as client:
        await client.send(
            request("slow", "CloudFileCache.start", uri=FILE),
            request("fast", "FileSync.getLastSyncTime"),
        )
        assert (await client.line())["id"] == "fast"
        cloud.gate.set()
        assert await client.line() == {"jsonrpc": "2.0", "id": "slow", "result": None}


async def test_batches(served: Desk) -> None:
    async with connected(served) as client:
        await client.send(
            [
                request(1, "FileSync.getLastSyncTime"),
                {"jsonrpc": "2.0", "method": "FileSync.stop"},
                {"foo": "boo"},
                request("5", "nothing"),
            ],
            [{"jsonrpc": "2.0", "method": "FileSync.stop"}],
            request(9, "GallerySync.getLastSyncTime"),
        )
        answers = await client.line()
        assert [answer.get("result", answer.get("error", {}).get("code")) for answer in answers] == [
            0,
            -32600,
            -32601,
        ]
        assert (await client.line())["id"] == 9  # a batch of notifications has no answer at all


async def test_nonsense_does_not_end_the_connection(served: Desk) -> None:
    async with connected(served) as client:
        await client.stream.send_all(
            b"\xff\x00\n" + b"[" * 100_000 + b"\n" + b"x" * (3 * 1024 * 1024) + b"\n"
        )
        codes = [(await client.line())["error"]["code"] for _ in range(3)]
        assert codes == [-32700, -32700, -32600]
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_a_client_that_closes_its_side_gets_all_answers(served: Desk, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    async with connected(served) as client:
        await client.stream.send_all(json.dumps(request(1, "CloudFileCache.start", uri=FILE)).encode())
        await client.stream.send_eof()
        await trio.testing.wait_all_tasks_blocked()
        cloud.gate.set()
        assert (await client.line())["id"] == 1
        assert await client.line() is None


async def test_a_download_outlives_its_client(served: Desk) -> None:
    async with connected(served) as client:
        await client.call("CloudFileCache.start", uri=FILE)
    inode = await served.cache.resolve(served.cache.parse(FILE))
    with trio.fail_after(PATIENCE_S):
        while served.store.held_bytes(inode) < 5:
            await trio.sleep(0.01)


async def test_clients_that_break_off_at_any_moment(served: Desk) -> None:
    for cut in range(0, 80, 7):
        async with connected(served) as client:
            await client.stream.send_all(json.dumps(request(1, "Mount.status")).encode()[:cut] + b"\n")
        async with connected(served) as client:
            await client.send(*(request(number, "Mount.status") for number in range(cut)))
    async with connected(served) as client:
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_hundreds_of_clients(served: Desk) -> None:
    answered = 0

    async def ask() -> None:
        nonlocal answered
        async with connected(served) as client:
            await client.call("FileSync.on", event="progress")
            await client.line()
            assert await client.call("FileSync.getLastSyncTime") == 0
            answered += 1

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            nursery.start_soon(ask)
    assert answered == 300


async def test_a_client_that_does_not_read_is_not_read_from(served: Desk) -> None:
    """What it sends stays in its own buffers, and others are served."""
    call = json.dumps(request(1, "Mount.status")).encode() + b"\n"
    async with connected(served) as deaf, connected(served) as client:
        sent = 0
        with trio.move_on_after(1):
            while True:
                await deaf.stream.send_all(call * 100)
                sent += 100
        assert sent < 100_000
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_too_many_subscriptions(served: Desk) -> None:
    async with connected(served) as client:
        for _ in range(SUBSCRIPTIONS_MAX):
            await client.call("CloudFileCache.on", event="progress")
        await client.send(request(1, "CloudFileCache.on", event="progress"))
        assert (await client.line())["error"]["code"] == 13900010
        assert await client.call("CloudFileCache.off", event="progress") is None
        await client.call("CloudFileCache.on", event="progress")


async def test_more_slow_requests_than_may_be_in_flight(served: Desk, cloud: MemoryCloud) -> None:
    cloud.gate = trio.Event()
    async with connected(served) as client:
        await client.send(*(request(n, "CloudFileCache.start", uri=FILE) for n in range(3 * IN_FLIGHT)))
        await trio.testing.wait_all_tasks_blocked()
        cloud.gate.set()
        assert sorted([(await client.line())["id"] for _ in range(3 * IN_FLIGHT)]) == list(
            range(3 * IN_FLIGHT)
        )


# --- events ---


async def test_on_repeats_the_current_event_with_its_number(served: Desk) -> None:
    async with connected(served) as client:
        assert await client.call("FileSync.on", event="progress") == {"subscription": 1}
        first = await client.line()
        assert first == {
            "jsonrpc": "2.0",
            "method": "FileSync.progress",
            "params": {"subscription": 1, "seq": 0, "progress": {"state": 4, "error": 0}},
        }
        await client.call("FileSync.start")
        seen = [await client.line(), await client.line()]
        assert [event["params"]["seq"] for event in seen] == [1, 2]
        assert [event["params"]["progress"]["state"] for event in seen] == [2, 4]
        await client.send(request(3, "FileSync.on", event="progress"))
        assert (await client.line())["result"] == {"subscription": 2}
        again = (await client.line())["params"]
        assert again == {"subscription": 2, "seq": 2, "progress": {"state": 4, "error": 0}}


async def test_off_ends_one_or_all(served: Desk) -> None:
    async with connected(served) as client:
        for _ in range(3):
            await client.call("CloudFileCache.on", event="progress")
        assert await client.call("CloudFileCache.off", event="progress", subscription=2) is None
        assert await client.call("CloudFileCache.off", event="progress", subscription=99) is None
        assert await client.call("Download.off", event="progress") is None
        await client.call("CloudFileCache.start", uri=HEAD + "empty")
        assert [(await client.line())["params"]["subscription"] for _ in range(2)] == [1, 3]
        await client.call("CloudFileCache.off", event="progress")
        await client.call("CloudFileCache.start", uri=HEAD + "empty")
        assert await client.call("FileSync.getLastSyncTime") == 0


async def test_own_and_all(served: Desk) -> None:
    plain = "file:///data/storage/el2/cloud/a b.txt"
    async with connected(served) as starter, connected(served) as other:
        await other.call("CloudFileCache.on", event="progress")
        await other.call("CloudFileCache.on", event="progress", scope="all")
        await starter.call("CloudFileCache.on", event="progress")
        await starter.call("CloudFileCache.start", uri=plain)
        assert await last_uri(starter, 1) == plain
        assert await last_uri(other, 2) == FILE


async def test_what_others_start_later_is_not_own(served: Desk) -> None:
    async with connected(served) as client, connected(served) as other:
        await client.call("CloudFileCache.on", event="progress")
        await client.call("CloudFileCache.start", uri=HEAD + "empty")
        assert (await client.line())["params"]["progress"]["state"] == State.COMPLETED
        await other.call("CloudFileCache.on", event="progress")
        await other.call("CloudFileCache.start", uri=HEAD + "empty")
        assert (await other.line())["params"]["progress"]["state"] == State.COMPLETED
        assert await client.call("FileSync.getLastSyncTime") == 0  # and no event before it


async def test_started_stopped_and_started_again(served: Desk, cloud: MemoryCloud) -> None:
    """Every start's end reaches its connection, however quickly they follow."""
    cloud.latency_s = 0.05
    async with connected(served) as client:
        await client.call("CloudFileCache.on", event="progress")
        await client.call("cloudSync.getFileSyncState", uri=[FILE])
        await client.send(
            request(1, "CloudFileCache.start", uri=FILE),
            request(2, "CloudFileCache.stop", uri=FILE),
            request(3, "CloudFileCache.start", uri=FILE),
        )
        ends: list[State] = []
        while len(ends) < 2:
            line = await client.line()
            state = line.get("params", {}).get("progress", {}).get("state")
            if state is not None and state != State.RUNNING:
                ends.append(State(state))
        assert ends == [State.STOPPED, State.COMPLETED]


async def test_a_gallery_file_started_by_its_path_reaches_who_started_it(served: Desk) -> None:
    uri = HEAD + "Photos/1.jpg"
    async with connected(served) as client, connected(served) as viewer:
        await viewer.call("Download.on", event="progress", scope="all")
        await client.call("CloudFileCache.on", event="progress")
        await client.call("CloudFileCache.start", uri=uri)
        assert await last_uri(client, 1) == uri
        assert await last_uri(viewer, 1) == uri


async def test_following_the_journal(served: Desk) -> None:
    async with connected(served) as client, connected(served) as late:
        await client.call("CloudFileCache.start", uri=HEAD + "empty")
        await client.call("CloudFileCache.start", uri=FILE)
        assert await client.call("Mount.events", since=0) == {"subscription": 1}
        seen = [await client.line()]
        while seen[-1]["params"]["progress"]["state"] != 1 or len(seen) == 1:
            seen.append(await client.line())
        assert {event["method"] for event in seen} == {"Mount.event"}
        assert [event["params"]["seq"] for event in seen] == list(range(1, len(seen) + 1))
        assert set(seen[0]["params"]) == {"subscription", "seq", "time", "class", "progress"}
        assert seen[0]["params"]["class"] == "CloudFileCache"
        await late.call("Mount.events", since=len(seen) - 1)
        assert (await late.line())["params"] == seen[-1]["params"]


async def test_a_reader_that_falls_behind_loses_no_end(served: Desk) -> None:
    """Far more events than are kept for it, while it does not read."""
    count = 3000
    async with connected(served) as client:
        await client.call("CloudFileCache.on", event="progress", scope="all")
        inode = await served.cache.resolve(served.cache.parse(FILE))
        for number in range(count):
            for state in (State.RUNNING, State.COMPLETED):
                progress = DownloadProgress(state, number, count, FILE)
                served.events.publish(EventClass.CLOUD_FILE_CACHE, progress, inode)
            if number % 100 == 0:
                await trio.sleep(0)
        with trio.fail_after(PATIENCE_S):
            await served.events.wait_beyond(count - 1)
        ends: list[int] = []
        last = 0
        while len(ends) < count:
            params = (await client.line())["params"]
            first, to = params.get("skipped") or (params["seq"], params["seq"])
            assert first == last + 1
            last = to
            if "progress" in params and params["progress"]["state"] == State.COMPLETED:
                ends.append(params["progress"]["processed"])
        assert ends == list(range(count))


async def last_uri(client: Client, subscription: int) -> str:
    """The URI in the end of a download."""
    while True:
        params = (await client.line())["params"]
        assert params["subscription"] == subscription
        if params["progress"]["state"] != State.RUNNING:
            assert params["progress"]["state"] == State.COMPLETED
            return str(params["progress"]["uri"])
