"""The demo's WebDAV server (WsgiDAV on cheroot) in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType


class WsgiDav:
    """Serves `root` while the `with` block runs; `url` is known once it has begun."""

    def __init__(self, root: Path, *, user: str | None = None, password: str | None = None) -> None:
        self.root = root
        self.url = ""
        self._command = [sys.executable, "-m", "cloudfs.cli.demo_server", str(root)]
        if user is not None:
            self._command += ["--user", user, "--password", password or ""]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> WsgiDav:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._stop()
            raise RuntimeError("the demo server did not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        assert self._process is not None
        with self._process:  # closes the pipe and reaps
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
