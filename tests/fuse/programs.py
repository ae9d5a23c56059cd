"""Programs to look at from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_program(prelude: str = "") -> Iterator[int]:
    """A program that is stopped, so that a signal sent to it stays pending."""
    code = f"import signal, sys, time\n{prelude}\nprint('ready', flush=True)\ntime.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        try:
            assert program.stdout.readline() == b"ready\n"
            os.kill(program.pid, signal.SIGSTOP)
            os.waitpid(program.pid, os.WUNTRACED)
            yield program.pid
        finally:
            os.kill(program.pid, signal.SIGKILL)
