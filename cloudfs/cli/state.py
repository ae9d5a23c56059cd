"""`cloudfs state`: where the content of files is, what is under way, and what is pinned."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from cloudfs.cli.connection import CallFailed
from cloudfs.cli.failures import Exit, combined
from cloudfs.cli.mounts import Mount, find, reference_of
from cloudfs.cli.output import human_share, print_json, print_table, printable
from cloudfs.model.sizes import human_size

_NO_ERROR = "NO_ERROR"


def run(arguments: argparse.Namespace) -> Exit:
    with find(arguments.targets, arguments.socket) as mount:
        rows: list[dict[str, Any]] = []
        exits = [_ask(mount, target, arguments.recursive, rows) for target in arguments.targets]
    if arguments.json:
        print_json(rows)
    elif rows:
        print_table(("STATE", "LOCATION", "LOCAL", "SIZE", "PIN", "PATH"), [_cells(row) for row in rows])
    return combined(exits)


def _ask(mount: Mount, target: str, recursive: bool, rows: list[dict[str, Any]]) -> Exit:
    """One call a target, so that one that is not there hides no other; its rows are added."""
    try:
        rows += mount.connection.call("Mount.state", paths=[reference_of(mount, target)], recursive=recursive)
    except CallFailed as failure:
        print(f"cloudfs: {printable(target)}: {failure.message}", file=sys.stderr)
        return failure.exit_code
    return Exit.DONE


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
