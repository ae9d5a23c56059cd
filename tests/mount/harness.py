"""A mount for tests: the real daemon by its command line, unmounted whatever happens."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CLOUDFS = [sys.executable, "-m", "cloudfs.cli.main"]
PATIENCE_S = 20.0


def wait_until(is_true: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """The first true answer of a question asked every 20 ms; fails with `what` after the patience."""
    deadline = time.monotonic() + patience_s
    while not (answer := is_true()):
        assert time.monotonic() < deadline, f"not within {patience_s} s: {what}"
        time.sleep(0.02)
    return answer


class RpcError(Exception):
    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['code']}: {error['message']} {error.get('data')}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data = error.get("data")


class Connection:
    """One connection to the control socket, blocking; notifications are kept in order."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(PATIENCE_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._lines = self._socket.makefile("rb")
        self._next_id = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> Any:
        return self.request(method, params)

    def request(self, method: str, params: Any) -> Any:
        """The result of a call with these very params. RpcError."""
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            message = json.loads(self._lines.readline())
            if message.get("id") == self._next_id:
                if "error" in message:
                    raise RpcError(message["error"])
                return message["result"]
            self.events.append(message)

    def next_event(self) -> dict[str, Any]:
        if not self.events:
            self.events.append(json.loads(self._lines.readline()))
        return self.events.pop(0)

    def events_until(self, is_last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        events = [self.next_event()]
        while not is_last(events[-1]):
            events.append(self.next_event())
        return events

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Mount:
    """A running daemon and its mountpoint.

    `sections` are mount.toml's tables; path, cache and socket are filled in below `directory`.
    """

    def __init__(self, directory: Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
        self.directory = directory
        self.path = directory / "mnt"
        self.cache = directory / "cache"
        self.socket = directory / "run" / "cloudfs.sock"
        self.log = directory / "daemon.log"
        self.config = directory / "mount.toml"
        self.process: subprocess.Popen[bytes] | None = None
        self._connections: list[Connection] = []
        self.path.mkdir(parents=True, exist_ok=True)
        self._write_config(sections)

    def _write_config(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        tables: dict[str, dict[str, Any]] = {
            "mount": {"path": str(self.path)},
            "cloud": {"type": "webdav"},
            "cache": {"path": str(self.cache), "min_free": "0B"},
            "control": {"socket": str(self.socket)},
        }
        for name, table in sections.items():
            tables.setdefault(name, {}).update(table)
        lines = []
        for name, table in tables.items():
            lines.append(f"[{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        self.config.write_text("\n".join(lines) + "\n")

    def start(self) -> Mount:
        """Mount, and wait until the daemon answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*CLOUDFS, "mount", "--foreground", "--config", str(self.config)], stdout=log, stderr=log
            )
        wait_until(self._is_up, f"the mount is up; its log: {self.log.read_text()}")
        return self

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        if not self.is_mounted():
            return False
        try:
            return bool(self.status()["pid"] == self.process.pid)
        except OSError:
            return False  # no socket yet, or one that a killed daemon left behind

    def is_mounted(self) -> bool:
        return f" {self.path} fuse.cloudfs " in Path("/proc/mounts").read_text()

    def connect(self) -> Connection:
        connection = Connection(self.socket)
        self._connections.append(connection)
        return connection

    def call(self, method: str, **params: Any) -> Any:
        connection = Connection(self.socket)
        try:
            return connection.call(method, **params)
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.call("Mount.status")
        return status

    def xattr(self, name: str, path: str = "") -> str:
        return os.getxattr(self.path / path, f"user.cloudfs.{name}").decode()

    def uri(self, path: str) -> str:
        return self.xattr("uri", path)

    def sync(self) -> str:
        """One FileSync to its end; the name of the state that ended it."""
        from cloudfs.model.enums import SyncState

        connection = self.connect()
        connection.call("FileSync.on", event="progress")
        connection.next_event()
        connection.call("FileSync.start")
        connection.events.clear()  # an end before the answer is that of an earlier sync
        ends = connection.events_until(lambda e: SyncState(e["params"]["progress"]["state"]).is_end)
        connection.close()
        return SyncState(ends[-1]["params"]["progress"]["state"]).name

    @property
    def pending(self) -> int:
        """Entries with a change that the cloud does not have yet."""
        return int(self.xattr("pending"))

    def settle(self) -> None:
        """One FileSync, after which the cloud has everything."""
        assert self.sync() == "COMPLETED", self.log.read_text()
        assert self.pending == 0

    def remount(self) -> None:
        """kill -9, and start again over the same cache."""
        self.kill()
        self.start()

    def kill(self) -> None:
        """kill -9, and clear the dead mount away."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False, capture_output=True)
        self.process = None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self.process = None
        return code

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        subprocess.run(["fusermount3", "-u", "-z", str(self.path)], check=False, capture_output=True)
