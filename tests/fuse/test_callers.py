"""What /proc tells of the programs behind requests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from cloudfs.fuse.callers import Caller, DenyList, caller_of, is_asked_to_end
from tests.fuse.programs import stopped_program


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM])
def test_a_pending_signal_that_ends_programs_is_seen(number: signal.Signals) -> None:
    with stopped_program("signal.signal(signal.SIGINT, signal.SIG_DFL)") as pid:
        assert not is_asked_to_end(pid)
        os.kill(pid, number)
        assert is_asked_to_end(pid)


def test_a_handled_signal_counts_too() -> None:
    with stopped_program("signal.signal(signal.SIGTERM, lambda *_: None)") as pid:
        os.kill(pid, signal.SIGTERM)
        assert is_asked_to_end(pid)


@pytest.mark.parametrize(
    ("prelude", "number"),
    [
        ("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])", signal.SIGTERM),
        ("signal.signal(signal.SIGINT, signal.SIG_IGN)", signal.SIGINT),
        ("signal.signal(signal.SIGCHLD, lambda *_: None)", signal.SIGCHLD),
        ("signal.signal(signal.SIGURG, lambda *_: None)", signal.SIGURG),
    ],
)
def test_blocked_ignored_and_daily_signals_ask_for_nothing(prelude: str, number: signal.Signals) -> None:
    with stopped_program(prelude) as pid:
        os.kill(pid, number)
        assert not is_asked_to_end(pid)


def test_a_program_that_is_gone_asks_for_nothing() -> None:
    with subprocess.Popen(["true"]) as program:
        pass
    assert not is_asked_to_end(program.pid)
    assert caller_of(program.pid) == Caller(program.pid, None)


def test_the_caller_is_known_by_its_executable() -> None:
    assert caller_of(os.getpid()).exe == os.fsencode(os.path.realpath(sys.executable))


@pytest.mark.parametrize(
    ("entries", "exe", "is_denied"),
    [
        (["tracker-extract"], b"/usr/libexec/tracker-extract", True),
        (["/usr/libexec/tracker-extract"], b"/usr/libexec/tracker-extract", True),
        (["/opt/tracker-extract"], b"/usr/libexec/tracker-extract", False),
        (["tracker"], b"/usr/libexec/tracker-extract", False),
        (["tracker-extract"], None, False),
        ([], b"/usr/bin/cat", False),
    ],
)
def test_denied_by_path_or_by_name(entries: list[str], exe: bytes | None, is_denied: bool) -> None:
    assert DenyList(entries).holds(Caller(1, exe)) is is_denied
