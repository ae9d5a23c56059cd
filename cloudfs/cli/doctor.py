"""`cloudfs doctor`: what keeps a mount from working, a line a check with its mend."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.mount import config_file
from cloudfs.cli.output import print_json, printable
from cloudfs.config import ConfigError, parse_options
from cloudfs.doctor import Finding, examine


def run(arguments: argparse.Namespace) -> Exit:
    file = config_file(arguments.config)
    mountpoint = Path(os.path.abspath(arguments.mountpoint)) if arguments.mountpoint else None
    try:
        options = parse_options(",".join(arguments.options))
    except ConfigError as error:
        raise Failure(str(error), Exit.USAGE) from error
    findings = list[Finding]()
    for finding in examine(file, options, mountpoint):
        findings.append(finding)
        if not arguments.json:
            _show(finding)
    if arguments.json:
        print_json([_to_json(finding) for finding in findings])
    return Exit.DONE if all(finding.ok for finding in findings) else Exit.FAILED


def _show(finding: Finding) -> None:
    verdict = "ok  " if finding.ok else _in_red("FAIL")
    print(f"{verdict}  {finding.check:<18}  {printable(finding.detail)}", flush=True)
    if finding.mend is not None:
        print(f"      {'':<18}  mend: {printable(finding.mend)}", flush=True)


def _in_red(text: str) -> str:
    return f"\x1b[31m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _to_json(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "ok": finding.ok,
        "detail": finding.detail,
        "mend": finding.mend,
    }
