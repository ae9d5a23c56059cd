"""The programs of docs/examples and of README, each run on a real mount as its user would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from tests.mount.conftest import Mounts
from tests.mount.harness import PATIENCE_S, Mount
from tests.servers.apache import Apache
from tests.servers.proxy import FaultProxy

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
SIZE = 300_000
LARGE = 20_000_000


def run(mount: Mount, program: str, *arguments: str, code: int = 0) -> list[str]:
    """The lines of a program that is run in the mount, what it says of errors last."""
    process = start(mount, program, *arguments)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, out
    return out.splitlines()


def start(mount: Mount, program: str, *arguments: str) -> subprocess.Popen[str]:
    return start_python(mount, str(EXAMPLES / f"{program}.py"), *arguments)


def start_python(mount: Mount, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=mount.path,
        env={**os.environ, "CLOUDFS_SOCKET": str(mount.socket), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_each_program(apache: Apache, proxy: FaultProxy, mounts: Mounts) -> None:
    for name in ("Docs/one.bin", "Docs/two.bin", "Photos/1.jpg", "Photos/2.jpg"):
        (apache.root / name).parent.mkdir(exist_ok=True)
        (apache.root / name).write_bytes(os.urandom(SIZE))
    (apache.root / "Docs" / "large.bin").write_bytes(bytes(LARGE))
    mount = mounts(proxy.url, sync={"auto": False})
    file_sync(mount)
    gallery_sync(mount, proxy)
    download(mount)
    cloud_file_cache(mount, proxy)
    get_file_sync_state(mount)
    blocking(mount)
    readme(mount)
    mount.kill()
    failure = run(mount, "file_sync", "start", code=1)
    assert failure == ["start failed: IPC error. (13600001): no daemon answers (Connection refused)"]


def file_sync(mount: Mount) -> None:
    assert run(mount, "file_sync", "last") == ["never"]
    assert run(mount, "file_sync", "start") == [
        f"file sync state: {state}, error type: NO_ERROR"
        for state in ("COMPLETED", "DOWNLOADING", "COMPLETED")
    ]
    assert datetime.fromisoformat(run(mount, "file_sync", "last")[0]).year > 2020
    assert run(mount, "file_sync", "stop") == []
    assert mount.status()["sync"]["files"]["held"]


def gallery_sync(mount: Mount, proxy: FaultProxy) -> None:
    assert run(mount, "gallery_sync")[-2:] == [
        f"gallery sync state: {state}, error type: NO_ERROR" for state in ("DOWNLOADING", "COMPLETED")
    ]
    proxy.hang()
    stopped = run(mount, "gallery_sync", "--for", "0.3", code=1)
    proxy.resume()
    assert stopped[-2:] == [
        "gallery sync state: STOPPED, error type: NO_ERROR",
        "stopped; the next start goes on with the rest",
    ]


def download(mount: Mount) -> None:
    photos = ("Photos/1.jpg", "Photos/2.jpg")
    seen = run(mount, "download", "--loop", "trio", *photos)
    for photo in photos:
        assert f"{mount.xattr('media_uri', photo)}: COMPLETED, {SIZE} of {SIZE} bytes" in seen
        assert mount.xattr("location", photo) == "both"
    seen = run(mount, "download", photos[0], "Docs/one.bin", code=1)
    assert f"{mount.xattr('media_uri', photos[0])}: COMPLETED, {SIZE} of {SIZE} bytes" in seen
    assert re.match(r"download failed: Docs/one.bin: .*No data available", seen[-1])


def cloud_file_cache(mount: Mount, proxy: FaultProxy) -> None:
    seen = run(mount, "cloud_file_cache", "Docs/one.bin", "Docs/two.bin")
    assert seen.count("download state: COMPLETED, 100 %") == 2
    (mount.path / "Docs" / "new.txt").write_bytes(b"not in the cloud yet")
    cleaned, kept = run(mount, "cloud_file_cache", "--clean", "Docs/one.bin", "Docs/new.txt", code=1)
    assert cleaned == "Docs/one.bin: cleaned"
    assert kept.startswith("Docs/new.txt: it stays: ")
    assert (mount.xattr("location", "Docs/one.bin"), mount.xattr("location", "Docs/new.txt")) == (
        "cloud",
        "local",
    )
    interrupted(mount, proxy)
    assert "No such file" in run(mount, "cloud_file_cache", "Docs/none", code=1)[-1]


def interrupted(mount: Mount, proxy: FaultProxy) -> None:
    """Ctrl-C stops a download, and what came is kept."""
    proxy.conditions.bandwidth = 2_000_000
    process = start(mount, "cloud_file_cache", "Docs/large.bin")
    assert process.stdout is not None
    while not re.search(r"RUNNING, [1-9]", line := process.stdout.readline()):
        assert line, "it ended before it was interrupted"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    proxy.conditions.bandwidth = None
    assert process.returncode == 130
    assert mount.xattr("location", "Docs/large.bin") == "partial"
    assert mount.xattr("state", "Docs/large.bin") == "COMPLETED"


def get_file_sync_state(mount: Mount) -> None:
    assert run(mount, "get_file_sync_state", "Docs", "Docs/one.bin", "Docs/new.txt") == [
        "COMPLETED   Docs",
        "COMPLETED   Docs/one.bin",
        "STOPPED     Docs/new.txt",
        "2 COMPLETED, 1 STOPPED",
    ]
    many = run(mount, "get_file_sync_state", *["Docs/one.bin"] * 250)
    assert many[-1] == "250 COMPLETED"
    assert "No such file" in run(mount, "get_file_sync_state", "none", code=1)[0]


def blocking(mount: Mount) -> None:
    names = ("Docs/one.bin", "Docs/two.bin", "Photos/1.jpg")
    assert run(mount, "blocking", *names) == [f"{name}: COMPLETED, {SIZE} of {SIZE} bytes" for name in names]


def readme(mount: Mount) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    uri = mount.uri("Docs/two.bin")
    process = start_python(mount, "-c", re.sub(r"file://[^\"]*", uri, program))
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert out.splitlines()[-1] == f"COMPLETED {SIZE} of {SIZE}"
