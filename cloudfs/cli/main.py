"""`cloudfs VERB`: parses, runs the verb's own module, and turns failures into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from cloudfs.cli.failures import Exit, Failure
from cloudfs.cli.parser import build_parser

# Imported only when asked for: most verbs must start in a moment. Each has `run(arguments) -> Exit`.
MODULES = {
    "mount": "cloudfs.cli.mount",
    "umount": "cloudfs.cli.umount",
    "demo": "cloudfs.cli.demo",
    "status": "cloudfs.cli.status",
    "events": "cloudfs.cli.events",
    "sync": "cloudfs.cli.sync",
    "download": "cloudfs.cli.download",
    "clean": "cloudfs.cli.clean",
    "state": "cloudfs.cli.state",
    "why": "cloudfs.cli.why",
    "doctor": "cloudfs.cli.doctor",
    "simulate": "cloudfs.cli.simulate",
    "pin": "cloudfs.cli.pin",
    "unpin": "cloudfs.cli.pin",
    "completion": "cloudfs.cli.completion",
    "install-helper": "cloudfs.cli.install_helper",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code. Usage errors leave by SystemExit(2), as argparse does."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names are any bytes, locales are not
    parsed = build_parser().parse_args(arguments)
    try:
        code: int = importlib.import_module(MODULES[parsed.verb]).run(parsed)
        sys.stdout.flush()
    except Failure as failure:
        print(f"cloudfs: {failure.message}", file=sys.stderr)
        code = failure.exit_code
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    return code


def entry_point() -> None:
    """The `cloudfs` program."""
    sys.exit(main())


if __name__ == "__main__":
    entry_point()
