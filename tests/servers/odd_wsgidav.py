"""WsgiDAV as it is, or with less: each oddity is one that some server in the field has."""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from cheroot.wsgi import Server
from wsgidav.fs_dav_provider import FileResource, FilesystemProvider, FolderResource
from wsgidav.wsgidav_app import WsgiDAVApp

from cloudfs.cli.demo_server import DemoFile, DemoProvider

Environ = dict[str, Any]
StartResponse = Callable[..., Any]

CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
CONNECTIONS = 16


@dataclass(frozen=True)
class Oddities:
    """shows_torsos: WsgiDAV's own files, written in place.
    ignores_conditions: If-Match and If-None-Match are passed over (rclone, ASGIWebDAV).
    ignores_if: so is RFC 4918's If with a tag, but not with a lock (oCIS).
    has_tags: whether files have tags at all. has_locks: whether LOCK is offered.
    misreads_tags: a right If-Match is refused like a wrong one (a proxy that changes tags), and
    misreads_if: so is a right If (Go's webdav).
    folds_case: a name is found in any case. composes_names: a new name is stored in NFC (ownCloud);
    such a server shows torsos too.
    """

    shows_torsos: bool = False
    ignores_conditions: bool = False
    ignores_if: bool = False
    has_tags: bool = True
    has_locks: bool = True
    misreads_tags: bool = False
    misreads_if: bool = False
    folds_case: bool = False
    composes_names: bool = False


class _TaglessFile(DemoFile):
    def get_etag(self) -> None:  # type: ignore[override]
        return None

    def support_etag(self) -> bool:
        return False


class _TaglessProvider(DemoProvider):
    def get_resource_inst(self, path: str, environ: Environ) -> FileResource | FolderResource | None:
        resource = super().get_resource_inst(path, environ)
        if isinstance(resource, DemoFile):
            return _TaglessFile(path, environ, resource._file_path)
        return resource


class _FoldingProvider(DemoProvider):
    """Finds what is there in whatever case it is asked for."""

    def _loc_to_file_path(self, path: str, environ: Environ | None = None) -> str:
        asked = Path(super()._loc_to_file_path(path, environ))
        if asked.parent.is_dir():
            for held in asked.parent.iterdir():
                if held.name.casefold() == asked.name.casefold():
                    return str(held)
        return str(asked)


class _ComposingProvider(FilesystemProvider):  # type: ignore[misc]
    """Takes every name for its composed form."""

    def _loc_to_file_path(self, path: str, environ: Environ | None = None) -> str:
        full: str = super()._loc_to_file_path(unicodedata.normalize("NFC", path), environ)
        return full


class OddWsgiDav:
    """Serves `root` by a thread while the `with` block runs. `seen`: each request's method and target."""

    def __init__(self, root: Path, oddities: Oddities) -> None:
        self.root = root
        self.seen: list[tuple[str, str]] = []
        self._oddities = oddities
        self._inner = WsgiDAVApp(_configuration(root, oddities))
        self._server = Server(("127.0.0.1", 0), self._answer, numthreads=CONNECTIONS, timeout=30)
        self._server.keep_alive_conn_limit = CONNECTIONS
        self._server.expiration_interval = 0.1
        self._thread = threading.Thread(target=self._server.serve, name="odd wsgidav")

    @property
    def url(self) -> str:
        host, port = self._server.bind_addr[:2]
        return f"http://{host}:{port}/"

    def __enter__(self) -> OddWsgiDav:
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

    def _answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.seen.append((method, environ["PATH_INFO"]))
        refusal = self._refusal(method, environ)
        if refusal is not None:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(refusal, [("Content-Length", "0")])
            return [b""]
        if self._oddities.ignores_conditions:
            for name in CONDITIONS:
                environ.pop(name, None)
        if self._oddities.ignores_if and "[" in environ.get("HTTP_IF", ""):
            del environ["HTTP_IF"]
        answer: Iterable[bytes] = self._inner(environ, start_response)
        return answer

    def _refusal(self, method: str, environ: Environ) -> str | None:
        if method == "LOCK" and not self._oddities.has_locks:
            return "501 Not Implemented"
        if self._oddities.misreads_tags and "HTTP_IF_MATCH" in environ:
            return "412 Precondition Failed"
        if self._oddities.misreads_if and "[" in environ.get("HTTP_IF", ""):
            return "412 Precondition Failed"
        return None


def _configuration(root: Path, oddities: Oddities) -> dict[str, Any]:
    kind = DemoProvider
    if oddities.composes_names:
        kind = _ComposingProvider
    elif oddities.shows_torsos:
        kind = FilesystemProvider
    elif not oddities.has_tags:
        kind = _TaglessProvider
    elif oddities.folds_case:
        kind = _FoldingProvider
    return {
        "provider_mapping": {"/": kind(str(root), fs_opts={})},
        "simple_dc": {"user_mapping": {"*": True}},
        "dir_browser": {"enable": False},
        "verbose": 0,
    }
