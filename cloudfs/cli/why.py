"""`cloudfs why`: what is known of one file or folder, and what it waits for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from cloudfs.cli.failures import Exit, TargetFailure
from cloudfs.cli.mounts import find, is_uri, reference_of
from cloudfs.cli.output import human_share, human_time, print_json, printable
from cloudfs.model.enums import ErrorType, Location, Pin
from cloudfs.model.sizes import human_size

_MOST_PROGRAMS = 5  # of each kind are shown, the last ones; --json has them all

_NAMELESS = "a program that can't be named"
_LOCATIONS = {
    Location.LOCAL: "here alone: the cloud never had it",
    Location.CLOUD: "in the cloud alone",
    Location.BOTH: "here, whole",
}


def run(arguments: argparse.Namespace) -> Exit:
    target = arguments.target
    with find([target], arguments.socket) as mount:
        kind = "uri" if is_uri(target) else "path"
        try:
            known = mount.connection.call("Mount.why", **{kind: reference_of(mount, target)})
        except TargetFailure as failure:
            print(f"cloudfs: {printable(target)}: {failure.message}", file=sys.stderr)
            return failure.exit_code
    if arguments.json:
        print_json(known)
    else:
        print("\n".join(_lines(known)))
    return Exit.DONE


def _lines(known: dict[str, Any]) -> Iterator[str]:
    yield printable(known["path"])
    yield _line("content", "a folder" if known["location"] is None else _content(known))
    if known["dirty"]:
        yield _line("not sent", "; ".join(known["dirty_because"]))
    yield from _programs("changed by", known["changed_by"])
    if known["error"] != ErrorType.NO_ERROR.name:
        yield _line("failed", _failure(known))
    if known["waiting_for"] is not None:
        yield _line("waits for", known["waiting_for"])
    if known["next_try"] is not None:
        yield _line("next try", human_time(known["next_try"]))
    if known["pin"] == Pin.ALWAYS:
        is_own = known["pinned_at"] == known["path"]
        yield _line("pinned", "itself" if is_own else f"by {known['pinned_at']}")
    yield from _programs("fetched by", known["hydrated_by"])


def _line(label: str, text: str) -> str:
    return f"  {label:<10}  {printable(text)}"


def _content(known: dict[str, Any]) -> str:
    size = human_size(known["size"])
    where = _LOCATIONS.get(known["location"])
    if where is None:
        where = f"{human_share(known['processed'], known['size'])} of it here"
    return f"{where} ({size})"


def _failure(known: dict[str, Any]) -> str:
    times = f", {known['tries']} times" if known["tries"] > 1 else ""
    return f"{known['error']}{times}: {known['reason'] or 'no reason is known'}"


def _programs(label: str, programs: list[dict[str, Any]]) -> Iterator[str]:
    """One line a program; how many came before those shown."""
    shown = programs[-_MOST_PROGRAMS:]
    for program in shown:
        yield _line(label, _program(program))
        label = ""
    if len(programs) > len(shown):
        yield _line("", f"and {len(programs) - len(shown)} times before (--json)")


def _program(program: dict[str, Any]) -> str:
    if program["pid"] is None:
        who = "cloudfs itself, for a pin or a sync"
    else:
        who = f"{program['exe'] or _NAMELESS} (pid {program['pid']})"
    count = program.get("bytes")
    size = "" if count is None else f", {human_size(count)}"
    return f"{who}, {human_time(program['time'])}{size}"
