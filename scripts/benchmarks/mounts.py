"""The two programs under test, each started as its user would: by its command line and a fresh cache."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

BIN = Path(sys.executable).parent
START_S = 60.0
STOP_S = 20.0
SOCKET = "control.sock"

CLOUDFS_CONFIGURATION = """\
[cloud]
type = "webdav"
url = "{url}"

[cache]
path = "{cache}"
size = "20GiB"

[hydration]
on_open = "{on_open}"

[control]
socket = "{socket}"
"""


class Mount:
    """A mounted cloud: where it is, and the processes that serve it."""

    def __init__(self, path: Path, log: Path) -> None:
        self.path = path
        self.log = log

    def processes(self) -> list[int]:
        """Those whose command line names this run's directory, which no other process knows."""
        marker = str(self.path.parent).encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if marker in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return found

    def memory_bytes(self) -> int:
        """The proportional set size of all its processes."""
        processes = self.processes()
        if not processes:
            raise ProcessLookupError("no process of the mount names its directory")
        return sum(_pss_bytes(pid) for pid in processes)

    def kill(self) -> None:
        """End it now; whoever waits on the mount gets an error."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if os.path.ismount(self.path) or _is_dead_mount(self.path):
            subprocess.run(["fusermount3", "-u", "-z", self.path], check=False, capture_output=True)

    @contextlib.contextmanager
    def limited(self, seconds: float) -> Iterator[None]:
        """Kill the mount when the block takes longer, so that a hang becomes an error."""
        watchdog = threading.Timer(seconds, self.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()


class System(Protocol):
    """A program that mounts a WebDAV server."""

    name: str

    def mounted(self, url: str, directory: Path, *, on_open: str) -> contextlib.AbstractContextManager[Mount]:
        """Mount `url` at a folder in the empty `directory`, which holds all its state; unmount at the end."""
        ...

    def version(self) -> str:
        """As the program names it."""
        ...


class Cloudfs:
    """`cloudfs mount` in the background, with every default but the cache and the socket's place."""

    name = "cloudfs"

    def version(self) -> str:
        return _first_line([BIN / "cloudfs", "--version"])

    @contextlib.contextmanager
    def mounted(self, url: str, directory: Path, *, on_open: str) -> Iterator[Mount]:
        mount = Mount(directory / "mnt", directory / "log")
        mount.path.mkdir()
        configuration = directory / "mount.toml"
        configuration.write_text(
            CLOUDFS_CONFIGURATION.format(
                url=url, cache=directory / "cache", on_open=on_open, socket=directory / SOCKET
            )
        )
        try:
            if self._run(mount, "mount", "--config", configuration, mount.path):
                raise RuntimeError(f"cloudfs mount failed: {_tail(mount.log)}")
            _wait_for_mount(mount)
            yield mount
        finally:
            try:
                has_ended = self._run(mount, "umount", mount.path, "--force") == 0
            except subprocess.TimeoutExpired:
                has_ended = False
            if has_ended:
                _wait_for_the_end(mount)
            mount.kill()

    def _run(self, mount: Mount, *arguments: str | Path) -> int:
        """The verb's exit code; what it says goes to the mount's log."""
        directory = mount.path.parent
        environment = os.environ | {
            "XDG_STATE_HOME": str(directory),  # where the daemon's log goes
            "CLOUDFS_SOCKET": str(directory / SOCKET),
        }
        with mount.log.open("ab") as log:
            return subprocess.run(
                [BIN / "cloudfs", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                check=False,
                timeout=START_S,
            ).returncode


class Rclone:
    """`rclone mount --vfs-cache-mode full`, its other settings as they come. It knows no `on_open`.

    transfers: how many uploads run at a time; None for its default.
    """

    def __init__(self, transfers: int | None = None) -> None:
        self.name = "rclone" if transfers is None else f"rclone-{transfers}"
        self._options = [] if transfers is None else ["--transfers", str(transfers)]

    def version(self) -> str:
        return _first_line([BIN / "rclone", "version"])

    @contextlib.contextmanager
    def mounted(self, url: str, directory: Path, *, on_open: str) -> Iterator[Mount]:
        mount = Mount(directory / "mnt", directory / "log")
        mount.path.mkdir()
        command: list[str | Path] = [BIN / "rclone", "mount", ":webdav:", mount.path, "--webdav-url", url]
        command += ["--vfs-cache-mode", "full", "--cache-dir", directory / "cache", "--config", ""]
        command += self._options
        with mount.log.open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_for_mount(mount)
            yield mount
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)
            mount.kill()
            process.wait()


def _wait_for_mount(mount: Mount) -> None:
    deadline = time.monotonic() + START_S
    while not os.path.ismount(mount.path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not mounted after {START_S:.0f} s: {_tail(mount.log)}")
        time.sleep(0.01)


def _wait_for_the_end(mount: Mount) -> None:
    """Let the processes leave by themselves, for a while."""
    deadline = time.monotonic() + STOP_S
    while mount.processes() and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_dead_mount(path: Path) -> bool:
    try:
        os.stat(path)
    except OSError:
        return True
    return False


def _pss_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss of process {pid}")


def _first_line(command: list[str | Path]) -> str:
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout
    return output.splitlines()[0]


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-500:] if log.exists() else "no log"
