"""Where the command line looks for daemons: a socket that lies elsewhere gets a link there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)


@contextmanager
def advertised(socket: Path, directory: Path) -> Iterator[None]:
    """A link `NAME.PID.sock` to the socket in `directory` for the length of the block.

    So a mount is found from a path inside it, wherever its socket lies. Links that killed daemons left
    behind are removed. Where the link can't be made the mount is found by --socket only: logged, no error.
    """
    if socket.parent == directory:
        yield
        return
    link = directory / f"{socket.stem}.{os.getpid()}.sock"
    try:
        _make(link, socket)
    except OSError as error:
        log.info("the mount is found by --socket only: %s: %s", directory, error.strerror)
        yield
        return
    try:
        yield
    finally:
        link.unlink(missing_ok=True)
        with suppress(OSError):  # others' sockets are in it
            directory.rmdir()


def _make(link: Path, socket: Path) -> None:
    link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep(link.parent)
    link.unlink(missing_ok=True)
    link.symlink_to(socket)


def _sweep(directory: Path) -> None:
    for link in directory.glob("*.sock"):
        pid = link.suffixes[-2].removeprefix(".") if len(link.suffixes) > 1 else ""
        if link.is_symlink() and pid.isdecimal() and not Path("/proc", pid).exists():
            link.unlink(missing_ok=True)
