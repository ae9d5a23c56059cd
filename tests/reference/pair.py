"""A plain folder and a mounted one that are to behave alike, and calls made on both."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from tests.fuse.mounts import mounted
from tests.servers.memory_cloud import MemoryCloud

_LIBC = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100


@contextmanager
def mount_of_its_own_thread(folder: Path, cloud: MemoryCloud) -> Iterator[Path]:
    """A mount that is served by another thread, so that this one may look at it by plain system calls."""
    ready = threading.Event()
    failure: list[BaseException] = []
    ending: list[tuple[trio.lowlevel.TrioToken, trio.Event]] = []

    async def serve() -> None:
        async with mounted(folder, cloud):
            end = trio.Event()
            ending.append((trio.lowlevel.current_trio_token(), end))
            ready.set()
            await end.wait()

    def run() -> None:
        try:
            trio.run(serve)
        except BaseException as error:  # noqa: BLE001 - raised in the other thread
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait()
    try:
        if not failure:
            yield folder / "mount"
    finally:
        for token, end in ending:
            token.run_sync_soon(end.set)
        thread.join()
        if failure:
            raise failure[0]


def renameat2(source: Path, target: Path, flags: int) -> None:
    """renameat2(2), which Python does not have."""
    if _LIBC.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def outcome(call: Callable[[], object]) -> object:
    """What a call answers, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def shown(status: os.stat_result) -> tuple[object, ...]:
    """What both must show of an entry. Folders have a size and a link count of their own."""
    mode = stat.filemode(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return (mode,)
    return (mode, status.st_size, status.st_nlink)


def census(folder: Path) -> dict[str, tuple[object, ...]]:
    """All names below a folder, and what is shown of them."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            found[str(path.relative_to(folder))] = shown(os.lstat(path))
    return found


def difference(one: Path, other: Path) -> str | None:
    """Where the bytes of two folders that have the same names differ first."""
    for parent, _, files in os.walk(one):
        for name in files:
            path = Path(parent, name).relative_to(one)
            left, right = (one / path).read_bytes(), (other / path).read_bytes()
            if left != right:
                at = next(
                    (at for at, pair in enumerate(zip(left, right, strict=False)) if pair[0] != pair[1]), -1
                )
                return f"{path} at {at}: {left[at : at + 8]!r} for {right[at : at + 8]!r}"
    return None
