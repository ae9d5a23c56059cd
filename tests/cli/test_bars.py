"""What a progress bar says beside itself."""

from __future__ import annotations

import io
import time

import pytest

from cloudfs.cli.bars import open_bars


def test_a_rate_is_told_only_where_one_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    screen = io.StringIO()
    with open_bars(screen) as bars:
        bars.show("whole already", 1024, 1024)
        bars.end("whole already", "done")
        bars.show("on its way", 0, 4096)
        now = 2.0
        bars.show("on its way", 4096, 4096)
    held, fetched = screen.getvalue().splitlines()
    assert "/s" not in held
    assert "?" not in held
    assert "2.0 KiB/s" in fetched
