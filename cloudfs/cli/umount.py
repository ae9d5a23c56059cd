"""`cloudfs umount`: asks the daemon to end, or takes away the mount of a daemon that is gone."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from cloudfs.cli.connection import CallFailed, Notification
from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.mounts import Mount, find, running
from cloudfs.cli.output import printable
from cloudfs.cli.progress import Progress, open_progress
from cloudfs.fuse.mountpoint import free, is_dead, is_mounted
from cloudfs.model.errors import CloudfsError, TryAgain

PATIENCE_S = 30.0  # from the daemon's yes to the end of the mount
_LOOK_EVERY_S = 0.05


def run(arguments: argparse.Namespace) -> Exit:
    asked = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else None
    if asked is not None and is_mounted(asked) and _is_left_behind(asked):
        _take_away(asked)
        return Exit.DONE
    with find([str(asked)] if asked else [], arguments.socket) as mount:
        _end(mount, asked, arguments)
    return Exit.DONE


def _is_left_behind(mountpoint: Path) -> bool:
    """Whether the mount's daemon is gone.

    The mount itself is asked only where no daemon answers for it, nor keeps silent: one that hangs never
    answers, and who asks it can't even be killed. Failure (4) where the daemon may be such a one.
    """
    found = running()
    for mount in found.mounts:
        mount.connection.close()
    if any(_is_same(mountpoint, Path(os.fsdecode(mount.path))) for mount in found.mounts):
        return False
    if found.silent:
        text = f"the daemon of {printable(str(mountpoint))} may be one that does not answer"
        raise Failure(f"{text}; what to do is told by: cloudfs doctor", Exit.NO_DAEMON)
    return is_dead(mountpoint)


def _end(mount: Mount, asked: Path | None, arguments: argparse.Namespace) -> None:
    mountpoint = Path(os.fsdecode(mount.path))
    if asked is not None and not _is_same(asked, mountpoint):
        text = (
            f"{printable(str(asked))} is no mountpoint of this mount, which is {printable(str(mountpoint))}"
        )
        raise Failure(f"{text}; where its own daemon listens elsewhere, name that by --socket")
    if arguments.wait:
        _send_and_end(mount)
    else:
        mount.connection.call("Mount.umount", force=arguments.force)
    deadline = time.monotonic() + PATIENCE_S
    while is_mounted(mountpoint):
        if time.monotonic() > deadline:
            raise Failure(f"{printable(str(mountpoint))} is still mounted; see its log", Exit.TEMPORARY)
        time.sleep(_LOOK_EVERY_S)


def _send_and_end(mount: Mount) -> None:
    """Failure, with each change that can't go now named, where the mount stays for its sake."""
    try:
        with ExitStack() as shown:
            sending = _Sending(lambda: shown.enter_context(open_progress()))
            mount.connection.follow("Mount.umount", sending.show, wait=True)
            sending.end()
    except CallFailed as failure:
        for stuck in (*failure.rows, *failure.data.get("stuck", ())):
            print(f"cloudfs: {printable(stuck['path'])}: {printable(stuck['reason'])}", file=sys.stderr)
        raise


class _Sending:
    """One bar over all that is pending. Its end moves away when more comes while it is sent."""

    _LABEL = "sending changes"

    def __init__(self, open_bar: Callable[[], Progress]) -> None:
        """open_bar: called once there is something to show."""
        self._open_bar = open_bar
        self._bar: Progress | None = None
        self._sent = self._left = 0

    def show(self, notification: Notification) -> None:
        left = notification.params["size"]
        if self._bar is None:
            self._bar = self._open_bar()
        self._sent += max(0, self._left - left)
        self._left = left
        self._bar.show(self._LABEL, self._sent, self._sent + left)

    def end(self) -> None:
        """All is in the cloud."""
        if self._bar is not None:
            size = self._sent + self._left
            self._bar.show(self._LABEL, size, size)
            self._bar.end(self._LABEL, "done")


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths name one mountpoint; the mount itself is not asked."""
    return one.name == other.name and os.path.realpath(one.parent) == os.path.realpath(other.parent)


def _take_away(mountpoint: Path) -> None:
    try:
        free(mountpoint)
    except TryAgain as error:
        raise Failure(error.reason, Exit.TEMPORARY) from error
    except CloudfsError as error:
        raise Failure(error.reason) from error
