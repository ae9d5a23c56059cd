"""An HTTP server in the test's own loop that answers with whatever bytes a function returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing

import trio

from tests.servers.exchange import Reader
from tests.servers.faults import SeenRequest

Script = Callable[[SeenRequest], bytes]

CLOSE = b""  # from a script: close the connection instead of answering


def response(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A framed answer; header names are given with underscores."""
    lines = [f"HTTP/1.1 {status} Scripted"]
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if status not in (204, 304):
        named.setdefault("Content-Length", str(len(body)))
    lines += [f"{name}: {value}" for name, value in named.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def multistatus(*responses: str) -> bytes:
    body = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(responses)}</D:multistatus>'
    return response(207, body.encode(), Content_Type="application/xml")


def resource(href: str, properties: str) -> str:
    """One DAV:response whose properties were all found."""
    return (
        f"<D:response><D:href>{href}</D:href><D:propstat><D:prop>{properties}</D:prop>"
        "<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
    )


FOLDER = "<D:resourcetype><D:collection/></D:resourcetype>"


def file_properties(properties: Mapping[str, str] | None = None) -> str:
    """A file's properties; `properties` by their local names."""
    found = properties or {"getcontentlength": "5", "getetag": '"five"'}
    return "<D:resourcetype/>" + "".join(f"<D:{k}>{v}</D:{k}>" for k, v in found.items())


class ScriptedServer:
    """`script` may be replaced at any time; `seen` holds the requests, `connections` counts."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.seen: list[SeenRequest] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._connection, [listener])

    async def _connection(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        requests = Reader(stream)
        async with stream:
            try:
                while (head := await requests.head()) is not None:
                    method, target, _ = head.start_line.decode("latin-1").split(" ", 2)
                    headers = {key.decode().lower(): value.decode("latin-1") for key, value in head.headers}
                    async with aclosing(requests.body(head, until_closed=False)) as body:
                        async for _piece in body:
                            pass
                    seen = SeenRequest(method, target, headers)
                    self.seen.append(seen)
                    answer = self.script(seen)
                    if answer == CLOSE:
                        return
                    await stream.send_all(answer)
            except trio.BrokenResourceError:
                return  # a client may leave at any time
