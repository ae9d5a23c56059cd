"""The WebDAV server behind `cloudfs demo` and the tests: WsgiDAV on cheroot, without its losses.

WsgiDAV by itself shows the torso of a PUT in progress and keeps it when the connection is cut, gives a
file the same ETag for two writes in one second, and lets `If-Match` pass where no file is. Here a body
goes to a temporary name and takes the file's place once it came whole; tags have the file's nanoseconds;
`If-Match` on a missing file is 412 (RFC 9110 section 13.1.1).

Run as `python -m cloudfs.cli.demo_server ROOT`: prints its URL once it answers, serves until SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Any, BinaryIO

from cheroot.wsgi import Server
from wsgidav.dav_error import HTTP_BAD_REQUEST, HTTP_PRECONDITION_FAILED, DAVError
from wsgidav.dav_provider import DAVNonCollection
from wsgidav.fs_dav_provider import FileResource, FilesystemProvider, FolderResource
from wsgidav.util import join_uri
from wsgidav.wsgidav_app import WsgiDAVApp

from cloudfs.model.entry import TEMPORARY_PREFIX

CONNECTIONS = 64
IDLE_TIMEOUT_S = 300
TICK_S = 0.1  # how often cheroot looks for idle connections, and how long it may take to stop

Environ = dict[str, Any]


class CountedBody:
    """A file being received: its `close` refuses a body shorter than its Content-Length said."""

    def __init__(self, file: BinaryIO, length: int | None) -> None:
        self._file = file
        self._missing = length

    def write(self, data: bytes) -> None:
        self._file.write(data)
        if self._missing is not None:
            self._missing -= len(data)

    def close(self) -> None:
        self._file.close()
        if self._missing:
            raise DAVError(HTTP_BAD_REQUEST, f"The body lacks {self._missing} bytes.")


class DemoFile(FileResource):  # type: ignore[misc]
    """A file whose content changes as a whole."""

    _temporary: str | None = None

    def get_etag(self) -> str:
        stat = self.file_stat
        return f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}"

    def begin_write(self, *, content_type: str | None = None) -> CountedBody:
        folder = os.path.dirname(self._file_path)
        descriptor, self._temporary = mkstemp(prefix=TEMPORARY_PREFIX.decode(), dir=folder)
        os.fchmod(descriptor, 0o644)
        length = self.environ.get("CONTENT_LENGTH")
        return CountedBody(os.fdopen(descriptor, "wb"), int(length) if length else None)

    def end_write(self, *, with_errors: bool) -> None:
        if self._temporary is None:
            return
        if with_errors:
            os.unlink(self._temporary)
        else:
            os.replace(self._temporary, self._file_path)
            self.file_stat = os.stat(self._file_path)
        self._temporary = None


class UnbornFile(DemoFile):
    """A name that a PUT is about to take: nothing is there until the body came whole."""

    def __init__(self, path: str, environ: Environ, file_path: str) -> None:
        # FileResource's own __init__ would look for the file.
        DAVNonCollection.__init__(self, path, environ)
        self._file_path = file_path
        self.name = os.path.basename(file_path)


class DemoFolder(FolderResource):  # type: ignore[misc]
    """A folder that shows neither temporaries nor names that no URL of WsgiDAV can hold."""

    def get_member_names(self) -> list[str]:
        return [name for name in super().get_member_names() if _is_shown(name)]

    def create_empty_resource(self, name: str) -> FileResource:
        if "HTTP_IF_MATCH" in self.environ:
            raise DAVError(HTTP_PRECONDITION_FAILED, "If-Match on a missing file.")
        if self.environ["REQUEST_METHOD"] != "PUT":  # LOCK makes the file that it locks
            return super().create_empty_resource(name)
        path = join_uri(self.path, name)
        return UnbornFile(path, self.environ, self.provider._loc_to_file_path(path, self.environ))


class DemoProvider(FilesystemProvider):  # type: ignore[misc]
    """A directory served with the two resources above."""

    def get_resource_inst(self, path: str, environ: Environ) -> FileResource | FolderResource | None:
        resource = super().get_resource_inst(path, environ)
        if resource is None:
            return None
        kind = DemoFolder if resource.is_collection else DemoFile
        return kind(path, environ, resource._file_path)


def _is_shown(name: str) -> bool:
    if name.startswith(TEMPORARY_PREFIX.decode()):
        return False
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


class DemoServer:
    """Serves a directory on loopback while the `with` block runs.

    port 0 takes a free one. With `user` and `password` it asks for Basic credentials, else for none.
    Raises OSError where the port is taken.
    """

    def __init__(
        self, root: Path, *, port: int = 0, user: str | None = None, password: str | None = None
    ) -> None:
        self._server = Server(
            ("127.0.0.1", port),
            WsgiDAVApp(_configuration(root, user, password)),
            numthreads=CONNECTIONS,
            request_queue_size=CONNECTIONS,
            timeout=IDLE_TIMEOUT_S,
        )
        self._server.keep_alive_conn_limit = CONNECTIONS
        self._server.expiration_interval = TICK_S
        self._thread = threading.Thread(target=self._server.serve, name="demo server")

    @property
    def url(self) -> str:
        host, port = self._server.bind_addr[:2]
        return f"http://{host}:{port}/"

    def __enter__(self) -> DemoServer:
        self._server.prepare()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop()
        self._thread.join()


def _configuration(root: Path, user: str | None, password: str | None) -> dict[str, Any]:
    accounts: Any = True if user is None else {user: {"password": password or ""}}
    return {
        "provider_mapping": {"/": DemoProvider(str(root), fs_opts={})},
        "simple_dc": {"user_mapping": {"*": accounts}},
        "http_authenticator": {"accept_basic": True, "accept_digest": False, "default_to_digest": False},
        "dir_browser": {"enable": False},
        "verbose": 0,
    }


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="cloudfs.cli.demo_server", allow_abbrev=False)
    parser.add_argument("root", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user")
    parser.add_argument("--password")
    asked = parser.parse_args()
    # Blocked before any thread starts, so that it is this one that gets them.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with DemoServer(asked.root, port=asked.port, user=asked.user, password=asked.password) as server:
        print(server.url, flush=True)
        signal.sigwait(ends)


if __name__ == "__main__":
    main()
