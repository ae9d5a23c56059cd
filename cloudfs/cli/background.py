"""A daemon of its own for a background mount, and the pipe by which it says how its start went.

A fresh interpreter, not a fork: this process may have threads (DESIGN 8.24). The daemon gets the pipe's
writing end, announces once that it is ready or why it failed, and closes it; a pipe that ends without a word
is a daemon that died.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.logs import open_log


class Announcement:
    """The daemon's side: says once how the start went. Without a pipe it says nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    def ready(self) -> None:
        """The mount is usable: its root was listed, or the server is known to be out of reach."""
        self._say({"ready": True})

    def failed(self, message: str, exit_code: Exit) -> None:
        """There will be no mount. Nothing is said where it was ready already."""
        self._say({"ready": False, "message": message, "exit": int(exit_code)})

    def _say(self, words: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        # Who waited may have been interrupted: then nobody needs the words.
        with suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
            pipe.write(json.dumps(words).encode())


def start_daemon(arguments: Sequence[str], log_file: Path) -> None:
    """Run `cloudfs ARGUMENTS` in the background, its log in a file; returns once it is ready.

    Failure says what the daemon said, or where its log is. An interrupt (Ctrl-C) while it starts ends the
    daemon too.
    """
    try:
        log = open_log(log_file)
    except OSError as error:
        mend = "set XDG_STATE_HOME to a folder that you may write to"
        raise Failure(f"the log cannot be written: {error}; {mend}") from error
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with log, os.fdopen(reading, "rb") as answers:
        command = [sys.executable, "-P", "-m", "cloudfs.cli.main", *_with_ready_fd(arguments, writing)]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",  # so that the daemon keeps no folder busy
                start_new_session=True,
                # The service manager that started this process does not expect to hear from another one.
                env={name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"},
                pass_fds=(writing,),
            )
        finally:
            os.close(writing)
        try:
            words = json.loads(answers.read() or b"{}")
        except KeyboardInterrupt:
            process.terminate()
            raise
    if "ready" not in words:
        raise Failure(f"the daemon ended while it started ({process.wait()}); its log: {log_file}")
    if not words["ready"]:
        process.wait()
        raise Failure(words["message"], Exit(words["exit"]))


def _with_ready_fd(arguments: Sequence[str], descriptor: int) -> list[str]:
    verb, *rest = arguments
    return [verb, "--ready-fd", str(descriptor), *rest]
