"""Where the daemon's log goes, and how: a queue stands before the stream, so that a full disk or a stuck
pipe never stops the loop that serves files."""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cloudfs.config.paths import xdg_directory

_LOG_MAX = 16 * 1024 * 1024  # bytes after which a new mount begins a new log and keeps the old one beside it

# sd-daemon(3): how the journal learns a line's priority.
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


@contextmanager
def logging_to(stream: TextIO) -> Iterator[None]:
    """Send every log record to `stream`, from a thread of its own, until the block ends."""
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    writer = logging.StreamHandler(stream)
    writer.setFormatter(_JournalFormatter() if _is_journal(stream) else _PlainFormatter())
    listener = logging.handlers.QueueListener(records, writer)
    entrance = logging.handlers.QueueHandler(records)
    root = logging.getLogger()
    root.addHandler(entrance)
    root.setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells every request
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(entrance)
        listener.stop()


def log_file(name: str) -> Path:
    """Where the log of a background mount is: $XDG_STATE_HOME/cloudfs/NAME.log."""
    return xdg_directory("XDG_STATE_HOME") / "cloudfs" / f"{name}.log"


def open_log(path: Path) -> TextIO:
    """A log file to append to; one that has grown large is put aside first. OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_MAX:
        path.replace(path.with_suffix(".log.old"))
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "a")


def _is_journal(stream: TextIO) -> bool:
    """systemd.exec(5), $JOURNAL_STREAM: "device:inode" of the stream that leads to the journal."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _PlainFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


class _JournalFormatter(logging.Formatter):
    """No time (the journal has its own); every line of a record with its priority."""

    def __init__(self) -> None:
        super().__init__("%(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).split("\n"))
