"""A connection against daemons that die, hang, lie, or send nothing that can be read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from cloudfs.client import CloudFileCache, CloudSyncError, FileSync, SyncProgress, SyncState
from cloudfs.client.wire import LINE_MAX
from tests.client.conftest import Run
from tests.client.scripted import Client, daemon


async def code_of(call: Callable[[], Awaitable[object]]) -> int:
    with pytest.raises(CloudSyncError) as error:
        await call()
    return error.value.code


def die(client: Client) -> None:
    pass


def die_within_a_line(client: Client) -> None:
    client.send(b'{"jsonrpc":"2.0","id":1,"res')


def close_one_half(client: Client) -> None:
    client.connection.shutdown(socket.SHUT_WR)
    client.take_end()


def speak_http(client: Client) -> None:
    client.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    client.take_end()


def send_no_end_of_a_line(client: Client) -> None:
    client.send(bytes(LINE_MAX + 1))
    client.take_end()


def answer_another_way(client: Client) -> None:
    client.send(b'{"jsonrpc":"2.0","id":1}\n')
    client.take_end()


@pytest.mark.parametrize(
    "end",
    [die, die_within_a_line, close_one_half, speak_http, send_no_end_of_a_line, answer_another_way],
)
def test_a_lost_connection(end: Callable[[Client], None], run: Run, tmp_path: Path) -> None:
    """All calls under way end, and all later ones; so does the wait for an end."""
    codes: list[int] = []

    def serve(client: Client) -> None:
        client.take()
        client.take()
        end(client)

    async def program() -> None:
        async def note(call: Callable[[], Awaitable[object]]) -> None:
            codes.append(await code_of(call))

        async with FileSync(tmp_path / "sock") as sync:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(note, sync.start)
                tasks.start_soon(note, sync.stop)
                await sync.wait_lost()
            for call in (sync.get_last_sync_time, sync.run, partial(sync.on, "progress", print)):
                await note(call)
            await sync.off("progress")

    with daemon(tmp_path / "sock", serve):
        run(program)
    assert codes == [13600001] * 5


def test_a_wait_for_an_end_that_never_comes(run: Run, tmp_path: Path) -> None:
    def serve(client: Client) -> None:
        client.answer(client.take(), {"subscription": 1})
        client.answer(client.take())

    async def program() -> None:
        assert await code_of(FileSync(tmp_path / "sock").run) == 13600001

    with daemon(tmp_path / "sock", serve):
        run(program)


def test_a_daemon_that_sends_its_clients_away(run: Run, tmp_path: Path) -> None:
    """Its last word is what every call ends with, also where it closes before the call was sent."""
    last_word = {"code": 13900010, "message": "Try again.", "data": {"reason": "too many clients"}}

    async def program() -> None:
        async with FileSync(tmp_path / "sock") as sync:
            await sync.wait_lost()
            for call in (sync.start, sync.stop):
                with pytest.raises(CloudSyncError, match="too many clients") as error:
                    await call()
                assert error.value.code == 13900010

    with daemon(tmp_path / "sock", lambda client: client.say({"id": None, "error": last_word})):
        run(program)


def test_an_older_daemon(run: Run, tmp_path: Path) -> None:
    def serve(client: Client) -> None:
        error = {"code": -32601, "message": "Method not found"}
        client.say({"id": client.take()["id"], "error": error})
        client.answer(client.take(), 5)

    async def program() -> None:
        async with FileSync(tmp_path / "sock") as sync:
            assert await code_of(sync.start) == 13600001
            assert await sync.get_last_sync_time() == 5

    with daemon(tmp_path / "sock", serve):
        run(program)


def test_what_a_cancelled_call_leaves(run: Run, tmp_path: Path) -> None:
    """No half line, and nothing that was not begun."""
    uri = "file://x/" + "x" * 900_000  # more than the socket's buffers take

    def serve(client: Client) -> None:
        assert cancelled.wait(10)
        first, second = client.take(), client.take()
        assert (first["params"]["uri"], second["params"]["uri"]) == (uri, "file://x/y")
        client.answer(first)  # nobody waits for it any more
        client.answer(second)
        client.take_end()

    async def program() -> None:
        async with CloudFileCache(tmp_path / "sock") as cache:
            for _ in range(5):
                with anyio.move_on_after(0.02):
                    await cache.start(uri)
            cancelled.set()
            await cache.stop("file://x/y")

    cancelled = threading.Event()
    with daemon(tmp_path / "sock", serve):
        run(program)


def test_a_subscription_whose_caller_was_cancelled_is_ended(run: Run, tmp_path: Path) -> None:
    def serve(client: Client) -> None:
        asked = client.take()
        is_asked.set()
        stop = client.take()
        client.answer(asked, {"subscription": 9})
        client.say({"method": "FileSync.progress", "params": {"subscription": 9, "progress": {}}})
        off = client.take()
        assert (off["method"], off["params"]) == ("FileSync.off", {"event": "progress", "subscription": 9})
        client.answer(off)
        client.answer(stop)
        client.take_end()

    async def program() -> None:
        async with FileSync(tmp_path / "sock") as sync:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sync.on, "progress", print)
                await anyio.to_thread.run_sync(is_asked.wait)
                tasks.cancel_scope.cancel()
            await sync.stop()

    is_asked = threading.Event()
    with daemon(tmp_path / "sock", serve):
        run(program)


def test_a_listener_that_comes_while_the_block_is_left(run: Run, tmp_path: Path) -> None:
    """It hears nothing, and holds up nobody: another task's, and one that a listener registers."""

    def serve(client: Client) -> None:
        first = client.take()
        client.answer(first, {"subscription": 1})
        params = {"subscription": 1, "seq": 1, "progress": {"state": 4, "error": 0}}
        client.say({"method": "FileSync.progress", "params": params})
        late = client.take()
        assert is_left.wait(10)
        client.answer(late, {"subscription": 2})
        client.answer(client.take(), {"subscription": 3})
        client.take_end()

    async def program() -> None:
        async def listen(progress: SyncProgress) -> None:
            called.set()
            await anyio.to_thread.run_sync(is_left.wait)
            await sync.on("progress", fail)

        def fail(progress: SyncProgress) -> None:
            pytest.fail("it came too late")

        called = anyio.Event()
        async with anyio.create_task_group() as tasks, FileSync(tmp_path / "sock") as sync:
            await sync.on("progress", listen)
            await called.wait()
            tasks.start_soon(sync.on, "progress", fail)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(leave)

    async def leave() -> None:
        await anyio.wait_all_tasks_blocked()
        is_left.set()

    is_left = threading.Event()
    with daemon(tmp_path / "sock", serve):
        run(program)


def test_notices_of_what_was_skipped_and_what_nobody_asked_for(run: Run, tmp_path: Path) -> None:
    def serve(client: Client) -> None:
        asked = client.take()
        client.say({"method": "Mount.news", "params": {}})
        client.say({"method": "FileSync.progress", "params": {"subscription": 7, "seq": 1}})
        client.answer(asked, {"subscription": 1})
        params = {"subscription": 1, "skipped": [4, 9]}
        client.say({"method": "FileSync.progress", "params": params})
        params = {"subscription": 1, "seq": 10, "progress": {"state": 4, "error": 0}}
        client.say({"method": "FileSync.progress", "params": params})
        client.take_end()

    async def program() -> None:
        ended = anyio.Event()

        def listen(progress: SyncProgress) -> None:
            seen.append(progress.state)
            ended.set()

        async with FileSync(tmp_path / "sock") as sync:
            await sync.on("progress", listen, skipped=lambda first, last: seen.append((first, last)))
            await ended.wait()

    seen: list[object] = []
    with daemon(tmp_path / "sock", serve):
        run(program)
    assert seen == [(4, 9), SyncState.COMPLETED]
