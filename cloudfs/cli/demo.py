"""`cloudfs demo`: a server, a mount, and a file on its way from placeholder to hydrated."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.progress import open_progress
from cloudfs.cli.sample import BLOCK, LARGE, LARGE_SIZE, is_right, write_sample
from cloudfs.fuse.mountpoint import is_mounted
from cloudfs.model.sizes import human_size

_READ_SIZE = 32 * BLOCK
_SERVER_PATIENCE_S = 10.0
_DOWNLOAD_PATIENCE_S = 10.0

_CONFIG = """\
[mount]
name = "{name}"

[cloud]
url = "{url}"

[cache]
path = "{cache}"
size = "1GiB"
min_free = "64MiB"

[control]
socket = "{socket}"
"""


def run(arguments: argparse.Namespace) -> Exit:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up as after Ctrl-C
    with ExitStack() as cleaning:
        scratch = cleaning.enter_context(_scratch())
        _say("A WebDAV server on loopback, over texts, pictures and one large file:")
        url = cleaning.enter_context(_server(scratch / "cloud"))
        asked = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else scratch / "mount"
        mountpoint = cleaning.enter_context(_folder(asked))
        shell = Shell(scratch, has_own_socket=arguments.once)
        cleaning.enter_context(_mount(shell, mountpoint, url))
        _show(shell, mountpoint)
        if not arguments.once:
            _say(f"\nIt stays mounted on {mountpoint} until you press Ctrl-C. Look around, or try:")
            _say(f"  cloudfs status\n  cloudfs clean {shlex.quote(str(mountpoint / LARGE))}")
            with suppress(KeyboardInterrupt):
                signal.pause()
    return Exit.DONE


class Shell:
    """Runs the commands that a user would type, and shows them."""

    def __init__(self, scratch: Path, *, has_own_socket: bool) -> None:
        """has_own_socket: nothing is left in the system's directories, but other shells can't find it."""
        self.scratch = scratch
        self.socket = str(scratch / "control.sock") if has_own_socket else ""
        self._environment = {**os.environ, "XDG_STATE_HOME": str(scratch)}
        if has_own_socket:
            self._environment["CLOUDFS_SOCKET"] = self.socket

    def cloudfs(self, *arguments: str | Path) -> None:
        """Failure where the command fails; it has said why."""
        words = [str(argument) for argument in arguments]
        _say(f"  $ cloudfs {shlex.join(words)}")
        command = [sys.executable, "-P", "-m", "cloudfs.cli.main", *words]
        done = subprocess.run(command, env=self._environment, check=False)
        if done.returncode:
            raise Failure(f"cloudfs {words[0]} ended with {done.returncode}")


def _show(shell: Shell, mountpoint: Path) -> None:
    """The walk itself; every step is checked."""
    large = mountpoint / LARGE
    _say("\nThe whole tree is there at once, with full sizes and nothing downloaded:")
    _say(f"  {human_size(_apparent_size(mountpoint))} in {mountpoint}")
    shell.cloudfs("state", large)
    _require_location(large, "cloud")
    _say("\nOpening the placeholder starts its download; a reader waits only for its own bytes:")
    first_s = _read_large(large, "first read")
    _wait_until_done(large)
    shell.cloudfs("state", large)
    _require_location(large, "both")
    _say("\nFrom now on it comes from the local cache:")
    second_s = _read_large(large, "second read")
    _say(f"  first read {first_s:.2f} s, second read {second_s:.2f} s")
    _require_picture(mountpoint / "Photos/sea.png")


def _wait_until_done(path: Path) -> None:
    """Its last bytes are read a moment before its transfer is over. It gives up where that does not end."""
    deadline = time.monotonic() + _DOWNLOAD_PATIENCE_S
    while os.getxattr(path, "user.cloudfs.state") == b"DOWNLOADING" and time.monotonic() < deadline:
        time.sleep(0.01)


def _require_location(path: Path, expected: str) -> None:
    location = os.getxattr(path, "user.cloudfs.location").decode()
    if location != expected:
        raise Failure(f"{path} should be {expected}, and is {location}")


def _require_picture(path: Path) -> None:
    if not path.read_bytes().startswith(b"\x89PNG"):
        raise Failure(f"{path} is no picture")


def _read_large(path: Path, label: str) -> float:
    """Read and check the large file with a progress bar; returns seconds."""
    _say(f"  $ cat {shlex.quote(str(path))} > /dev/null")
    began = time.monotonic()
    with path.open("rb", buffering=0) as stream, open_progress() as progress:
        progress.show(label, 0, LARGE_SIZE)
        for offset in range(0, LARGE_SIZE, _READ_SIZE):
            if not is_right(offset, stream.read(_READ_SIZE)):
                raise Failure(f"{path}: wrong bytes near {offset}")
            progress.show(label, offset + _READ_SIZE, LARGE_SIZE)
        progress.end(label, "done")
    return time.monotonic() - began


def _apparent_size(root: Path) -> int:
    return sum(
        os.lstat(os.path.join(folder, name)).st_size for folder, _, names in os.walk(root) for name in names
    )


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for all that the demo writes, removed at the end."""
    scratch = Path(tempfile.mkdtemp(prefix="cloudfs-demo-"))
    try:
        write_sample(scratch / "cloud")
        yield scratch
    finally:
        if is_mounted(scratch / "mount"):  # what a failed umount left: what is below is not ours to remove
            _say(f"{scratch} is left as it is")
        else:
            shutil.rmtree(scratch)


@contextmanager
def _folder(mountpoint: Path) -> Iterator[Path]:
    """The mountpoint, made and removed where it was not there."""
    is_ours = not mountpoint.exists()
    if is_ours:
        try:
            mountpoint.mkdir()
        except OSError as error:
            raise Failure(f"{mountpoint} cannot be made: {error.strerror}") from error
    try:
        yield mountpoint
    finally:
        if is_ours and not is_mounted(mountpoint):
            mountpoint.rmdir()


@contextmanager
def _server(root: Path) -> Iterator[str]:
    """The demo server's URL, while it runs."""
    command = [sys.executable, "-P", "-m", "cloudfs.cli.demo_server", str(root)]
    # A session of its own, as a Ctrl-C is for the demo alone: the mount goes before the server.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            if not url:
                raise Failure(f"the demo server ended with {process.wait()}")
            _say(f"  {url}")
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_SERVER_PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def _mount(shell: Shell, mountpoint: Path, url: str) -> Iterator[None]:
    """The mount, while the block runs."""
    config = shell.scratch / "mount.toml"
    name = f"demo-{os.getpid()}"
    cache = shell.scratch / "cache"
    config.write_text(_CONFIG.format(name=name, url=url, cache=cache, socket=shell.socket))
    _say("\nMounted by a configuration of a few lines:")
    shell.cloudfs("mount", "--config", config, mountpoint)
    try:
        yield
    finally:
        _say("")
        shell.cloudfs("umount", "--force", mountpoint)


def _say(text: str) -> None:
    print(text, flush=True)
