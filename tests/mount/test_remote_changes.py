"""What others change in the cloud appears here; errors never delete, mass deletes wait."""

from __future__ import annotations

import os
import time

from tests.mount.conftest import Mounts
from tests.mount.harness import wait_until
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy


def test_new_changed_and_deleted_files_appear_after_a_sync(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "same.txt").write_text("same")
    (apache.root / "edited.txt").write_text("one")
    (apache.root / "gone.txt").write_text("gone")
    mount = mounts(apache.url, sync={"auto": False})
    assert mount.sync() == "COMPLETED"
    assert (mount.path / "edited.txt").read_text() == "one"
    inode = (mount.path / "same.txt").stat().st_ino
    (apache.root / "edited.txt").write_text("two!")
    (apache.root / "gone.txt").unlink()
    (apache.root / "new" / "deep").mkdir(parents=True)
    (apache.root / "new" / "deep" / "n.txt").write_text("new")
    assert not (mount.path / "new").exists(), "with auto = false only a start moves changes"
    assert mount.sync() == "COMPLETED"
    assert (mount.path / "edited.txt").read_text() == "two!"
    assert not (mount.path / "gone.txt").exists()
    assert (mount.path / "new" / "deep" / "n.txt").read_text() == "new"
    assert (mount.path / "same.txt").stat().st_ino == inode


def test_automatic_syncs_bring_changes_by_themselves(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"interval": "500ms"})
    assert list(mount.path.iterdir()) == []
    (apache.root / "new.txt").write_text("new")
    wait_until(
        lambda: (mount.path / "new.txt").exists(), "a negative answer is forgotten when the file comes"
    )
    assert (mount.path / "new.txt").read_text() == "new"


def test_a_change_of_the_same_size_within_a_second_is_seen(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "file.txt").write_text("aaaa")
    mount = mounts(apache.url, sync={"auto": False})
    mount.sync()
    assert (mount.path / "file.txt").read_text() == "aaaa"
    (apache.root / "file.txt").write_text("bbbb")
    os.utime(apache.root / "file.txt", (1_790_000_000, 1_790_000_000))
    mount.sync()
    assert (mount.path / "file.txt").read_text() == "bbbb"


def test_an_open_file_keeps_its_old_content_and_the_next_open_gets_the_new(
    apache: Apache, mounts: Mounts
) -> None:
    (apache.root / "file.txt").write_text("old content")
    mount = mounts(apache.url, sync={"auto": False})
    mount.sync()
    with (mount.path / "file.txt").open() as file:
        assert file.read(3) == "old"
        wait_until(lambda: mount.xattr("location", "file.txt") == "both", "hydrated")
        (apache.root / "file.txt").write_text("NEW CONTENT, LONGER")
        mount.sync()
        file.seek(0)
        assert file.read() == "old content"
        assert (mount.path / "file.txt").read_text() == "NEW CONTENT, LONGER"


def test_mass_deletes_in_the_cloud_wait_for_a_confirmation(apache: Apache, mounts: Mounts) -> None:
    for i in range(8):
        (apache.root / f"{i}.txt").write_text(str(i))
    mount = mounts(apache.url, sync={"auto": False, "delete_brake": 5})
    mount.sync()
    for i in range(8):
        (apache.root / f"{i}.txt").unlink()
    (apache.root / "new.txt").write_text("new")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert mount.status()["held_deletes"] == 8
    assert (mount.path / "0.txt").exists()
    assert (mount.path / "new.txt").exists(), "all else in that sync goes on"
    mount.call("Mount.confirm", scope="files")
    wait_until(lambda: not (mount.path / "0.txt").exists(), "confirmed deletes are carried out")
    wait_until(lambda: mount.status()["held_deletes"] == 0, "nothing is held")


def test_a_moved_folder_is_no_mass_delete(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "old").mkdir()
    for i in range(8):
        (apache.root / "old" / f"{i}.txt").write_text("x" * (i + 1))
    time.sleep(1.1)  # strong tags from now on
    mount = mounts(apache.url, sync={"auto": False, "delete_brake": 5})
    mount.sync()
    (apache.root / "old").rename(apache.root / "renamed")
    assert mount.sync() == "COMPLETED"
    assert [p.name for p in mount.path.iterdir()] == ["renamed"]
    assert (mount.path / "renamed" / "3.txt").read_text() == "xxxx"


def test_one_refused_folder_holds_up_no_other(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    for name in ("open", "secret"):
        (apache.root / name).mkdir()
        (apache.root / name / "a.txt").write_text(name)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    proxy.faults.add(Answer(403), method="PROPFIND", target="/secret")
    assert mount.sync() == "DOWNLOAD_FAILED"
    assert (mount.path / "open" / "a.txt").read_text() == "open"
    (apache.root / "open" / "b.txt").write_text("b")
    mount.sync()
    assert (mount.path / "open" / "b.txt").read_text() == "b"


def test_stop_stays_stopped_across_a_remount_until_start(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"interval": "300ms"})
    wait_until(lambda: mount.status()["sync"]["files"]["last_sync_time"], "a first sync")
    mount.call("FileSync.stop")
    mount.stop()
    mount.start()
    assert mount.status()["sync"]["files"]["held"] is True
    (apache.root / "new.txt").write_text("new")
    time.sleep(1)
    list(mount.path.iterdir())
    assert not (mount.path / "new.txt").exists()
    assert mount.sync() == "COMPLETED"
    assert (mount.path / "new.txt").exists()


def test_a_pin_is_hydrated_by_the_next_sync_also_when_the_file_is_new(apache: Apache, mounts: Mounts) -> None:
    (apache.root / "kept").mkdir()
    mount = mounts(apache.url, sync={"auto": False})
    mount.sync()
    os.setxattr(mount.path / "kept", "user.cloudfs.pin", b"always")
    (apache.root / "kept" / "a.bin").write_bytes(b"a" * 100_000)
    assert mount.sync() == "COMPLETED"
    assert mount.xattr("location", "kept/a.bin") == "both"
    assert mount.xattr("pin", "kept/a.bin") == "always"
