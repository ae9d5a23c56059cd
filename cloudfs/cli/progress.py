"""How far transfers are: bars on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from cloudfs.cli.output import human_share, printable
from cloudfs.model.sizes import human_size

_STEP_PERCENT = 10
_STEP_S = 5.0


class Progress(Protocol):
    """Shows any number of transfers, told apart by their labels."""

    def show(self, label: str, processed: int, size: int) -> None:
        """A transfer has come this far, in bytes."""

    def end(self, label: str, result: str) -> None:
        """A transfer is over; `result` says how in a word or a few."""


@contextmanager
def open_progress(stream: TextIO | None = None) -> Iterator[Progress]:
    """Bars where `stream` (stderr) is a terminal, else lines."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield PlainLines(stream)
        return
    from cloudfs.cli.bars import open_bars  # rich costs 80 ms: only where there is a terminal to draw on

    with open_bars(stream) as bars:
        yield bars


class PlainLines:
    """A line at the beginning, every ten percent or five seconds, and at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: dict[str, tuple[int, float]] = {}  # label -> (percent, when) of its last line

    def show(self, label: str, processed: int, size: int) -> None:
        percent = 100 * processed // size if size else 100
        now = time.monotonic()
        last, when = self._shown.get(label, (-_STEP_PERCENT, 0.0))
        if percent - last >= _STEP_PERCENT or (percent > last and now - when >= _STEP_S):
            self._shown[label] = (percent, now)
            self._print(f"{label}: {human_share(processed, size)} of {human_size(size)}")

    def end(self, label: str, result: str) -> None:
        self._shown.pop(label, None)
        self._print(f"{label}: {result}")

    def _print(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)
