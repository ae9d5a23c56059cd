"""`cloudfs why`: what it asks, what it prints for people and for programs, how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloudfs.cli.output import human_time
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon, Refusal


def known(path: str, **more: Any) -> dict[str, Any]:
    """An entry of which nothing is to be told."""
    return {
        "path": path,
        "uri": f"file://b{path}",
        "state": "COMPLETED",
        "location": "cloud",
        "processed": 0,
        "size": 1000,
        "pin": "auto",
        "error": "NO_ERROR",
        "reason": None,
        "tries": 0,
        "dirty": False,
        "dirty_because": [],
        "changed_by": [],
        "waiting_for": None,
        "next_try": None,
        "pinned_at": None,
        "hydrated_by": [],
        **more,
    }


TIME_MS = 1764000000000
PROGRAM = {"time": TIME_MS, "pid": 7, "exe": "/bin/cat\x1b"}


def test_why_of_a_file_with_nothing_to_tell(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.why"] = lambda params: known("/m/a\n")
    assert run("why", mountpoint / "a") == 0
    assert capsys.readouterr().out.splitlines() == ["/m/a\\n", "  content     in the cloud alone (1000 B)"]
    assert daemon.asked() == [("Mount.why", {"path": f"{mountpoint}/a"})]


def test_why_tells_all_that_is_known(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.why"] = lambda params: known(
        "/m/a",
        location="partial",
        processed=500,
        error="UNKNOWN_ERROR",
        reason="the name\nis refused",
        tries=3,
        dirty=True,
        dirty_because=["changed here", "renamed here from /m/b"],
        changed_by=[PROGRAM],
        waiting_for="its next try",
        next_try=TIME_MS,
        pin="always",
        pinned_at="/m",
        hydrated_by=[
            {"time": TIME_MS, "pid": None, "exe": None, "bytes": 10},
            {"time": TIME_MS, "pid": 8, "exe": None, "bytes": None},
        ],
    )
    assert run("why", "file://b/m/a") == 0
    when = human_time(TIME_MS)
    assert capsys.readouterr().out.splitlines() == [
        "/m/a",
        "  content     50 % of it here (1000 B)",
        "  not sent    changed here; renamed here from /m/b",
        f"  changed by  /bin/cat\\x1b (pid 7), {when}",
        "  failed      UNKNOWN_ERROR, 3 times: the name\\nis refused",
        "  waits for   its next try",
        f"  next try    {when}",
        "  pinned      by /m",
        f"  fetched by  cloudfs itself, for a pin or a sync, {when}, 10 B",
        f"              a program that can't be named (pid 8), {when}",
    ]
    assert daemon.asked() == [("Mount.why", {"uri": "file://b/m/a"})]


def test_why_shows_the_last_programs_and_counts_those_before(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programs = [{**PROGRAM, "pid": pid, "bytes": 1} for pid in range(1, 8)]
    daemon.methods["Mount.why"] = lambda params: known("/m/a", hydrated_by=programs)
    assert run("why", mountpoint / "a") == 0
    *lines, before = capsys.readouterr().out.splitlines()[2:]
    assert [f"(pid {pid})" in line for pid, line in zip(range(3, 8), lines, strict=True)] == [True] * 5
    assert before.strip() == "and 2 times before (--json)"


def test_why_of_a_folder(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.why"] = lambda params: known(
        "/m", location=None, size=None, processed=None, pin="always", pinned_at="/m"
    )
    assert run("why", mountpoint) == 0
    assert capsys.readouterr().out.splitlines() == ["/m", "  content     a folder", "  pinned      itself"]


def test_why_in_json_is_what_the_daemon_says(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon.methods["Mount.why"] = lambda params: known("/m/ä", changed_by=[PROGRAM])
    assert run("why", "--json", mountpoint / "ä") == 0
    assert json.loads(capsys.readouterr().out) == known("/m/ä", changed_by=[PROGRAM])


def test_why_of_what_is_not_there(
    run: Run, daemon: FakeDaemon, mountpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise Refusal(13900002, "No such file or directory.")

    daemon.methods["Mount.why"] = refuse
    assert run("why", mountpoint / "a\n") == 3
    printed = capsys.readouterr()
    assert printed.err == f"cloudfs: {mountpoint}/a\\n: No such file or directory (13900002)\n"
    assert printed.out == ""
