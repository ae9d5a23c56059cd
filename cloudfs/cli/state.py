"""`cloudfs state`: where the content of files is, what is under way, and what is pinned."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from cloudfs.cli.failures import Exit, attempt, combined
from cloudfs.cli.mounts import Mount, find, reference_of
from cloudfs.cli.output import human_share, print_json, print_table
from cloudfs.model.sizes import human_size

_NO_ERROR = "NO_ERROR"


def run(arguments: argparse.Namespace) -> Exit:
    rows: list[dict[str, Any]] = []
    with find(arguments.targets, arguments.socket) as mount:
        ask = partial(_ask, mount, arguments.recursive, rows)
        exits = [attempt(target, partial(ask, target)) for target in arguments.targets]
    if arguments.json:
        print_json(rows)
    elif rows:
        print_table(("STATE", "LOCATION", "LOCAL", "SIZE", "PIN", "PATH"), [_cells(row) for row in rows])
    return combined(exits)


def _ask(mount: Mount, recursive: bool, rows: list[dict[str, Any]], target: str) -> None:
    """One call a target, so that one that is not there hides no other; its rows are added."""
    rows += mount.connection.call("Mount.state", paths=[reference_of(mount, target)], recursive=recursive)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    has_content = row["size"] is not None
    failed = row["error"] not in (None, _NO_ERROR)
    return (
        f"{row['state']} ({row['error']})" if failed else row["state"],
        row["location"] or "-",
        human_share(row["processed"], row["size"]) if has_content else "-",
        human_size(row["size"]) if has_content else "-",
        row["pin"],
        row["path"],
    )
