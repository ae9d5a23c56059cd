"""The programs behind requests, as /proc shows them.

Every look is a read of procfs: 20 to 80 microseconds, never through the mount (the target of
/proc/PID/exe is only named, not opened), so the trio thread may do it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass

# Signals by which somebody wants a program to end, or to stop waiting. The others (SIGCHLD, SIGURG,
# SIGWINCH, profiling timers) are daily business, and an EINTR for them would break the program.
_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGKILL, signal.SIGALRM, signal.SIGTERM)
_ENDING_MASK = sum(1 << (number - 1) for number in _ENDING)

_DELETED = b" (deleted)"  # what the kernel appends to an executable whose file was replaced


@dataclass(frozen=True, slots=True)
class Caller:
    """Who opened a file. exe: the executable's path, or None where it may not be known."""

    pid: int
    exe: bytes | None


def caller_of(pid: int) -> Caller:
    """The program that a process or thread runs. pid 0: it lives in another PID namespace."""
    try:
        return Caller(pid, os.readlink(b"/proc/%d/exe" % pid).removesuffix(_DELETED))
    except OSError:
        return Caller(pid, None)


def is_asked_to_end(pid: int) -> bool:
    """Whether a signal that wants the thread to end waits for it, neither blocked nor ignored (proc(5)).

    An ignored signal is dropped when it is sent, so it never shows. False where nothing can be known.
    """
    masks = {b"SigPnd": 0, b"ShdPnd": 0, b"SigBlk": 0}
    try:
        with open(b"/proc/%d/status" % pid, "rb") as status:
            for line in status:
                name, _, value = line.partition(b":")
                if name in masks:
                    masks[name] = int(value, 16)
    except OSError:
        return False
    pending = (masks[b"SigPnd"] | masks[b"ShdPnd"]) & ~masks[b"SigBlk"]
    return bool(pending & _ENDING_MASK)


class DenyList:
    """Executables that never trigger a download: whole paths, or names in any folder."""

    def __init__(self, executables: Iterable[str]) -> None:
        entries = [os.fsencode(os.path.expanduser(entry)) for entry in executables]
        self._paths = frozenset(entry for entry in entries if b"/" in entry)
        self._names = frozenset(entry for entry in entries if b"/" not in entry)

    def holds(self, caller: Caller) -> bool:
        if caller.exe is None:
            return False
        return caller.exe in self._paths or os.path.basename(caller.exe) in self._names
