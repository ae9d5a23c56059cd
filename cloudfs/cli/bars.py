"""Progress bars on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from cloudfs.cli.output import printable
from cloudfs.model.sizes import human_size


@contextmanager
def open_bars(stream: TextIO) -> Iterator[Bars]:
    """Bars drawn on `stream` until the block ends; the last picture stays."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TextColumn("{task.fields[rate]}", style="progress.data.speed"),
        TextColumn("{task.fields[result]}", markup=False),
    )
    with Progress(*columns, console=Console(file=stream)) as bars:
        yield Bars(bars)


class Bars:
    """One bar a transfer; a `progress.Progress`."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, tuple[int, float]] = {}  # label -> (processed, when) as it was first shown

    def show(self, label: str, processed: int, size: int) -> None:
        self._bars.update(
            self._task(label), completed=processed, total=size, rate=self._rate(label, processed)
        )

    def end(self, label: str, result: str) -> None:
        task = self._task(label)
        self._bars.update(task, result=result)
        self._bars.stop_task(task)

    def _task(self, label: str) -> TaskID:
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(printable(label), total=None, result="", rate="")
        return self._tasks[label]

    def _rate(self, label: str, processed: int) -> str:
        """The mean since it was first shown; nothing where nothing came since."""
        now = time.monotonic()
        first, when = self._began.setdefault(label, (processed, now))
        return f"{human_size((processed - first) / (now - when))}/s" if processed > first else ""
