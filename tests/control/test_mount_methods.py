"""Mount.*: what is pending, how a mount ends, and what the delete brake holds."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.control import parts
from cloudfs.model.enums import Priority, Scope
from cloudfs.model.errors import CloudStorageFull, NoNetwork
from cloudfs.model.node import ROOT as ROOT_INODE
from tests.control.desk import HEAD, CallFailed, Desk, open_desk, running
from tests.servers.memory_cloud import MemoryCloud

PATIENCE_S = 20
BRAKE = 3


@pytest.fixture
async def desk(tmp_path: Path, cloud: MemoryCloud) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path, cloud, delete_brake=BRAKE) as desk:
        yield desk


async def sync(desk: Desk, scope: Scope = Scope.FILES) -> str:
    """One sync to its end."""
    await desk.syncs[scope].start()
    return await end_of_sync(desk, scope)


async def end_of_sync(desk: Desk, scope: Scope = Scope.FILES) -> str:
    with trio.fail_after(PATIENCE_S):
        await desk.syncs[scope].wait_idle()
    return desk.syncs[scope].progress.state.name


async def until(is_true: Callable[[], Any]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not is_true():
            await trio.sleep(0.01)


async def status(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = await desk.call("Mount.status")
    return found


async def state_of(desk: Desk, path: str) -> dict[str, Any]:
    [row] = await desk.call("Mount.state", paths=[HEAD + path])
    return {key: row[key] for key in ("state", "location", "error")}


# --- pending ---


async def test_each_kind_of_change_is_pending_until_it_is_in_the_cloud(desk: Desk) -> None:
    await desk.write(b"new", b"1")
    await desk.write(b"Photos/2.jpg", b"2")
    await desk.write(b"a b.txt", b"changed")
    await desk.remove(b"empty")
    assert (await status(desk))["pending"] == 4
    assert await sync(desk) == "COMPLETED"
    assert (await status(desk))["pending"] == 1
    assert await sync(desk, Scope.GALLERY) == "COMPLETED"
    assert (await status(desk))["pending"] == 0


async def test_what_is_removed_before_it_was_sent_is_not_pending(desk: Desk) -> None:
    await desk.write(b"new", b"1")
    await desk.remove(b"new")
    assert (await status(desk))["pending"] == 0


async def test_states_of_a_change(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"new", b"")
    assert await state_of(desk, "new") == {"state": "STOPPED", "location": "local", "error": "NO_ERROR"}
    cloud.fail("write", CloudStorageFull("507"), path=b"new", times=None)
    assert await sync(desk) == "UPLOAD_FAILED"
    assert await state_of(desk, "new") == {
        "state": "STOPPED",
        "location": "local",
        "error": "CLOUD_STORAGE_FULL",
    }
    cloud.heal()
    assert await sync(desk) == "COMPLETED"
    assert await state_of(desk, "new") == {"state": "COMPLETED", "location": "both", "error": "NO_ERROR"}


async def test_a_running_upload_shows(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"new", bytes(1000))
    folder = await desk.tree.make_folder(ROOT_INODE, b"made", 0o755, 1000, 1000)
    assert (await state_of(desk, "made"))["state"] == "STOPPED"
    cloud.gate = trio.Event()
    await desk.syncs[Scope.FILES].start()
    assert (await state_of(desk, "new"))["state"] == "UPLOADING"  # queued: the sync is listing yet
    assert (await state_of(desk, "made"))["state"] == "UPLOADING"
    assert (await status(desk))["transfers"] == []
    cloud.chunk_latency_s = 0.2
    cloud.gate.set()
    await until(desk.uploads.running)
    [row] = (await status(desk))["transfers"]
    assert (row["path"], row["direction"]) == (str(desk.config.mount.path / "new"), "up")
    assert (await state_of(desk, "new"))["state"] == "UPLOADING"
    assert await end_of_sync(desk) == "COMPLETED"
    assert desk.tree.node(folder.inode).version is not None
    assert await desk.call("cloudSync.getFileSyncState", uri=[HEAD + "new", HEAD + "made"]) == [2, 2]


# --- umount ---


async def test_umount_refuses_while_changes_are_pending(desk: Desk) -> None:
    await desk.write(b"new", b"1")
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.umount")
    assert refused.value.code == 13900010
    assert refused.value.data["reason"].startswith("1 change is not in the cloud yet; --wait")
    await desk.write(b"new2", b"1")
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.umount")
    assert refused.value.data["reason"].startswith("2 changes are")
    assert not desk.ended.is_set()
    await desk.call("Mount.umount", force=True)
    assert desk.ended.is_set()


async def test_umount_that_waits_sends_also_what_was_stopped(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.call("FileSync.stop")
    await desk.write(b"new", b"1")
    await desk.write(b"Photos/2.jpg", b"2")
    await desk.call("Mount.umount", wait=True)
    assert desk.ended.is_set()
    assert cloud.content(b"new") == b"1"
    assert cloud.content(b"Photos/2.jpg") == b"2"
    assert desk.syncs[Scope.FILES].is_held
    assert desk.lines[0]["method"] == "Mount.sending"
    assert desk.lines[0]["params"] == {"pending": 2, "size": 2}


async def test_umount_that_waits_in_vain_names_what_cannot_go(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"stays", b"1")
    await desk.write(b"goes", b"2")
    await desk.write(b"open", b"3", is_closed=False)
    await desk.remove(b"empty")
    cloud.fail("write", CloudStorageFull("the cloud is full"), path=b"stays", times=None)
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.umount", wait=True)
    assert refused.value.code == 13900010
    root = str(desk.config.mount.path)
    assert {row["path"]: row["reason"] for row in refused.value.data["stuck"]} == {
        f"{root}/stays": "the cloud is full",
        f"{root}/open": "a program is writing it",
    }
    assert not desk.ended.is_set()
    assert cloud.content(b"goes") == b"2"


async def test_umount_that_waits_without_network_names_all(desk: Desk) -> None:
    await desk.write(b"new", b"1")
    await desk.remove(b"empty")
    desk.device.refusal = NoNetwork("the device has no network")
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.umount", wait=True)
    root = str(desk.config.mount.path)
    assert sorted((row["path"], row["reason"]) for row in refused.value.data["stuck"]) == [
        (f"{root}/empty", "the device has no network"),
        (f"{root}/new", "the device has no network"),
    ]


async def test_what_cannot_go_is_named_in_parts_where_it_is_much(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_MAX", 200)
    names = [f"new-{number}" for number in range(10)]
    for name in names:
        await desk.write(name.encode(), b"1")
    desk.device.refusal = NoNetwork("the device has no network")
    with pytest.raises(CallFailed) as refused:
        await desk.call("Mount.umount", wait=True)
    assert refused.value.data["reason"] == "what can't go to the cloud now: 10"
    rows = [*rows_before(desk), *refused.value.data["stuck"]]
    assert len(refused.value.data["stuck"]) < len(rows)
    assert sorted(row["path"] for row in rows) == [f"{desk.config.mount.path}/{name}" for name in names]


def rows_before(desk: Desk) -> list[Any]:
    """Those that came in parts, before the answer."""
    return [row for line in desk.lines if line["method"] == "Mount.rows" for row in line["params"]["rows"]]


async def test_umount_waits_for_what_comes_while_it_waits(desk: Desk, cloud: MemoryCloud) -> None:
    await desk.write(b"new", b"1")
    cloud.chunk_latency_s = 0.2
    async with trio.open_nursery() as nursery:

        async def umount() -> None:
            await desk.call("Mount.umount", wait=True)

        nursery.start_soon(umount)
        await until(desk.uploads.running)
        await desk.write(b"later", b"2")
    assert cloud.content(b"later") == b"2"
    assert desk.ended.is_set()


async def test_a_client_that_goes_away_calls_the_umount_off(
    desk: Desk, cloud: MemoryCloud, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.call("FileSync.stop")
    await desk.write(b"new", b"1")
    cloud.gate = trio.Event()
    request = {"jsonrpc": "2.0", "id": 1, "method": "Mount.umount", "params": {"wait": True}}
    async with running(desk.server.run):
        async with await trio.open_unix_socket(str(desk.config.socket)) as client:
            await client.send_all(json.dumps(request).encode() + b"\n")
            await client.receive_some()  # how far it is
            assert desk.syncs[Scope.FILES].is_running
        assert await end_of_sync(desk) == "STOPPED"
        cloud.gate.set()
        await trio.sleep(0.1)
        assert not desk.ended.is_set()
        assert (await status(desk))["pending"] == 1
        assert desk.syncs[Scope.FILES].is_held
    assert "bug" not in caplog.text
    assert b"new" not in cloud.paths()


# --- the delete brake ---


async def remove_many(desk: Desk, cloud: MemoryCloud) -> list[bytes]:
    names = [f"many-{number}".encode() for number in range(BRAKE + 1)]
    for name in names:
        cloud.put(name, b"x")
    await sync(desk)
    for name in names:
        await desk.remove(name)
    return names


async def test_held_deletes_made_here_are_confirmed(desk: Desk, cloud: MemoryCloud) -> None:
    names = await remove_many(desk, cloud)
    await desk.write(b"new", b"1")
    assert (await status(desk))["pending"] == len(names) + 1
    assert await sync(desk) == "UPLOAD_FAILED"
    found = await status(desk)
    assert (found["pending"], found["held_deletes"]) == (0, len(names))  # all else went on
    assert found["sync"]["files"]["held_deletes"] == {"here": len(names), "cloud": 0}
    assert found["sync"]["files"]["error"] == "NO_ERROR"
    await desk.call("Mount.confirm", scope="files")
    assert await end_of_sync(desk) == "COMPLETED"
    found = await status(desk)
    assert (found["pending"], found["held_deletes"]) == (0, 0)
    assert not any(name in cloud.paths() for name in names)


async def test_held_deletes_made_here_are_restored(desk: Desk, cloud: MemoryCloud) -> None:
    names = await remove_many(desk, cloud)
    assert await sync(desk) == "UPLOAD_FAILED"
    assert await desk.call("Mount.restore") == []
    assert await end_of_sync(desk) == "COMPLETED"
    assert (await status(desk))["held_deletes"] == 0
    for name in names:
        row = await state_of(desk, name.decode())
        assert (row["state"], name in cloud.paths()) == ("COMPLETED", True)


async def test_held_deletes_do_not_keep_a_mount_from_its_end(desk: Desk, cloud: MemoryCloud) -> None:
    await remove_many(desk, cloud)
    assert await sync(desk) == "UPLOAD_FAILED"
    await desk.call("Mount.umount")
    assert desk.ended.is_set()


async def test_what_the_cloud_lost_comes_back_where_its_content_is_here(
    desk: Desk, cloud: MemoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_PART_MAX", 1)
    names = [f"lost-{number}".encode() for number in range(BRAKE + 1)]
    for name in names:
        cloud.put(name, name)
    await sync(desk)
    inode = await desk.cache.resolve(names[0])
    desk.cache.start(inode, pid=1)
    await until(lambda: desk.store.held_bytes(inode) == len(names[0]))
    for name in names:
        cloud.remove(name)
    assert await sync(desk) == "DOWNLOAD_FAILED"
    assert (await status(desk))["sync"]["files"]["held_deletes"] == {"here": 0, "cloud": len(names)}
    root = str(desk.config.mount.path)
    (last,) = await desk.call("Mount.restore")
    assert sorted([*rows_before(desk), last]) == [f"{root}/{name.decode()}" for name in names[1:]]
    await end_of_sync(desk)
    assert cloud.content(names[0]) == names[0]
    assert (await status(desk))["sync"]["files"]["held_deletes"] == {"here": 0, "cloud": len(names) - 1}


async def test_recovered_files_are_named_while_there_are_any(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "recovered").mkdir()
    assert "recovered" not in await status(desk)
    (tmp_path / "recovered" / "report-1").write_text("mine")
    assert (await status(desk))["recovered"] == str(tmp_path / "recovered")


async def test_rows_of_what_is_about_to_go_are_left_out(desk: Desk, cloud: MemoryCloud) -> None:
    """While its removal is committed an entry is no longer there, though its row is."""
    inode = await desk.cache.resolve(b"folder/deep/file.bin")
    asked: list[list[dict[str, object]]] = []
    commit = desk.database.commit

    async def looked_at(work: Any, *, durable: bool = False) -> Any:
        asked.append(await desk.call("Mount.state", paths=[HEAD + "folder"], recursive=True))
        return await commit(work, durable=durable)

    desk.database.commit = looked_at  # type: ignore[method-assign]
    await desk.listings.remove([inode])
    shown = [[row["path"] for row in rows if "file.bin" in str(row["path"])] for rows in asked]
    assert shown[0] != []
    assert shown[-1] == []


async def test_a_row_never_shows_one_version_with_the_content_of_another(
    desk: Desk, cloud: MemoryCloud
) -> None:
    """Between the commit of a new version and the step in which it is shown, all is as before."""
    inode = await desk.cache.resolve(b"folder/deep/file.bin")
    await desk.transfers.hydrate(inode, Priority.ASKED)
    await until(lambda: not desk.store.is_in_use(inode))
    cloud.put(b"folder/deep/file.bin", b"shorter")
    asked: list[list[dict[str, Any]]] = []
    commit = desk.database.commit

    async def looked_at(work: Any, *, durable: bool = False) -> Any:
        result = await commit(work, durable=durable)
        asked.append(await desk.call("Mount.state", paths=[HEAD + "folder/deep"], recursive=True))
        return result

    desk.database.commit = looked_at  # type: ignore[method-assign]
    parent = desk.tree.node(inode).parent
    assert parent is not None
    await desk.listings.list_folder(parent)
    shown = [(row["processed"], row["size"]) for rows in asked for row in rows if row["size"]]
    assert shown[0] == (100_000, 100_000)
    assert shown[-1] == (0, 7)
    assert set(shown) == {shown[0], shown[-1]}
