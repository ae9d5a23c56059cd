"""`cloudfs state`: where the content of files is, what is under way, and what is pinned."""

from __future__ import annotations

import argparse
from typing import Any

from cloudfs.cli.failures import Exit
from cloudfs.cli.mounts import find, reference_of
from cloudfs.cli.output import human_share, human_size, print_json, print_table

_NO_ERROR = "NO_ERROR"


def run(arguments: argparse.Namespace) -> Exit:
    with find(arguments.targets, arguments.socket) as mount:
        paths = [reference_of(mount, target) for target in arguments.targets]
        rows = mount.connection.call("Mount.state", paths=paths, recursive=arguments.recursive)
    if arguments.json:
        print_json(rows)
    else:
        print_table(("STATE", "LOCATION", "LOCAL", "SIZE", "PIN", "PATH"), [_cells(row) for row in rows])
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
