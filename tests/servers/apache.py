"""Debian's Apache with mod_dav on a free loopback port, from a configuration of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType

MODULES = Path("/usr/lib/apache2/modules")
ACCOUNT = "www-data"

CONFIGURATION = """\
ServerRoot "{state}"
ServerName localhost
Listen 127.0.0.1:{port}
PidFile "{state}/pid"
ErrorLog "{state}/error.log"
DefaultRuntimeDir "{state}"
Mutex file:{state}
{modules}
# One process: a lock database of mod_dav and 64 connections need no second one.
StartServers 1
ServerLimit 1
ThreadsPerChild 96
MaxRequestWorkers 96
ThreadLimit 96
KeepAlive On
KeepAliveTimeout 300
MaxKeepAliveRequests 0
DavLockDB "{state}/locks"
DocumentRoot "{root}"
<Directory "{root}">
    Dav On
    Options None
    AllowOverride None
    {access}
</Directory>
"""

BASIC_AUTH = """\
AuthType Basic
    AuthName test
    AuthUserFile "{state}/users"
    Require valid-user"""


class Apache:
    """Serves `root` by WebDAV while the `with` block runs.

    Its ETags are Apache's: weak in a file's first second, strong and the same after it. `root` may lie
    in a folder of 0700. With `user` and `password` it asks for Basic credentials.
    """

    def __init__(self, root: Path, *, user: str | None = None, password: str | None = None) -> None:
        self.root = root
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self._account = (user, password) if user is not None else None
        self._state = tempfile.TemporaryDirectory(prefix="cloudfs-apache-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Apache:
        state = Path(self._state.name)
        state.chmod(0o777)
        (state / "apache.conf").write_text(self._configuration(state))
        command = [*_as_another_user(), "/usr/sbin/apache2", "-f", str(state / "apache.conf"), "-DFOREGROUND"]
        self._process = subprocess.Popen(command)
        try:
            self._wait_until_ready(state)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def _configuration(self, state: Path) -> str:
        access = "Require all granted"
        if self._account is not None:
            user, password = self._account
            digest = subprocess.run(
                ["/usr/bin/openssl", "passwd", "-apr1", password or ""], check=True, capture_output=True
            )
            (state / "users").write_text(f"{user}:{digest.stdout.decode().strip()}\n")
            access = BASIC_AUTH.format(state=state)
        names = ["mpm_event", "authz_core", "authn_core", "authz_user", "authn_file", "auth_basic"]
        names += ["dav", "dav_fs"]
        modules = "\n".join(f'LoadModule {name}_module "{MODULES}/mod_{name}.so"' for name in names)
        return CONFIGURATION.format(
            state=state, port=self.port, root=self.root, modules=modules, access=access
        )

    def _wait_until_ready(self, state: Path) -> None:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        log = state / "error.log"
        raise RuntimeError(f"apache2 did not start: {log.read_text() if log.exists() else 'no log'}")

    def _stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._state.cleanup()


def _as_another_user() -> list[str]:
    """Apache refuses to serve as root: there it runs as www-data, which may still reach any folder."""
    if os.geteuid() != 0:
        return []
    reach = "+dac_override"
    return [
        "/usr/bin/setpriv",
        *("--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"),
        *("--inh-caps", reach, "--ambient-caps", reach),
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
