"""`cloudfs why` on a real mount: who read and wrote files, and what holds their changes up."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conftest import Mounts
from tests.mount.harness import Mount, wait_until
from tests.mount.programs import cloudfs, content
from tests.servers.apache import Apache
from tests.servers.faults import Answer
from tests.servers.proxy import FaultProxy

DATA = content(300_000)
CAT = shutil.which("cat")


@pytest.fixture
def mount(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> Mount:
    for name in ("a b.bin", "other.bin"):
        (apache.root / name).write_bytes(DATA)
    mount = mounts(proxy.url, cloud={"timeout": "2s"}, sync={"auto": False})
    mount.settle()
    return mount


def why(mount: Mount, name: str) -> dict[str, Any]:
    done = cloudfs("why", "--json", mount.path / name, "--socket", mount.socket)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(*command: str | Path) -> int:
    """A program by itself, to its end; its pid."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    assert process.wait(20) == 0
    return process.pid


def test_who_fetched_a_file_and_how_much_came(mount: Mount) -> None:
    assert why(mount, "a b.bin")["hydrated_by"] == []
    pid = run("cat", mount.path / "a b.bin")
    wait_until(lambda: why(mount, "a b.bin")["hydrated_by"][0]["bytes"], "its bytes are counted")
    run("cat", mount.path / "a b.bin")  # nothing more is fetched
    found = why(mount, "a b.bin")
    [program] = found["hydrated_by"]
    assert (program["pid"], program["exe"], program["bytes"]) == (pid, CAT, len(DATA))
    assert (found["location"], found["dirty"], found["waiting_for"]) == ("both", False, None)
    told = cloudfs("why", mount.path / "a b.bin", "--socket", mount.socket).stdout
    assert f"fetched by  {CAT} (pid {pid})" in told


def test_who_changed_a_file_and_what_it_waits_for(mount: Mount) -> None:
    pid = run("dd", "if=/dev/zero", f"of={mount.path / 'a b.bin'}", "bs=9", "count=2", "conv=notrunc")
    run("dd", "if=/dev/zero", f"of={mount.path / 'a b.bin'}", "bs=9", "count=2", "conv=notrunc")
    os.rename(mount.path / "a b.bin", mount.path / "c.bin")
    found = why(mount, "c.bin")
    assert found["dirty_because"] == ["changed here", f"renamed here from {mount.path}/a b.bin"]
    assert found["waiting_for"] == "`cloudfs sync start`, as sync.auto is false"
    assert [(each["pid"], each["exe"]) for each in found["changed_by"]] == [(pid, shutil.which("dd"))]
    mount.settle()
    found = why(mount, "c.bin")
    assert (found["dirty"], found["dirty_because"], found["waiting_for"]) == (False, [], None)
    emptied_by = run("truncate", "-s", "5", mount.path / "c.bin")
    assert [each["pid"] for each in why(mount, "c.bin")["changed_by"]] == [pid, emptied_by]


def test_why_a_change_does_not_go(mount: Mount, proxy: FaultProxy) -> None:
    proxy.faults.add(Answer(403), method="PUT", target="new.bin")
    (mount.path / "new.bin").write_bytes(DATA)
    assert mount.sync() == "UPLOAD_FAILED"
    found = why(mount, "new.bin")
    assert (found["error"], found["tries"], found["dirty_because"]) == ("UNKNOWN_ERROR", 1, ["created here"])
    assert "403" in found["reason"]
    told = cloudfs("why", mount.path / "new.bin", "--socket", mount.socket)
    assert "failed      UNKNOWN_ERROR: " in told.stdout
    proxy.faults.clear()
    mount.settle()
    assert (why(mount, "new.bin")["error"], why(mount, "new.bin")["reason"]) == ("NO_ERROR", None)


def test_what_is_known_survives_the_daemon(mount: Mount) -> None:
    pid = run("cat", mount.path / "a b.bin")
    wait_until(lambda: why(mount, "a b.bin")["hydrated_by"][0]["bytes"], "its bytes are counted")
    assert mount.stop() == 0
    mount.start()
    assert [each["pid"] for each in why(mount, "a b.bin")["hydrated_by"]] == [pid]


def test_a_mount_that_sends_nothing(apache: Apache, mounts: Mounts) -> None:
    mount = mounts(apache.url, sync={"auto": False})
    (mount.path / "new").write_bytes(b"1")
    assert mount.stop() == 0
    mount.config.write_text(mount.config.read_text().replace("[mount]", "[mount]\nread_only = true"))
    mount.start()
    found = why(mount, "new")
    assert (found["dirty"], found["next_try"]) == (True, None)
    assert found["waiting_for"] == "a mount without mount.read_only, as this one sends nothing"


def test_what_is_not_there(mount: Mount) -> None:
    done = cloudfs("why", mount.path / "none", "--socket", mount.socket)
    assert (done.returncode, done.stdout) == (3, "")
    assert "No such file or directory (13900002)" in done.stderr
