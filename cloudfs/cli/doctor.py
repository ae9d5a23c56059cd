"""`cloudfs doctor`: what keeps a mount from working, a line a check with its mend."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cloudfs.cli.failures import Exit
from cloudfs.cli.mount import config_file
from cloudfs.cli.output import print_json, printable
from cloudfs.config import parse_options
from cloudfs.doctor import Finding, examine

_CHECK_WIDTH = 18


def run(arguments: argparse.Namespace) -> Exit:
    file = config_file(arguments.config)
    mountpoint = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else None
    findings = list[Finding]()
    tell: Callable[[Finding], None] = findings.append if arguments.json else _teller(findings)
    examine(file, parse_options(",".join(arguments.options)), mountpoint, tell)
    if arguments.json:
        print_json([_to_json(finding) for finding in findings])
    return Exit.DONE if all(finding.ok for finding in findings) else Exit.FAILED


def _teller(findings: list[Finding]) -> Callable[[Finding], None]:
    def tell(finding: Finding) -> None:
        findings.append(finding)
        _show(finding)

    return tell


def _show(finding: Finding) -> None:
    print(f"{_verdict(finding)}  {finding.check:<{_CHECK_WIDTH}}  {printable(finding.detail)}", flush=True)
    if finding.is_made and finding.mend is not None:
        print(f"      mend: {printable(finding.mend)}", flush=True)


def _verdict(finding: Finding) -> str:
    if not finding.is_made:
        return "--  "
    return "ok  " if finding.ok else _in_red("FAIL")


def _in_red(text: str) -> str:
    return f"\x1b[31m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _to_json(finding: Finding) -> dict[str, object]:
    return {"check": finding.check, "ok": finding.ok, "detail": finding.detail, "mend": finding.mend}
